"""The hub that weights come from: which files there are, what their digests are, and who is told the token.

Covers addresses, redirects and headers. The token goes to the hub's own host and nowhere else: a redirect to another
host, and whatever follows it, is asked without. Every address is https, except on this machine, for tests.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from pydantic import SecretStr

from callsheet.errors import AddressRefused, CallsheetError, DownloadFailed, DownloadGone
from callsheet.weights import Weights

if TYPE_CHECKING:
    import httpx  # at run time where it is needed: it takes 0.15 s

HUB = "https://huggingface.co"
REDIRECTS = 5
_MOST = 10_000
"""Files of a repository."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
"""A sha256 for large files, git's sha1 of the blob for small ones."""


class File(NamedTuple):
    """One file that is to be fetched."""

    url: str
    path: str
    """Below the models' folder."""
    digest: str
    """sha256, or git's sha1 of the blob: the length tells."""
    size: int
    """Bytes."""


class Hub:
    """Asks the hub. `token` is for gated repositories. One client for all threads; close it with `with`."""

    def __init__(self, token: SecretStr | None = None, base_url: str = HUB) -> None:
        import httpx

        _checked(base_url)
        self.base_url = base_url.rstrip("/")
        self._host = _place(base_url)
        self._token = token
        local = urlsplit(base_url).hostname in _LOOPBACK
        self._client = httpx.Client(
            follow_redirects=False, timeout=httpx.Timeout(30.0, connect=10.0), trust_env=not local,
        )

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def files(self, of: Weights) -> list[File]:
        """Every file of it, with digest and size. Raises DownloadGone, DownloadFailed."""
        found = [File(one.url, f"{of.folder}/{one.name}", one.sha256, one.size) for one in of.pinned]
        names = self._names(of) if any("*" in pattern for pattern in of.files) else list(of.files)
        for pattern in of.files:
            matching = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
            if not matching:
                raise DownloadGone(url=f"{self.base_url}/{of.repo}", detail=f"it has no {pattern}",
                                   remedy="its files were renamed: report it, so that the catalogue follows")
            found += [self._file(of, name) for name in matching]
        return sorted(set(found))

    @contextmanager
    def opened(self, method: str, url: str, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """The answer, redirects followed, its body not read yet. `extensions["told"]` has the hub's own headers.

        A HEAD does not leave the hub: the address of the bytes may be signed for GET alone. Raises DownloadGone for
        what will not change, else DownloadFailed.
        """
        import httpx

        ours, told = True, httpx.Headers()
        try:
            for _ in range(REDIRECTS + 1):
                ours = ours and _place(url) == self._host
                with self._client.stream(method, url, headers=self._headers(ours) | (headers or {})) as response:
                    if ours:
                        told.update({k: v for k, v in response.headers.items() if k not in told})
                    following = urljoin(url, response.headers["location"]) if response.is_redirect else ""
                    if not following or (method == "HEAD" and _place(following) != self._host):
                        _refused(response, url)
                        response.extensions["told"] = told
                        yield response
                        return
                    url = _checked(following, before=url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:      # its words could quote a header: the type says enough
            raise DownloadFailed(url=_shown(url), detail=type(error).__name__) from None
        raise DownloadFailed(url=_shown(url), detail=f"it was redirected over {REDIRECTS} times")

    def _headers(self, ours: bool) -> dict[str, str]:
        headers = {"accept-encoding": "identity", "user-agent": "callsheet"}
        if ours and self._token is not None:
            headers["authorization"] = f"Bearer {self._token.get_secret_value()}"
        return headers

    def _names(self, of: Weights) -> list[str]:
        url = f"{self.base_url}/api/models/{of.repo}/tree/{quote(of.revision, safe='')}?recursive=true"
        names: list[str] = []
        while url:
            with self.opened("GET", url) as response:
                response.read()
                try:
                    entries: list[dict[str, Any]] = response.json()
                    names += [str(entry["path"]) for entry in entries if entry["type"] == "file"]
                except (ValueError, KeyError, TypeError):
                    raise DownloadFailed(url=_shown(url), detail="it is no list of files") from None
                following = response.links.get("next", {}).get("url", "")
            if following and (_place(following) != self._host or len(names) > _MOST):
                raise DownloadFailed(url=_shown(url), detail="its list of files goes on elsewhere, or has no end")
            url = following
        for name in names:
            if name.startswith("/") or ".." in name.split("/") or "\\" in name:
                raise DownloadGone(url=f"{self.base_url}/{of.repo}", detail=f"a file is called {name!r}")
        return names

    def _file(self, of: Weights, name: str) -> File:
        """With the digest that the hub tells before it redirects to where the bytes are."""
        url = f"{self.base_url}/{of.repo}/resolve/{quote(of.revision, safe='')}/{quote(name)}"
        with self.opened("HEAD", url) as response:
            told: httpx.Headers = response.extensions["told"]
            digest = _digest(told.get("x-linked-etag", "")) or _digest(told.get("etag", ""))
            own_size = "" if response.is_redirect else response.headers.get("content-length", "")
            size = told.get("x-linked-size") or own_size
        if not digest or not size.isdecimal():
            raise DownloadGone(url=url, detail="the hub told neither its digest nor its size",
                               remedy="it cannot be checked, so it is not fetched: report it")
        return File(url, f"{of.folder}/{name}", digest, int(size))


def _digest(etag: str) -> str:
    text = etag.removeprefix("W/").strip('"').lower()
    return text if _DIGEST.fullmatch(text) else ""


def _place(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port


def _checked(url: str, before: str = "") -> str:
    """The address, once it is one that may be asked. Raises AddressRefused."""
    scheme, host, _ = _place(url)
    local = host in _LOOPBACK and (not before or urlsplit(before).hostname in _LOOPBACK)
    if scheme != "https" and not (scheme == "http" and local):
        raise AddressRefused(url=_shown(url), detail="it is not https", remedy="weights are fetched by https only")
    return url


def _shown(url: str) -> str:
    """Without query, which may hold a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def _refused(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status < 400 or status == 416:                     # 416: nothing is left of the file, which its digest will tell
        return
    failure: type[CallsheetError] = DownloadFailed if status in (408, 425, 429) or status >= 500 else DownloadGone
    facts: dict[str, Any] = {"url": _shown(url), "detail": f"HTTP {status}"}
    if status in (401, 403):
        facts["remedy"] = "accept its licence on the hub's page, and set HF_TOKEN to a token that may read it"
    raise failure(**facts)
