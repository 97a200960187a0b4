"""`callsheet emit`: say that a LoRA is trained, so that its actor's poster and film make themselves.

Covers the event's payload from what a person types, the server's address and sending it. Needs no Prefect
installed. What the event starts is flows/lora_trained.py's matter; docs/after-training.md is for trainers.
"""

from __future__ import annotations

import base64
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.doors.web import client, host_of
from callsheet.errors import CallsheetError, FileMissing, ProviderError, RequestInvalid, SettingInvalid, SettingMissing
from callsheet.events import LoraTrained
from callsheet.models import Family
from callsheet.redact import redact
from callsheet.settings import HIDDEN

if TYPE_CHECKING:
    import httpx

TRIES = 8
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses double from the first to the longest, each shortened by chance by up to a half: a minute in all."""

_TIMEOUT_S = 30.0
_WORDS = 300


def trained(
    actor: str,
    lora: str,
    manifest: Path | None = None,
    description: str = "",
    base_model: Family | None = None,
    sha256: str = "",
) -> LoraTrained:
    """The payload. Paths become absolute, because the flow runs elsewhere; a local file's digest is computed.

    Raises FileMissing, LoraUnsafe, RequestInvalid for a wrong field or a digest that is not the file's.
    """
    place, digest = _placed(lora)
    if sha256 and digest and sha256 != digest:
        raise RequestInvalid(field="sha256", detail=f"{place} has the digest {digest}",
                             remedy="wait until the file is written, or leave --sha256 away: it is computed")
    if manifest is not None and not manifest.is_file():
        raise FileMissing(path=manifest, what="the manifest",
                          remedy="check the path, or leave --manifest away to take the deployment's own")
    return LoraTrained.read({
        "actor_id": actor,
        "lora": place,
        "sha256": sha256 or digest or None,
        "manifest": str(manifest.absolute()) if manifest else "",
        "description": description,
        "base_model": base_model,
    })


def _placed(lora: str) -> tuple[str, str]:
    """Where the LoRA lies for everybody, and its digest if it lies here."""
    from callsheet.lora.inspect import find_lora
    from callsheet.store.base import sha256_of

    if re.fullmatch(r"s3://[^/\s]+/\S+", lora):
        return lora, ""
    if "://" in lora:
        raise RequestInvalid(field="lora", detail="it is neither a path nor s3://bucket/key",
                             remedy="copy the file to a folder or a bucket that callsheet can read")
    named = Path(lora).expanduser().absolute()
    path = find_lora(named.name, [named.parent])
    try:
        return str(path), sha256_of(path)
    except OSError as error:
        raise FileMissing(path=path, what=f"it cannot be read: {error.strerror}", remedy="check its permissions"
                          ) from None


def checked_id(text: str) -> str:
    """An event's id, a new one for an empty text. Raises RequestInvalid."""
    try:
        return str(uuid.UUID(text)) if text else str(uuid.uuid4())
    except ValueError:
        raise RequestInvalid(field="event id", detail=f"{text!r} is not a UUID", remedy="leave it away: one is made"
                             ) from None


def api_address(asked: str, home: Path, environment: Mapping[str, str] | None = None) -> str:
    """The Prefect API: as asked, else PREFECT_API_URL, else that of the server which `up` runs for this home.

    Raises RequestInvalid for what is not an address, SettingMissing when there is none.
    """
    from callsheet.doors.local.server import running

    address = asked or (os.environ if environment is None else environment).get("PREFECT_API_URL", "")
    if not address.strip():
        server = running(home)
        if server is None:
            raise SettingMissing(subject="a Prefect server", variable="PREFECT_API_URL to its address, or use --api; "
                                 "or start one on this machine with callsheet up")
        return server.api_url
    if re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address.strip()) is None:
        raise RequestInvalid(field="api", detail="it is not an http(s) address", remedy="write http://host:4200/api")
    return address.strip().rstrip("/")


def authorization(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The header that the server may want, from PREFECT_API_AUTH_STRING, else PREFECT_API_KEY; else none.

    Raises SettingInvalid for a key that no header can hold.
    """
    given = os.environ if environment is None else environment
    if pair := given.get("PREFECT_API_AUTH_STRING", "").strip():
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if key := given.get("PREFECT_API_KEY", "").strip():
        if re.fullmatch("[!-~]+", key) is None:
            raise SettingInvalid(variable="PREFECT_API_KEY", value=HIDDEN, detail="it has characters that no key has")
        return {"authorization": f"Bearer {key}"}
    return {}


def post(
    api: str,
    event: Mapping[str, Any],
    headers: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send the event until the server takes it; how many tries it took. Every try sends the same bytes.

    204 means that the event was taken, not that anything ran. 429, 5xx and lost connections are tried again.
    Raises RequestInvalid or SettingMissing when the server refuses it, ProviderError when it never answered well.
    """
    import httpx

    said = ""
    with client(api, _TIMEOUT_S) as web:
        for attempt, pause in enumerate(_pauses(), 1):
            try:
                answer = web.post(f"{api}/events", json=[dict(event)], headers=dict(headers))
            except httpx.TransportError as error:     # its words could quote a header: the type says enough
                said, wanted = f"nothing ({type(error).__name__})", 0.0
            else:
                if answer.status_code == 204:
                    return attempt
                if answer.status_code != 429 and answer.status_code < 500:
                    raise _refusal(answer, api, headers)
                said, wanted = _words(answer, headers), _asked_pause(answer)
            if attempt < TRIES:
                sleep(max(pause, wanted))
    raise ProviderError(
        provider=f"the Prefect server at {host_of(api)}", detail=f"{said}, {TRIES} times",
        remedy=f"check that it runs, then send it again with --event-id {event['id']}: twice does no harm",
    )


def _pauses() -> Iterator[float]:
    for n in range(TRIES):
        yield min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**n) * random.uniform(0.5, 1.0)


def _asked_pause(answer: httpx.Response) -> float:
    """Seconds of Retry-After, at most the longest pause."""
    wanted = answer.headers.get("retry-after", "")
    return min(float(wanted), LONGEST_PAUSE_S) if wanted.isdecimal() else 0.0


def _refusal(answer: httpx.Response, api: str, headers: Mapping[str, str]) -> CallsheetError:
    words = _words(answer, headers)
    if answer.status_code in (401, 403):
        return SettingMissing(subject=f"an authorization that {host_of(api)} accepts (it answered {words})",
                              variable="PREFECT_API_AUTH_STRING to user:password, or PREFECT_API_KEY")
    if answer.status_code in (409, 422):
        return RequestInvalid(field="event", detail=f"the server answered {words}",
                              remedy="see docs/after-training.md for the fields; the server may be another version")
    return RequestInvalid(field="api", detail=f"{host_of(api)} answered {words}",
                          remedy="give the address of the API itself: it usually ends with /api")


def _words(answer: httpx.Response, headers: Mapping[str, str]) -> str:
    """Status and the server's words, on one line and without what was sent for authorization."""
    secrets = {word for value in headers.values() for word in (value, value.partition(" ")[2]) if word}
    text = redact(" ".join(answer.text[:2000].split()), secrets)[:_WORDS]
    return f"{answer.status_code}: {text}" if text else str(answer.status_code)
