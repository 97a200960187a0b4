"""Small things about web addresses that more than one door needs."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx  # at run time where it is needed: it takes 0.15 s


def client(address: str, timeout_s: float) -> httpx.Client:
    """A client for one address, to be closed. It knows the environment's proxy, but asks none for this machine."""
    import httpx

    return httpx.Client(timeout=timeout_s, trust_env=not is_loopback(address))


def is_loopback(address: str) -> bool:
    """Whether the address is this machine's own."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """Host and port for people: without a user's name and password."""
    return urlsplit(address).netloc.rpartition("@")[2]


def shown(address: str) -> str:
    """The address for people: without a user's name and password."""
    return urlsplit(address)._replace(netloc=host_of(address)).geturl()
