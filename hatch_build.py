"""Build hook: a wheel carries the project's top level (flows, tasks, deployments, ...) inside the package.

A folder called `flows` at the top of site-packages would collide with others, so the bundle lies under
callsheet/_project/, and callsheet.project.root() finds it there. An editable install uses the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLED = ("flows", "tasks", "deployments", "manifests", "prefect.yaml")


def _left_by_a_run(path: Path) -> bool:
    return path.suffix in (".pyc", ".bak") or path.name.endswith(".results.csv")


class BundleProject(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        root = Path(self.root)
        for name in BUNDLED:
            place = root / name
            for source in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if source.is_file() and not _left_by_a_run(source):
                    inside = source.relative_to(root).as_posix()
                    build_data["force_include"][str(source)] = f"callsheet/_project/{inside}"
