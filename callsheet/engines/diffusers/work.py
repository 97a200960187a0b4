"""One piece of work as a pipeline sees it, and how its progress is told. Knows neither recipes nor the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    import torch

Tell = Callable[[int, int, Any], None]
"""Called after each step with its number from 1, the number of steps, and the latents as the pipeline holds them. What
it raises (Cancelled) ends the work at once."""


@dataclass(frozen=True)
class Slot:
    """A LoRA that is to be loaded."""

    adapter: str
    """Its name inside the pipeline: letters, digits and _ only, the same for the same slot of every actor."""
    path: Path
    strength: float
    name: str
    """How people call the file."""
    digest: str = ""
    """sha256 of the file: what tells whether it is loaded already."""


@dataclass(frozen=True)
class Job:
    """What is to be made."""

    prompt: str
    negative: str
    width: int
    """Pixels of the result; a pipeline that wants other multiples makes more and is cropped."""
    height: int
    frames: int
    """1 for a picture."""
    steps: int
    guidance: float
    """flux_guidance for FLUX, cfg for all others."""
    seed: int
    sampler: str = ""
    """ComfyUI's names; empty takes the model's own."""
    scheduler: str = ""
    first: Image.Image | None = None
    """RGB; what a clip starts from."""
    last: Image.Image | None = None
    """RGB; what a clip ends with, for models that take one."""
    goes_on: bool = False
    """Whether `first` is the last frame of the clip before: it is then not shown a second time."""
    video: Sequence[Image.Image] = field(default=())
    """RGB frames that a clip is made after (video to video)."""
    control: Sequence[Image.Image] = field(default=())
    """RGB frames that lead a ControlNet, one a frame or one for all."""
    freedom: float = 0.7
    """How far a clip may leave `video`: 0 keeps it, 1 ignores it."""

    def generator(self) -> torch.Generator:
        """Always the processor's: the same seed then means the same on every card."""
        import torch

        return torch.Generator("cpu").manual_seed(self.seed)
