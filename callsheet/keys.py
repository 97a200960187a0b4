"""Delivery keys: where a production's files are found under the destination.

Keys of the store itself (blobs, records, claims) are in store/; these are the replaceable pointers that people
and other systems read. Every id is checked before it becomes a part of a key.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from datetime import UTC, datetime
from typing import Literal

from callsheet.errors import RequestInvalid

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""The pattern of models.Slug, matched in full."""

SLUG_WORDS = "lower-case letters, digits, _ and -, at most 64, a letter or digit first"

TIMESTAMP_SLOT = "{timestamp}"
"""Stands in a planned key for the moment its artifact was made, which nobody knows before."""


def slug(value: str, field: str) -> str:
    """`value` itself when it is safe in a key. Raises RequestInvalid naming `field`."""
    if not SLUG.fullmatch(value):
        raise RequestInvalid(field=field, detail=f"{value!r} is no id", remedy=f"use {SLUG_WORDS}")
    return value


def poster(actor_id: str, user_id: str | None, fingerprint: str) -> str:
    """Key of a poster frame, a JPEG. The uuid follows from the recipe's fingerprint: a repeat has the same key.

    Without a user the key holds TIMESTAMP_SLOT, to be filled by `stamped` once the record exists.
    """
    actor = slug(actor_id, "actor_id")
    name = uuid.uuid5(uuid.NAMESPACE_OID, fingerprint)
    if user_id:
        return f"characters/{slug(user_id, 'user_id')}/{actor}/poster_frames/poster_{name}.jpeg"
    return f"actors/{actor}/poster_frames/poster_{TIMESTAMP_SLOT}_{name}.jpeg"


def stamped(key: str, made_at: datetime) -> str:
    """The key with the time stamp of its record, such as 20260131T235959Z, where it has a slot for one.

    Raises ValueError for a moment without a time zone.
    """
    if made_at.tzinfo is None:
        raise ValueError(f"{made_at} has no time zone")
    return key.replace(TIMESTAMP_SLOT, made_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"))


def video(job_id: str) -> str:
    """Key of the finished film."""
    return _job(job_id, "final.mp4")


def thumbnail(job_id: str) -> str:
    """Key of the film's picture."""
    return _job(job_id, "thumbnail.jpg")


def lipsync(job_id: str) -> str:
    """Key of what a lip-sync job made."""
    return _job(job_id, "lipsync.mp4")


def segment(job_id: str) -> str:
    """Key of the raw clip that a segment job made."""
    return _job(job_id, "segment.mp4")


def captions(job_id: str, kind: Literal["srt", "vtt"]) -> str:
    """Key of a caption file."""
    return _job(job_id, f"captions.{kind}")


STEMS = ("voice", "music_effects", "full_mix")
"""The sound of a film as files of their own; the first two add up to what the third is mastered from."""


def stem(job_id: str, name: str) -> str:
    """Key of one of STEMS."""
    return _job(job_id, f"audio/{name}.wav")


def production(job_id: str) -> str:
    """Key of the production's account: what was made, by what, at what cost."""
    return _job(job_id, "production.json")


def take(persona_id: str, number: int) -> str:
    """Key of a persona's base clip; the first take has number 0."""
    if number < 0:
        raise RequestInvalid(field="take", detail=f"{number} is no number of a take", remedy="count from 0")
    return f"personas/{slug(persona_id, 'persona_id')}/takes/take_{number}.mp4"


def contact_sheet(name: str, part: bool = False) -> str:
    """Key of a batch's page; `name` is its manifest's, whatever that may be. A batch of chosen actors is a `part`.

    A name that is no id becomes one, with a digest so that names that look alike do not meet.
    """
    whole = unicodedata.normalize("NFKD", name)
    word = re.sub(r"[^a-z0-9_]+", "-", whole.encode("ascii", "ignore").decode().lower()).strip("-_")[:40]
    mark = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    safe = name if SLUG.fullmatch(name) else f"{word or 'batch'}-{mark}"
    return f"contact_sheets/{safe}{'-only' * part}.html"


def _job(job_id: str, name: str) -> str:
    return f"videos/{slug(job_id, 'job_id')}/{name}"
