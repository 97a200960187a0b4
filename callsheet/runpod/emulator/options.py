"""What an emulator is made with. All times are emulated seconds unless the name of the field says otherwise."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from callsheet.units import Frozen

Wait = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Options(Frozen):
    key: str = Field(default="emulated", min_length=1)
    """The account's API key."""
    images: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Part of an image's name -> the command that stands for it; the container's `args` are appended.

    Looked through in order, before the default: an image whose name contains `callsheet` runs our handler or
    our pod's entry point.
    """
    scale: float = Field(default=1.0, ge=0, le=1000)
    """Emulated seconds in a real one; 0: time stands still until it is advanced."""
    start: float | None = None
    """Seconds since 1970 when it begins, when there is no earlier state. Default: now."""
    provision_s: Wait = 0.2
    """How long a pod is PROVISIONING."""
    start_s: Wait = 0.2
    """How long it is STARTING then."""
    restart_s: Wait = 1.0
    """A container that ended is started again after so long."""
    cold_start_s: Wait = 0.2
    """From a worker's placement (when it begins to cost) to the start of its process."""
    heartbeat_s: Wait = 10.0
    """A worker that died is missed after so long: its jobs are delivered again."""
    redeliveries: int = Field(default=1, ge=0, le=10)
    """How often a job is delivered again before it FAILED."""
    stop_grace_s: Wait = 30.0
    """A worker that does not give up a stopped job is ended after so long."""
    ping_s: int = Field(default=10, ge=1, le=60)
    """Real seconds between a worker's pings."""
    capacity: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """`card@data centre`, with * for any -> machines that are free at first. Default: enough."""
