"""The import rule of the house, checked on the source.

doors -> flows -> tasks -> rooms -> top-level domain modules -> nothing. Between rooms only a few contracts may be
taken; prefect belongs to flows, tasks and doors; heavy libraries are imported inside what needs them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("engines", "speech", "faces", "lora", "media", "store", "runpod")
DOORS_OVER_THERE = tuple(f"callsheet.runpod.{name}" for name in ("handler", "stagehand", "entrypoint", "worker"))
"""What a machine at RunPod is entered by, and what sends work there."""
SHARED = (
    "callsheet.store.base", "callsheet.media.ffmpeg", "callsheet.media.probe", "callsheet.runpod.client",
    "callsheet.lora.inspect",
)
RANK = {"top": 0, "room": 1, "tasks": 2, "flows": 3, "doors": 4}
HEAVY = ("torch", "diffusers", "transformers", "boto3", "botocore", "prefect", "pandas", "pyarrow", "av")
MAY_TAKE_PREFECT = ("flows/", "deployments/", "callsheet/runpod/worker.py")
"""Whoever imports these has imported Prefect: flows, and the worker, whose base classes are Prefect's."""
MAY_TAKE_AV = ("callsheet/media/", "callsheet/engines/", "callsheet/faces/")

SOURCES = sorted(
    path for folder in ("callsheet", "flows", "tasks", "deployments") for path in (ROOT / folder).rglob("*.py")
)


def where(module: str) -> tuple[str, str]:
    """The rank of a module and the room it is in."""
    parts = module.split(".")
    if parts[0] in ("flows", "tasks"):
        return parts[0], parts[0]
    if parts[0] == "deployments":
        return "doors", "deployments"
    if (len(parts) > 1 and parts[1] == "doors") or module in DOORS_OVER_THERE:
        return "doors", "doors"
    if len(parts) > 1 and parts[1] in ROOMS:
        return "room", parts[1]
    return "top", "top"


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether at module level."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in inside
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if (ROOT / (full.replace(".", "/") + ".py")).exists() else node.module), id(
                    node
                ) not in inside


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    rank, room = where(module_of(path))
    wrong = []
    for name, _ in imports(path):
        if name.split(".")[0] not in ("callsheet", "flows", "tasks", "deployments"):
            continue
        other_rank, other_room = where(name)
        sideways = rank == other_rank == "room" and room != other_room and name not in SHARED
        if RANK[other_rank] > RANK[rank] or sideways:
            wrong.append(name)
    assert not wrong, f"{path.relative_to(ROOT)} may not import {', '.join(wrong)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_prefect_and_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    rank, _ = where(module_of(path))
    wrong = []
    for module, at_top in imports(path):
        library = module.split(".")[0]
        if library == "prefect" and rank in ("top", "room"):
            wrong.append(module)
        elif library in HEAVY and at_top and rank != "tasks" and not name.startswith(MAY_TAKE_PREFECT):
            wrong += [] if library == "av" and name.startswith(MAY_TAKE_AV) else [module]
    assert not wrong, f"{name} may not import {', '.join(wrong)}"


def test_import_callsheet_pulls_in_nothing_heavy() -> None:
    program = "import sys, callsheet; print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    heavy = {name.split(".")[0] for name in out.split()} & {*HEAVY, "pydantic", "numpy", "PIL"}
    assert not heavy, f"import callsheet loads {heavy}"
