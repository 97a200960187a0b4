"""What a check of `callsheet doctor` looks at, and what it says.

Values only: the checks are in checks_machine.py and checks_services.py, running them is doctor.py's matter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from callsheet.errors import CallsheetError
from callsheet.settings import Settings

ADDRESSES: Mapping[str, str] = MappingProxyType({
    "RunPod": "https://api.runpod.io",
    "ElevenLabs": "https://api.elevenlabs.io",
    "Hugging Face": "https://huggingface.co",
})
"""Services that have one address for everybody. They are asked only when their key is set."""


class Level(StrEnum):
    """How bad it is. Only a problem makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    level: Level
    found: str
    remedy: str = ""
    """What to do. Never empty unless the level is ok; there it says what more is possible."""

    def __post_init__(self) -> None:
        if self.level is not Level.OK and not self.remedy:
            raise ValueError(f"{self.name}: a {self.level} without a remedy")


@dataclass(frozen=True)
class Site:
    """What is examined."""

    settings: Settings
    manifest: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    addresses: Mapping[str, str] = field(default_factory=lambda: ADDRESSES)


    def address(self, name: str) -> str:
        """Where a service is asked: another RunPod, such as an emulator, may be configured."""
        own = self.settings.runpod_api
        return own if name == "RunPod" and own != ADDRESSES["RunPod"] else self.addresses[name]


@dataclass(frozen=True)
class Check:
    """A question to a site, and the seconds it may take. `late` is the level of one that does not end in time."""

    name: str
    look: Callable[[Site], Finding]
    limit_s: float = 30.0
    late: Level = Level.PROBLEM


def from_error(name: str, error: CallsheetError, level: Level = Level.PROBLEM) -> Finding:
    """An error as a line of the report."""
    return Finding(name, level, error.what, error.fix)
