"""The event of a finished LoRA training: its shape, and what it is de-duplicated by.

Any process can post it over plain HTTP with no Prefect installed (docs/after-training.md). Pure values.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, ValidationError

from callsheet.errors import RequestInvalid
from callsheet.models import Family
from callsheet.units import Frozen, Sha256, Slug
from callsheet.words import told

LORA_TRAINED = "lora.training.completed"
RESOURCE_PREFIX = "lora.actor."


class LoraTrained(Frozen):
    """Payload of `lora.training.completed`. Validated inside the flow, because a trigger that cannot fill a
    parameter fails without a run."""

    actor_id: Slug
    lora: str = Field(min_length=1, max_length=1024)
    """Path or s3:// URL of the trained file."""
    sha256: Sha256 | None = None
    """Digest of that file, when the trainer knows it; checked."""
    manifest: str = ""
    """A manifest with the actor's row: script, voice, sound. Empty takes the deployment's own."""
    description: str = Field("", max_length=2000)
    base_model: Family | None = None

    @classmethod
    def read(cls, payload: dict[str, Any]) -> LoraTrained:
        """Raises RequestInvalid naming the first wrong field."""
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "payload"
            detail, remedy = told(first, cls.model_fields)
            raise RequestInvalid(
                field=f"payload.{field}",
                detail=f"{detail}: {remedy}",
                remedy="see docs/after-training.md for the fields of the event",
            ) from None

    def once_key(self, sha256: str) -> str:
        """One produce per actor and LoRA bytes, however many events say so."""
        return f"lora-trained-{self.actor_id}-{sha256}"


def as_event(payload: LoraTrained, event_id: str = "") -> dict[str, Any]:
    """The event as `POST /api/events` takes it, in a list of one."""
    return {
        "id": event_id or str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": LORA_TRAINED,
        "resource": {"prefect.resource.id": f"{RESOURCE_PREFIX}{payload.actor_id}"},
        "payload": payload.model_dump(mode="json", exclude_none=True),
    }
