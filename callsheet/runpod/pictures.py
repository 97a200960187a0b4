"""One picture or clip of a job's output: bytes in base64, or an address.

Covers what stock workers write, and whether the bytes came whole. Nothing is decoded or fetched here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from callsheet.errors import NoImages, ProviderError
from callsheet.runpod.http import PROVIDER
from callsheet.units import Frozen

_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_DATA = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_LEAST = 32
"""Characters of base64 below which a text is taken for words."""


class Picture(Frozen):
    """Either bytes or an address, never both."""

    name: str = ""
    """The file's name over there, where it was told. Not to be used as a path."""
    media_type: str = ""
    """By its bytes; empty for an address."""
    data: bytes | None = Field(default=None, repr=False)
    url: str | None = Field(default=None, repr=False)
    """May be presigned: not for logs."""


def picture_of(item: Any, where: str) -> Picture:
    """A mapping of worker-comfyui, an address, a data-URI or plain base64.

    Raises NoImages for anything else, ProviderError when the bytes were cut short.
    """
    name, text = "", item
    if isinstance(item, Mapping):
        name = str(item.get("filename") or item.get("name") or "")
        text = item.get("data") or item.get("image") or item.get("url")
    if not isinstance(text, str) or not text.strip():
        raise NoImages(detail=f"{where} is no picture")
    text = text.strip()
    if _URL.fullmatch(text):
        return Picture(name=name, url=text)
    plain = "".join(_DATA.sub("", text, count=1).split() if text[:5].lower() == "data:" else text.split())
    if len(plain) < _LEAST or not _BASE64.fullmatch(plain):
        words = " ".join(text[:200].split())
        raise NoImages(detail=f"{where} is no picture but says {words!r}")
    try:
        data = base64.b64decode(plain, validate=True)
    except binascii.Error:
        raise _cut(where) from None
    return Picture(name=name, media_type=_media_type(data, where), data=data)


def _media_type(data: bytes, where: str) -> str:
    """By the first bytes. Raises ProviderError when the last ones are not those of a whole file."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _whole("image/png", data[-8:-4] == b"IEND", where)
    if data.startswith(b"\xff\xd8\xff"):
        return _whole("image/jpeg", b"\xff\xd9" in data[-64:], where)      # some writers pad
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _whole("image/webp", len(data) >= int.from_bytes(data[4:8], "little") + 8, where)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _whole("image/gif", data.rstrip(b"\0").endswith(b";"), where)
    if data[4:8] == b"ftyp":
        return _whole("video/mp4", _boxes_end(data), where)
    if data.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm"                               # its length may be left open: only decoding tells
    raise NoImages(detail=f"{where} is neither a picture nor a clip")


def _boxes_end(data: bytes) -> bool:
    """Whether an MP4's outermost boxes end exactly where the file does."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8:at + 16], "big")
        if size == 0:
            return True                                   # this one goes to the end, wherever that is
        if size < 8:
            return False
        at += size
    return at == len(data)


def _whole(media_type: str, whole: bool, where: str) -> str:
    if not whole:
        raise _cut(where)
    return media_type


def _cut(where: str) -> ProviderError:
    return ProviderError(provider=PROVIDER, detail=f"{where}, which is cut short", remedy="run again")
