"""What comes back from a job: `{success, output, metadata, duration_ms}`, and an error where it failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from callsheet.errors import as_ours
from callsheet.jobs.base import Request
from callsheet.units import Frozen


class Trouble(Frozen):
    """Why a job failed, and what to do about it."""

    code: str
    message: str
    remedy: str


class Reply(Frozen):
    """The answer to a request. `error` is there when success is false; `warnings` when there are any."""

    success: bool
    output: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    duration_ms: int
    """Wall time from the request to the reply."""
    error: Trouble | None = None
    warnings: tuple[str, ...] = ()
    """What a person should know about what was made, such as that no model was there to make it."""

    @classmethod
    def failed(cls, request: Request | None, error: Exception, duration_ms: int) -> Self:
        """The answer when `error` ended a job. An error that is not ours is told by its kind and words."""
        known = as_ours(error)
        return cls(
            success=False,
            metadata=_who(request),
            duration_ms=duration_ms,
            error=Trouble(code=known.code, message=known.what, remedy=known.fix),
        )

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> Mapping[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value or name not in ("error", "warnings")}


def _who(request: Request | None) -> dict[str, Any]:
    """What names a request, as far as it was given."""
    names = ("job_id", "persona_id", "actor_id", "quality")
    found = {name: getattr(request, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}
