"""The example LoRAs are what their script writes, and pass every check that a trained one must pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.lora.inspect import check_finite, find_lora, inspect
from callsheet.models import Family

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
LORAS = EXAMPLES / "loras"
STYLES = {
    "0000_european_16_male": "peft",
    "0001_european_20_female": "peft",
    "0002_european_35_female": "kohya",
    "SBai_style_101": "peft",
}


def test_the_script_writes_the_committed_files_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "make_loras.py", tmp_path], check=True, capture_output=True)
    committed = {path.name: path.read_bytes() for path in LORAS.iterdir()}
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(written) == sorted(committed) == sorted(f"{name}.safetensors" for name in STYLES)
    differ = [name for name in written if written[name] != committed[name]]
    assert not differ, f"run manifests/examples/make_loras.py again: {differ} differ"


@pytest.mark.parametrize("name", STYLES)
def test_an_example_is_a_flux_lora_of_rank_2_in_its_style(name: str) -> None:
    facts = inspect(find_lora(name, [LORAS]))
    assert (facts.family, facts.rank, facts.style) == (Family.FLUX, 2, STYLES[name])


@pytest.mark.parametrize("name", STYLES)
def test_an_example_has_finite_numbers_and_is_small(name: str) -> None:
    path = find_lora(name, [LORAS])
    assert check_finite(path) >= 8
    assert path.stat().st_size < 120_000, f"{path.stat().st_size} bytes are too many for a repository"


def test_the_kohya_example_says_what_it_was_trained_for() -> None:
    assert inspect(find_lora("0002_european_35_female", [LORAS])).metadata["ss_base_model_version"] == "flux1"


def test_the_examples_differ_from_each_other() -> None:
    assert len({path.read_bytes() for path in LORAS.iterdir()}) == len(STYLES)
