"""The volume of a rented machine: models, personas and caches, which outlive the machine.

A pod has it at /workspace, an endpoint's worker at /runpod-volume; CALLSHEET_VOLUME names another place. What is on
it is said to everything else by environment variables, those that are set already excepted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from callsheet.settings import VOLUMES

PLACES = VOLUMES
VARIABLE = "CALLSHEET_VOLUME"


@dataclass(frozen=True)
class Volume:
    """A folder with the layout of the studio's volume."""

    root: Path

    @property
    def models(self) -> Path:
        """One folder a kind: checkpoints, loras, vae, clip, unet and so on."""
        return self.root / "models"

    @property
    def personas(self) -> Path:
        return self.root / "personas"

    @property
    def cache(self) -> Path:
        """What libraries fetch by themselves; may be emptied at any time."""
        return self.root / "cache"

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """`given` with the volume's folders: where LoRAs are, and where libraries keep what they fetch."""
        found = {VARIABLE: str(self.root), "CALLSHEET_LORAS": str(self.models / "loras")}
        if os.access(self.root, os.W_OK):             # a volume may be mounted read-only, or owned by somebody else
            for folder in (self.models, self.personas, self.cache):
                folder.mkdir(exist_ok=True)
            found |= {
                "HF_HOME": str(self.cache / "huggingface"), "TORCH_HOME": str(self.cache / "torch"),
                "TORCHINDUCTOR_CACHE_DIR": str(self.cache / "inductor"),
            }
        return {**found, **given}


def find(environment: Mapping[str, str], places: Sequence[Path] = PLACES) -> Volume | None:
    """The volume that is mounted here, None on a machine without one."""
    if named := environment.get(VARIABLE):
        return Volume(Path(named))
    return next((Volume(place) for place in places if place.is_dir()), None)


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process gets that works on a rented machine: the volume's folders, and no key of the provider.

    GPU work is done right there: a worker that sent its work to a worker would never end.
    """
    kept = {name: value for name, value in environment.items() if not _of_the_provider(name)}
    volume = find(environment)
    return {**(volume.environment(kept) if volume else kept), "CALLSHEET_GPU": "here"}


def _of_the_provider(name: str) -> bool:
    return name.startswith("RUNPOD_") and name not in ("RUNPOD_POD_ID", "RUNPOD_ENDPOINT_ID", "RUNPOD_DC_ID")
