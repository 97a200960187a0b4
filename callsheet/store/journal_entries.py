"""The entries of the journal. Values only; journal.py reads and writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from callsheet.costs import Outcome
from callsheet.pricing import Rate
from callsheet.units import Frozen, Sha256

SCHEMA = 1
"""Version of the entries below. A later release reads every earlier one."""


class Intent(Frozen):
    """An attempt begins: written before anything is asked of the provider."""

    kind: Literal["intent"] = "intent"
    schema_version: int = SCHEMA
    attempt: int = Field(ge=1)
    owner: str
    until: float
    """When the owner's lease runs out, in seconds since the epoch."""
    at: AwareDatetime
    worst_usd: float = Field(ge=0, allow_inf_nan=False)
    """The most that this attempt can cost."""
    rate: Rate | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    """JSON values: who it is for, and on which endpoint."""


class Submitted(Frozen):
    """The provider took it, under this id."""

    kind: Literal["submitted"] = "submitted"
    schema_version: int = SCHEMA
    attempt: int = Field(ge=1)
    owner: str
    until: float
    at: AwareDatetime
    job_id: str = Field(min_length=1)
    began: int
    """Number of the attempt's intent."""
    rate: Rate | None = None
    """What it costs, where the answer told."""


class Lease(Frozen):
    """The owner goes on, or somebody else took over."""

    kind: Literal["lease"] = "lease"
    schema_version: int = SCHEMA
    attempt: int = Field(ge=1)
    owner: str
    until: float
    job_id: str = ""
    """Empty until the provider's answer is known."""
    began: int


class Ended(Frozen):
    """The attempt is over, and why. The next entry can only be another attempt's intent."""

    kind: Literal["ended"] = "ended"
    schema_version: int = SCHEMA
    attempt: int = Field(ge=1)
    owner: str
    at: AwareDatetime
    outcome: Outcome
    job_id: str = ""
    seconds: float = Field(default=0.0, ge=0)
    """Of paid work, as the provider told."""
    artifacts: dict[str, Sha256] = Field(default_factory=dict)
    """Name -> digest of each file that the job reported."""
    code: str = ""
    message: str = ""
    remedy: str = ""
    retryable: bool = False
    began: int


Entry = Intent | Submitted | Lease | Ended

ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])
