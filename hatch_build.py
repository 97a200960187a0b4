"""Build hook: a wheel carries the project's top level (flows, tasks, deployments, ...) inside the package.

A folder called `flows` at the top of site-packages would collide with others, so the bundle lies under
callsheet/_project/, and callsheet.project.root() finds it there. An editable install uses the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLED = ("flows", "tasks", "deployments", "manifests", "prefect.yaml")


class BundleProject(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        for name in BUNDLED:
            source = Path(self.root) / name
            if source.exists():
                build_data["force_include"][str(source)] = f"callsheet/_project/{name}"
