"""What a machine lacks, said with the remedy, and where networks run."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import EngineUnable
from callsheet.faces import local_models
from callsheet.faces.local_models import device_of, files_of, missing, require
from tests.tiny.faces import place, settings_for


def test_weights_that_are_not_there_are_named_with_the_command(tmp_path: Path) -> None:
    reason = missing(settings_for(tmp_path), (), ("musetalk", "musetalk-vae"))
    assert "callsheet models download musetalk musetalk-vae" in reason and str(tmp_path) in reason


def test_a_module_that_is_not_installed_is_named_with_the_command(tmp_path: Path) -> None:
    place(tmp_path, "gfpgan").touch()
    assert "make models" in missing(settings_for(tmp_path), ("unheard_of",), ("gfpgan",))


def test_asking_for_it_anyhow_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineUnable, match="gfpgan cannot make restored faces.*callsheet models download gfpgan"):
        require(settings_for(tmp_path), (), ("gfpgan",), engine="gfpgan", what="restored faces")


def test_safetensors_beside_a_pth_are_its_weights(tmp_path: Path) -> None:
    pth = place(tmp_path, "gfpgan")
    assert files_of(settings_for(tmp_path), "gfpgan") == (pth,)
    pth.with_suffix(".safetensors").touch()
    assert files_of(settings_for(tmp_path), "gfpgan") == (pth.with_suffix(".safetensors"),)


def test_the_processor_is_taken_only_when_it_is_asked(tmp_path: Path) -> None:
    assert device_of(settings_for(tmp_path)) == "cpu"


def test_a_machine_without_a_gpu_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the extra `models` is not installed")
    place(tmp_path, "gfpgan").touch()
    monkeypatch.setattr(local_models, "device_of", lambda settings: "")
    assert "no GPU" in missing(settings_for(tmp_path), (), ("gfpgan",))
