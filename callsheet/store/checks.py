"""What every store checks alike: keys, prefixes, how long a link lasts, and bytes against their digest.

No store is known here, and nothing is written.
"""

from __future__ import annotations

from pathlib import Path

from callsheet.errors import KeyRefused, RequestInvalid, StoreCorrupt
from callsheet.store.base import Artifact, sha256_of

LONGEST_LINK_S = 3600
_SEGMENT_BYTES = 254
_KEY_BYTES = 900
"""S3 takes 1024 bytes; the rest is left for a store's own prefix."""


def checked_key(key: str) -> str:
    """The key itself. Raises KeyRefused unless it is relative, plain and short enough for every store."""
    return _checked(key, key)


def checked_prefix(prefix: str) -> str:
    """The prefix itself. Raises KeyRefused unless it is whole segments with `/` at the end."""
    if not prefix.endswith("/"):
        raise KeyRefused(key=prefix, detail="a prefix ends with /")
    _checked(prefix[:-1], prefix)
    return prefix


def _checked(name: str, shown: str) -> str:
    reason = _objection(name)
    if reason:
        raise KeyRefused(key=shown[:200], detail=reason)
    return name


def _objection(name: str) -> str:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if len(encoded) > _KEY_BYTES:
        return f"it has {len(encoded)} bytes, more than {_KEY_BYTES}"
    if not name.isprintable() or "\\" in name:
        return "it has a control character, an odd space or a backslash"
    for segment in name.split("/"):
        if not segment:
            return "it is empty, absolute or has an empty segment"
        if segment.startswith("."):                   # also `.` and `..`; the folder store's own files are hidden
            return "a segment begins with a dot"
        if len(segment.encode()) > _SEGMENT_BYTES:
            return f"a segment has more than {_SEGMENT_BYTES} bytes"
    return ""


def checked_expiry(expires_s: int) -> int:
    """How long a link lasts, in seconds. Raises RequestInvalid outside 1 to 3600."""
    if not 1 <= expires_s <= LONGEST_LINK_S:
        raise RequestInvalid(
            field="expires_s", detail=f"{expires_s} is not from 1 to {LONGEST_LINK_S}",
            remedy="ask for a new link when the old one has expired",
        )
    return expires_s


_digests: dict[tuple[int, int, int, int], str] = {}


def digest_of(path: Path) -> str:
    """sha256 of a file as hex. A file that has not changed since is hashed once in this process."""
    facts = path.stat()
    seen = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)     # one file, whatever link leads to it
    if seen not in _digests:
        _digests[seen] = sha256_of(path)
    return _digests[seen]


def check_file(path: Path, artifact: Artifact, url: str) -> None:
    """Raises StoreCorrupt when the file's size or digest is not the artifact's."""
    size = path.stat().st_size
    if size != artifact.size:
        raise StoreCorrupt(key=artifact.key, url=url, detail=f"{size} bytes instead of {artifact.size}")
    found = digest_of(path)
    if found != artifact.sha256:
        raise StoreCorrupt(key=artifact.key, url=url, detail=f"sha256 {found[:12]}… instead of {artifact.sha256[:12]}…")
