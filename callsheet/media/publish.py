"""A finished file appears under its name, whole, at once. For what is made by hand; the store has its own way."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from callsheet.errors import InputError


def publish(file: Path, target: Path, overwrite: bool) -> None:
    """Let `target` appear; nothing is replaced unless that was asked. Raises InputError."""
    if file.stat().st_dev != target.parent.stat().st_dev:
        with tempfile.TemporaryDirectory(prefix=f".{target.stem[:60]}-", dir=target.parent) as near:
            publish(Path(shutil.copyfile(file, Path(near) / target.name)), target, overwrite)
        return
    if overwrite:
        file.replace(target)
        return
    try:
        os.link(file, target)                          # refuses where a rename would overwrite
    except FileExistsError:
        raise InputError(detail=f"{target} exists by now", remedy="give another name, or --overwrite") from None
    except OSError:                                    # a file system without links
        file.rename(target)
