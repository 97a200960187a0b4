"""Networks of single files: which they are, how they are read, and how a picture goes through one in tiles."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from callsheet.errors import EngineUnable, OutOfMemory
from callsheet.faces import realesrgan_gpu, spandrel_models
from callsheet.faces.realesrgan_gpu import RealEsrganGpu, enlarge
from callsheet.faces.spandrel_models import Network, load, spandrel_module
from callsheet.recipes import UpscaleRecipe
from tests.faces.portrait import portrait
from tests.support.clips import ref, room
from tests.tiny.faces import need_models, one_thread, place, settings_for, write_upscaler

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def extra() -> None:
    need_models()
    one_thread()


def test_a_file_tells_its_architecture_and_scale(tmp_path: Path) -> None:
    network = load(write_upscaler(tmp_path, scale=4), "cpu")
    assert (network.architecture, network.scale, network.half) == ("Compact", 4, False)
    made = network(np.full((2, 8, 12, 3), 90, np.uint8))
    assert made.shape == (2, 32, 48, 3) and made.dtype == np.uint8 and abs(float(made.mean()) - 90) < 8


def test_real_esrgans_own_architecture_is_known(tmp_path: Path) -> None:
    import torch

    spandrel_module()
    from spandrel.architectures.ESRGAN import ESRGAN

    path = tmp_path / "RealESRGAN_x4plus.pth"
    torch.save({"params_ema": ESRGAN(num_filters=4, num_blocks=1, scale=4).state_dict()}, path)
    network = load(path, "cpu")
    assert (network.architecture, network.scale) == ("ESRGAN", 4)
    assert network(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 32, 32, 3)


def test_nothing_of_torchvision_stays_behind_where_it_is_absent() -> None:
    spandrel_module()
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision" and not _is_real(name)]


def _is_real(name: str) -> bool:
    return getattr(sys.modules[name], "__file__", None) is not None


def test_the_same_file_is_loaded_once(tmp_path: Path) -> None:
    path = write_upscaler(tmp_path)
    assert load(path, "cpu") is load(path, "cpu")


def test_safetensors_beside_a_pth_go_first(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    pth = write_upscaler(tmp_path, scale=4)
    state = torch.load(write_upscaler(tmp_path / "other", scale=2), weights_only=True)["params_ema"]
    save_file(state, pth.with_suffix(".safetensors"))
    recipe = UpscaleRecipe(engine=RealEsrganGpu(settings_for(tmp_path)).id, clip=ref("clip"), factor=4)
    with pytest.raises(EngineUnable, match=r"safetensors enlarges 2 times, 4 were asked"):
        RealEsrganGpu(settings_for(tmp_path)).upscale(recipe, room(tmp_path / "room", {}))


class Harmful:
    """Runs a command when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["code", "text", "truncated", "strange"])
def test_a_file_that_is_no_network_is_refused_by_name_and_runs_nothing(tmp_path: Path, kind: str) -> None:
    import torch

    path = place(tmp_path, "realesrgan")
    if kind == "code":
        torch.save({"params_ema": Harmful(tmp_path / "harm")}, path)
    elif kind == "text":
        path.write_text("not a network")
    elif kind == "truncated":
        whole = write_upscaler(tmp_path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(EngineUnable, match=r"RealESRGAN_x4plus\.pth.*callsheet models download"):
        load(path, "cpu")
    assert not (tmp_path / "harm").exists()


def test_tiles_leave_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load(write_upscaler(tmp_path), "cpu")
    small = np.asarray(portrait(90, 70))
    whole = enlarge(small, network).astype(int)
    assert whole.shape == (280, 360, 3)
    monkeypatch.setattr(realesrgan_gpu, "TILE", 32)
    apart = np.abs(enlarge(small, network).astype(int) - whole)
    assert apart.max() <= 1, f"{apart.max()} at most"


def test_too_little_memory_is_told_as_such() -> None:
    import torch

    def run(values: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(OutOfMemory, match="Tried to allocate"):
        Network("weights.pth", "ESRGAN", 4, "cpu", False, run)(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_card_that_is_full_while_loading_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    network = SimpleNamespace(architecture=SimpleNamespace(id="ESRGAN"), supports_half=True, to=full)
    monkeypatch.setattr(spandrel_models, "_descriptor", lambda path: network)
    with pytest.raises(OutOfMemory, match="too little memory"):
        load(write_upscaler(tmp_path), "cpu")
