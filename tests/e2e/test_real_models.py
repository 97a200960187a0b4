"""From a manifest's rows to finished films by real pipelines: tiny random weights, on the processor.

Ava's LoRA is FLUX's: her poster is painted by FLUX.1 and her clips by Wan, which starts from it. Temo's is SDXL's:
poster by SDXL, clips by AnimateDiff. Leo's is SDXL's too, but his row asks for a FLUX poster.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callsheet.media.probe import probe
from callsheet.production import Production, Status
from tests.support.prefect_server import unconfigured
from tests.support.world import path_of

pytestmark = pytest.mark.slow

_COMMAND = [sys.executable, "-c", "from callsheet.doors.cli import main; main()"]
ALIKE = {
    "engine": "diffusers", "quality": "standard", "clip_px": "64", "clip_steps": "2", "clip_cfg": "5",
    "lipsync": "mouth_warp", "width": "64", "height": "64", "steps": "2", "seed": "1", "prompt": "on a hill",
    "seconds": "1", "restore": "off", "upscale": "off", "format": "128x128@24", "dialogue": "", "captions": "off",
    "style_lora_strength": "1", "model": "flux1-dev",
}
ROWS = (
    {**ALIKE, "id": "ava", "dialogue": "[S1] Here it comes!", "seconds": "6", "restore": "gfpgan",
     "upscale": "realesrgan_gpu", "format": "256x256@24", "captions": "beside"},
    {**ALIKE, "id": "temo", "model": "sdxl-base-1.0", "style_lora_strength": "0"},
    {**ALIKE, "id": "leo"},
)
STYLE = "SBai_style_101"


@dataclass(frozen=True)
class Night:
    """What one run of the command said."""

    exit_code: int
    words: str
    films: dict[str, Production] = field(default_factory=dict)

    def makers(self, who: str) -> dict[str, str]:
        """Stage -> who really made it."""
        return {row.stage: row.made_by for row in self.films[who].stages}


@dataclass(frozen=True)
class Machine:
    """A machine with weights and no GPU."""

    root: Path
    models: Path

    def run(self, *more: str) -> Night:
        with pytest.MonkeyPatch.context() as monkeypatch:
            unconfigured(monkeypatch)
            environment = dict(os.environ) | {
                "CALLSHEET_HOME": str(self.root / "home"), "CALLSHEET_MODELS": str(self.models),
                "CALLSHEET_DEVICE": "cpu", "CALLSHEET_LORAS": str(self.root / "loras"), "OMP_NUM_THREADS": "1",
            }
        done = subprocess.run(
            [*_COMMAND, "run", str(self.root / "actors.csv"), "--json", *more], capture_output=True, text=True,
            cwd=self.root, env=environment)
        made = [Production.model_validate(each) for each in json.loads(done.stdout or "[]")]
        return Night(done.returncode, done.stderr, {each.actor_id: each for each in made})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    from tests.tiny.faces import need_models, write_gfpgan, write_upscaler
    from tests.tiny.session import lora_file, models

    need_models()
    root = tmp_path_factory.mktemp("machine")
    write_upscaler(models())
    write_gfpgan(models())
    (root / "loras").mkdir()
    files = {STYLE: ("flux", 1), "ava": ("flux", 2), "temo": ("sdxl", 3), "leo": ("sdxl", 4)}
    for name, (family, seed) in files.items():
        (root / "loras" / f"{name}.safetensors").write_bytes(lora_file(family, seed).read_bytes())
    with (root / "actors.csv").open("w", newline="") as file:
        book = csv.DictWriter(file, list(ROWS[0]))
        book.writeheader()
        book.writerows(ROWS)
    yield Machine(root, models())
    from callsheet.doors.local.postgres import remove_database

    remove_database(root / "home")


@pytest.fixture(scope="module")
def night(machine: Machine) -> Night:
    return machine.run()


def test_each_film_is_made_by_the_models_of_its_actors_lora(night: Night) -> None:
    assert night.films["ava"].status is night.films["temo"].status is Status.MADE, night.words[-3000:]
    assert night.makers("ava") | {"speech": "espeak"} == night.makers("ava")
    for who in ("ava", "temo"):
        assert {stage: night.makers(who)[stage] for stage in ("poster", "takes", "segments")} == dict.fromkeys(
            ("poster", "takes", "segments"), "diffusers")


def test_a_film_goes_through_every_stage(night: Night) -> None:
    assert night.makers("ava")["lipsync"] == "mouth_warp"
    assert night.makers("ava")["restore"] == "gfpgan"
    assert night.makers("ava")["upscale"] == "realesrgan_gpu"
    assert sum(row.stage == "segments" for row in night.films["ava"].stages) == 2


def test_the_films_have_exactly_the_frames_and_size_asked_for(night: Night) -> None:
    for who, frames, side in (("ava", 144, 256), ("temo", 24, 128)):
        facts = probe(path_of(night.films[who].video))
        assert (facts.frames, facts.width, facts.height, facts.fps) == (frames, side, side, 24), who
        assert facts.has_audio


def test_a_lora_of_another_family_is_refused_in_one_sentence_and_the_others_go_on(night: Night) -> None:
    leo = night.films["leo"]
    assert (leo.status, leo.error_code) == (Status.FAILED, "lora.wrong_family")
    assert "leo" in leo.error and "sdxl" in leo.error and "flux" in leo.error and "\n" not in leo.error
    assert night.exit_code == 3


@pytest.mark.soak
def test_what_is_made_is_not_made_again(night: Night, machine: Machine) -> None:
    again = machine.run("--only", "ava").films["ava"]
    assert again.status is Status.MADE and all(row.cached for row in again.stages), again
