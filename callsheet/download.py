"""Files that requests name, as local files: URLs, data-URIs, base64 and, where it is allowed, local paths.

A URL is opened as a stranger's: http and https only, ports 80 and 443, public addresses only, on every redirect
anew, under a cap of bytes and one deadline for everything. Proxies and credentials of this machine are never used,
and no error repeats what a URL has after its path. What is in a file is media/intake.py's matter.
"""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from callsheet.errors import AddressRefused, DownloadFailed, DownloadGone, FileMissing, RequestInvalid

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")
Hosts = frozenset[tuple[str, int]]
"""Host in lower case, port."""

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w.+-]+=[\w.+\"-]+)*(;base64)?,", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_SHORTEST_BASE64 = 16
"""Characters. A shorter text is no file, but a name that somebody mistyped."""
_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 16
_GONE = frozenset({401, 403, 404, 405, 410, 451})


@dataclass(frozen=True)
class Limits:
    """How much is taken, and how long it may last."""

    max_bytes: int = 512 << 20
    """Of one file."""
    max_inline_bytes: int = 32 << 20
    """Of one file that stands in the request itself."""
    deadline_s: float = 300.0
    """For everything: names, redirects and the body."""
    connect_s: float = 10.0
    silence_s: float = 30.0
    """Longest pause of the sender."""
    redirects: int = 5


class Address(NamedTuple):
    """Where a URL leads, as it will be asked for."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """Without query, which may hold a signature."""
        return shown(self.url)


def fetch(
    source: str,
    folder: Path,
    field: str,
    *,
    local: bool = False,
    allowed: Hosts = frozenset(),
    limits: Limits = Limits(),
) -> Path:
    """A file in `folder` with the bytes that `source` names; `field` is where the request says so.

    `local` also takes paths of this machine. `allowed` hosts may be private and have any port.
    Raises AddressRefused, DownloadFailed, FileMissing, RequestInvalid.
    """
    target = folder / re.sub(r"\W+", "_", field).strip("_")
    if local and (path := existing(source)) is not None:
        if path.stat().st_size > limits.max_bytes:
            raise _too_large(field, limits.max_bytes)
        return Path(shutil.copyfile(path, target.with_suffix(path.suffix)))
    data = inline_bytes(source, field, limits)
    if data is not None:
        target.write_bytes(data)
    elif is_url(source):
        address = address_of(source.strip(), allowed)
        target = target.with_suffix(_suffix(address.url))
        _within(limits.deadline_s, address.shown, lambda over: _download(address, target, field, allowed, limits, over))
    elif scheme := _SCHEME.match(source.strip()):
        raise AddressRefused(url=shown(source), detail=f"{scheme[1].lower()[:20]} is neither http nor https")
    elif local:
        raise FileMissing(path=source[:200], what=field, remedy="check the path; it is read from the working directory")
    else:
        raise RequestInvalid(
            field=field, detail="is neither a URL nor base64", remedy="send an https address, a data-URI or base64"
        )
    if not target.stat().st_size:
        raise RequestInvalid(field=field, detail="is empty", remedy="check what was sent")
    return target


def existing(source: str) -> Path | None:
    """The local file that a text names, if there is one."""
    try:
        return path if (path := Path(source)).is_file() else None
    except (OSError, ValueError):                     # a name too long, or with a null in it
        return None


def is_url(source: str) -> bool:
    """Whether it is meant as a web address."""
    return re.match(r"\s*https?:", source, re.IGNORECASE) is not None


def inline_bytes(source: str, field: str, limits: Limits = Limits()) -> bytes | None:
    """The bytes in a data-URI or base64 text; None when it is neither. Raises RequestInvalid."""
    head = _DATA.match(source)
    if head is None and source[:5].lower() == "data:":
        raise RequestInvalid(field=field, detail="is no data-URI", remedy="write data:image/png;base64,...")
    if head is not None and head[3] is None:
        raise RequestInvalid(field=field, detail="is a data-URI without ;base64", remedy="encode the bytes as base64")
    text = source[head.end():] if head else source
    if len(text) * 3 // 4 > limits.max_inline_bytes + 3:
        raise _too_large(field, limits.max_inline_bytes, "send large files as URLs")
    text = "".join(text.split())
    if head is None and len(text) < _SHORTEST_BASE64:
        return None
    try:
        return base64.b64decode(text.translate(_URL_SAFE) + "=" * (-len(text) % 4 if head else 0), validate=True)
    except (binascii.Error, ValueError):
        if head is None:
            return None
        raise RequestInvalid(field=field, detail="has broken base64", remedy="encode the bytes again") from None


_URL_SAFE = str.maketrans("-_", "+/")


def shown(url: str) -> str:
    """A URL for people: no user, no password, no query."""
    try:
        parts = urlsplit(url.strip())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]
    except ValueError:
        return f"{url.strip().partition(':')[0][:10]}://…"


def address_of(url: str, allowed: Hosts = frozenset()) -> Address:
    """Where a URL leads, once it is one that may be asked for. Raises AddressRefused."""
    from requests import Request, RequestException

    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise AddressRefused(url=shown(url), detail="there are characters in it that no address has")
    try:
        prepared = Request("GET", url).prepare().url or ""
        parts = urlsplit(prepared)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        named = urlsplit(url)
    except (RequestException, ValueError, UnicodeError):
        raise AddressRefused(url=shown(url), detail="it is no web address") from None
    if scheme not in _PORTS or not host:
        raise AddressRefused(url=shown(url), detail="it is no web address")
    if "@" in named.netloc or "@" in parts.netloc:
        raise AddressRefused(url=shown(url), detail="there are credentials in it")
    if port not in _PORTS.values() and (host, port) not in allowed:
        raise AddressRefused(url=shown(url), detail=f"port {port} is neither 80 nor 443")
    return Address(prepared, scheme, host, port)


def _suffix(url: str) -> str:
    found = Path(urlsplit(url).path).suffix.lower()
    return found if _SUFFIX.fullmatch(found) else ""


def _too_large(field: str, limit: int, remedy: str = "send a smaller file") -> RequestInvalid:
    return RequestInvalid(field=field, detail=f"is over {limit / (1 << 20):g} MB", remedy=remedy)


def _within(seconds: float, url: str, work: Callable[[threading.Event], T]) -> T:
    """What `work` returns, or DownloadFailed after so many seconds, whatever it hangs in.

    A thread of its own, because neither name look-up nor a sender that drips headers can be interrupted.
    """
    over: threading.Event = threading.Event()
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work(over))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        return done.result(timeout=seconds)
    except TimeoutError:
        over.set()
        raise DownloadFailed(url=url, detail=f"no end after {seconds:g} s") from None


def _download(
    address: Address, target: Path, field: str, allowed: Hosts, limits: Limits, over: threading.Event
) -> None:
    from requests import RequestException
    from requests_hardened.ip_filter import InvalidIPAddress
    from urllib3.exceptions import HTTPError

    first = address
    try:
        for _ in range(limits.redirects + 1):
            with _session(address, allowed) as session, session.get(
                address.url, stream=True, allow_redirects=False, timeout=(limits.connect_s, limits.silence_s),
                headers={"Accept-Encoding": "identity", "User-Agent": "callsheet"},
            ) as response:
                if not response.is_redirect:
                    return _take(response, address, target, field, limits, over)
                address = _next(address, response.headers["Location"], allowed)
            if over.is_set():
                return None
    except InvalidIPAddress:
        raise AddressRefused(url=address.shown, detail="it leads to a private address") from None
    except (RequestException, HTTPError, OSError) as error:
        raise DownloadFailed(url=address.shown, detail=_kind(error)) from None
    raise AddressRefused(url=first.shown, detail=f"it was redirected over {limits.redirects} times")


def _session(address: Address, allowed: Hosts) -> Session:
    """A session that only reaches the public internet, unless the address is allowed by name."""
    from requests import Session
    from requests_hardened import Config, HTTPSession

    if (address.host, address.port) in allowed:
        session: Session = Session()
    else:
        session = HTTPSession(Config(
            ip_filter_enable=True, ip_filter_allow_loopback_ips=False, never_redirect=True, default_timeout=None,
        ))
    session.trust_env = False                         # no proxy, which would look names up itself, and no .netrc
    return session


def _next(address: Address, location: str, allowed: Hosts) -> Address:
    following = address_of(urljoin(address.url, location), allowed)
    if address.scheme == "https" and following.scheme == "http":
        raise AddressRefused(url=following.shown, detail="an https address led to it, and it is http")
    return following


def _take(
    response: Response, address: Address, target: Path, field: str, limits: Limits, over: threading.Event
) -> None:
    if response.status_code != 200:
        kind = DownloadGone if response.status_code in _GONE else DownloadFailed
        raise kind(url=address.shown, detail=f"HTTP {response.status_code}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DownloadFailed(url=address.shown, detail="it came compressed, which was not asked for")
    said = response.headers.get("Content-Length", "")
    wanted = int(said) if said.isdecimal() else None
    if wanted is not None and wanted > limits.max_bytes:
        raise _too_large(field, limits.max_bytes)
    had = 0
    with target.open("wb") as file:
        while not over.is_set() and (chunk := response.raw.read1(_CHUNK, decode_content=False)):
            had += len(chunk)
            if had > limits.max_bytes:
                raise _too_large(field, limits.max_bytes)
            file.write(chunk)
    if wanted is not None and had != wanted and not over.is_set():
        raise DownloadFailed(url=address.shown, detail=f"it ended after {had} of {wanted} bytes")


def _kind(error: Exception) -> str:
    """What went wrong in a few words: the library's own sentence would repeat the whole URL."""
    names = [type(e).__name__ for e in (error, *getattr(error, "args", ())) if isinstance(e, BaseException)]
    said = " ".join(names).lower()
    if "timeout" in said or "timedout" in said:
        return "the server did not answer in time"
    if "ssl" in said:
        return "its certificate is not valid"
    return "no connection" if "connect" in said or "newconnection" in said else "the connection broke"
