"""`callsheet up` as a user starts it: a process of its own, a home of its own, a small manifest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from callsheet.doors.local.postgres import remove_database

EXAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "examples"
AVA = "0001_european_20_female"
MARTA = "0002_european_35_female"
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class House:
    """A running `callsheet up`."""

    folder: Path
    api: str
    ui: str
    process: subprocess.Popen[str]
    environment: dict[str, str]

    def post(self, path: str, body: Any) -> Any:
        answer = httpx.post(f"{self.api}{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.api}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def delete(self, path: str) -> None:
        httpx.delete(f"{self.api}{path}", timeout=30).raise_for_status()

    def deployment(self, name: str) -> str:
        return str(self.get(f"/deployments/name/{name}")["id"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Flow runs of a deployment that are more than planned, newest first."""
        body = {
            "deployments": {"id": {"any_": [self.deployment(deployment)]}},
            "sort": "START_TIME_DESC",
        }
        return [run for run in self.post("/flow_runs/filter", body) if run["state_type"] != "SCHEDULED"]

    def wait(self, what: str, found: Callable[[], Any], patience_s: float = 180) -> Any:
        """Ask until there is an answer. Fails with the workers' last words."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            answer = found()
            if answer:
                return answer
            time.sleep(0.5)
        raise AssertionError(f"waited {patience_s:.0f} s for {what}\n{self.words()}")

    def ended(self, deployment: str, count: int = 1) -> list[dict[str, Any]]:
        """The newest runs of a deployment, once `count` of them have ended and none goes on."""

        def found() -> list[dict[str, Any]] | None:
            runs = self.runs(deployment)
            done = len(runs) >= count and all(run["state_type"] in FINAL for run in runs)
            return runs if done else None

        answer: list[dict[str, Any]] = self.wait(f"{count} run(s) of {deployment} to end", found)
        return answer

    def words(self) -> str:
        """The last words of every log."""
        logs = sorted((self.folder / "home" / "logs").glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def films(self) -> list[Path]:
        return sorted((self.folder / "home" / "delivery").glob("videos/*/final.mp4"))


def small_manifest(folder: Path) -> Path:
    """One actor, one short scene, small and square."""
    shutil.copytree(EXAMPLES / "loras", folder / "loras")
    manifest = folder / "night.csv"
    manifest.write_text(
        "id,name,lora,prompt,dialogue,seconds,quality,format,title\n"
        f"{AVA},Ava,loras/{AVA}.safetensors,on a hill at night,Good night.,2,draft,320x320@24,Good night\n"
        f"{MARTA},Marta,loras/{MARTA}.safetensors,in a kitchen,,2,draft,320x320@24,In the kitchen\n"
    )
    return manifest


@contextmanager
def up(
    folder: Path, manifest: Path, python: Path | str = sys.executable, settings: Mapping[str, str] | None = None
) -> Iterator[House]:
    """Run `callsheet up` of an environment until the block ends, then stop it as a user would."""
    home = folder / "home"
    environment = {**plain_environment(), "CALLSHEET_HOME": str(home), **(settings or {})}
    said = folder / "said.txt"
    with said.open("w") as out:
        process = subprocess.Popen(
            [str(python), "-m", "callsheet.doors.cli", "up", "--manifest", str(manifest), "--port", "0"],
            cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, text=True,
        )
    try:
        state = _state(home, process, said)
        yield House(folder, state["api_url"], state["ui_url"], process, environment)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert "stopping" in said.read_text(), said.read_text()


def _state(home: Path, process: subprocess.Popen[str], said: Path) -> dict[str, str]:
    """up.json, once everything runs."""
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        if "callsheet is up" in said.read_text():
            state: dict[str, str] = json.loads((home / "up.json").read_text())
            return state
        time.sleep(0.2)
    raise AssertionError(f"callsheet up did not come up: {said.read_text()}")


def plain_environment() -> dict[str, str]:
    """This process's environment without any setting of callsheet's, Prefect's or a provider's."""
    ours = ("PREFECT_", "CALLSHEET_", "AWS_", "R2_", "RUNPOD_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def forget(folder: Path) -> None:
    """Remove the database of a house, which as root lies elsewhere."""
    remove_database(folder / "home")
