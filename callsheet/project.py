"""Where the project's top level lies: flows, tasks, deployments, manifests and prefect.yaml.

In a checkout that is the repository's root; in an installed wheel it is bundled inside the package. Doors
reach flows only through `importable()`, because Python finds `flows` by itself in neither place.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def root() -> Path:
    """The folder that holds flows/ and prefect.yaml."""
    package = Path(__file__).resolve().parent
    bundled = package / "_project"
    return bundled if bundled.is_dir() else package.parent


def enter() -> dict[str, str]:
    """A pull step of prefect.yaml: run in the project of the machine that runs, wherever it is installed there."""
    os.chdir(importable())
    return {"directory": str(root())}


def importable() -> Path:
    """Put the root where Python looks for modules, and return it."""
    folder = root()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder
