"""The entries of a recipe's log: claims, failures, records. Values only; records.py reads and writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from callsheet.recipe import Stage
from callsheet.store.base import Artifact
from callsheet.units import Frozen, Sha256

SCHEMA = 1
"""Version of the entries below. A later release reads every earlier one."""


class Claim(Frozen):
    """Somebody is making it until `until`, in seconds since the epoch."""

    kind: Literal["claim"] = "claim"
    schema_version: int = SCHEMA
    owner: str
    until: float


class Failure(Frozen):
    """An attempt ended without a result; the claim before it is released."""

    kind: Literal["failure"] = "failure"
    schema_version: int = SCHEMA
    owner: str
    at: datetime
    code: str
    message: str
    remedy: str
    retryable: bool


class Record(Frozen):
    """A result: files, what is known about them, and what they were made from and by."""

    kind: Literal["record"] = "record"
    schema_version: int = SCHEMA
    stage: Stage
    fingerprint: Sha256
    recipe: dict[str, Any]
    artifacts: dict[str, Artifact]
    facts: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, Sha256] = Field(default_factory=dict)
    """`stage/fingerprint/name` of each input -> digest of the bytes it had."""
    made_by: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    made_at: datetime
    owner: str = ""

    def artifact(self, name: str = "main") -> Artifact:
        return self.artifacts[name]


Entry = Claim | Failure | Record

ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])
