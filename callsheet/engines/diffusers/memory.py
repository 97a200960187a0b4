"""How a model is held in the memory that is free: whole, in eight bits, in parts, or not at all.

    plan(free=47.1, weights=31.4, work=4.0).held     Held.FULL

Pure. Measuring what is free is loading.py's matter. Only memory decides, never speed: what fits whole is held whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Held(StrEnum):
    """From fast to small."""

    FULL = "full"
    """Everything on the device."""
    CASTED = "casted"
    """The large networks' weights in eight bits; each layer works in the model's own precision."""
    GROUP_OFFLOAD = "group_offload"
    """Weights in the machine's memory; each layer's come to the device while it works."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Plan:
    """What was decided, with its figures in GiB."""

    held: Held
    free: float
    needed: float

    def __str__(self) -> str:
        return f"{self.held.value}: {self.needed:.1f} GiB of {self.free:.1f} GiB free"


SPARE = 0.7
"""GiB that the driver and fragments take."""
CASTED_SHARE = 0.56
"""Of the weights' size that is left in eight bits: norms, embeddings and the autoencoder stay as they are."""
OFFLOADED_SHARE = 0.08
"""Of the weights' size that is on the device at a time, layers fetched ahead included."""


def plan(free: float, weights: float, work: float, *, may_cast: bool = True, may_offload: bool = True) -> Plan:
    """The fastest way that fits.

    Args:
        free: GiB that the device has left for this.
        weights: GiB of all weights in the precision they work in.
        work: GiB that the work itself takes at most: activations, and the decoding of the result.
        may_cast: Whether the device can hold eight-bit weights.
        may_offload: Whether there is a memory beside the device's own.
    """
    ways = [(Held.FULL, 1.0)]
    ways += [(Held.CASTED, CASTED_SHARE)] if may_cast else []
    ways += [(Held.GROUP_OFFLOAD, OFFLOADED_SHARE)] if may_offload else []
    needs = [(held, weights * share + work + SPARE) for held, share in ways]
    for held, needed in needs:
        if needed <= free:
            return Plan(held, free, needed)
    return Plan(Held.REFUSED, free, needs[-1][1])


def work_gib(width: int, height: int, frames: int = 1, together: int = 1) -> float:
    """About what a job takes beside the weights: grows with the pixels that are held at a time.

    Decoding bounds it from above: clips are decoded in parts, so that frames count for a part of their size only.
    """
    megapixels = width * height / 2**20
    return together * (0.4 + 2.6 * megapixels + 0.12 * megapixels * (frames - 1))
