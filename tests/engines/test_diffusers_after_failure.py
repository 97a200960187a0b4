"""The warm pipeline of the diffusers engine after work that ended badly: nothing stays in it, nothing keeps it."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callsheet.base_models import base_model
from callsheet.engines.diffusers import engine, stack, warm
from callsheet.engines.diffusers.loading import Loaded
from callsheet.engines.diffusers.memory import Held, Plan
from callsheet.engines.diffusers.warm import Warm
from callsheet.errors import Cancelled, EngineError, OutOfMemory
from tests.engines.test_diffusers_posters import FLUX, Painter, lora, out_of_memory
from tests.engines.test_diffusers_posters import stack as slots
from tests.support.clips import AVA

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models() -> Path:
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    from tests.tiny import session

    return session.models()


@pytest.fixture(scope="module")
def shared() -> Warm:
    return Warm()


@pytest.fixture
def painter(models: Path, tmp_path: Path, shared: Warm) -> Painter:
    return Painter(tmp_path, models, shared)


@pytest.mark.parametrize("at", ["the first load", "a swap"])
def test_out_of_memory_while_a_lora_is_loaded_is_no_fault_of_the_file(
    painter: Painter, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    own = painter.digest(loras=slots(painter, 2)) if at == "a swap" else painter.digest()
    monkeypatch.setattr(stack, "_load", lambda *_, **how: out_of_memory())
    with pytest.raises(OutOfMemory, match="out of memory"):
        painter.paint(loras=slots(painter, 3))
    assert painter.warm._loaded is None
    monkeypatch.undo()
    assert painter.digest(loras=slots(painter, 2) if at == "a swap" else ()) == own


def test_a_swap_that_ends_half_way_leaves_nothing_of_the_new_file(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = painter.digest(loras=slots(painter, 2))

    def mistaken(*_: Any) -> None:
        raise AttributeError("after the new weights were copied")

    monkeypatch.setattr(stack, "_settle", mistaken)
    with pytest.raises(AttributeError):
        painter.paint(loras=slots(painter, 3))
    monkeypatch.undo()
    assert painter.digest(loras=slots(painter, 2)) == before


@pytest.mark.parametrize("kind", [Cancelled, EngineError])
def test_an_error_that_somebody_keeps_does_not_keep_the_pipeline(painter: Painter, kind: type[Exception]) -> None:
    painter.paint()
    loaded = painter.warm._loaded
    assert loaded is not None
    pipe = weakref.ref(loaded.pipe)

    def stop(what: str) -> None:
        if what == "step 2 of 3":
            raise Cancelled(what="it") if kind is Cancelled else RuntimeError("CUDA error")

    painter.stop = stop
    with pytest.raises(kind) as kept:
        painter.paint()
    painter.warm.free()
    gc.collect()
    assert pipe() is None, f"{kept.value} holds the pipeline: the next model does not find its memory"


def test_after_an_unknown_error_the_model_is_loaded_anew(painter: Painter) -> None:
    own = painter.digest()

    def stop(what: str) -> None:
        if what == "step 2 of 3":
            loaded = painter.warm._loaded
            assert loaded is not None
            loaded.pipe.transformer.proj_out.weight.data.fill_(0)
            raise RuntimeError("whatever state it is in")

    painter.stop = stop
    with pytest.raises(EngineError, match="whatever state"):
        painter.paint()
    painter.stop = None
    assert painter.digest() == own


def test_a_picture_of_unfinished_work_that_cannot_be_made_ends_nothing(
    painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = painter.digest(steps=6)
    shown = len(painter.shown)
    assert shown == 1
    monkeypatch.setattr(engine, "sketch", out_of_memory)
    assert painter.digest(steps=6) == own
    assert len(painter.shown) == shown


class Part:
    """Something large that refers to itself, as networks do."""

    def __init__(self) -> None:
        self.itself = self


def test_a_model_whose_loading_was_cancelled_is_gone_before_the_next_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the extra `models` is not installed")
    monkeypatch.setattr(warm, "TELL_EVERY_S", 0.01)
    goes_on, there = threading.Event(), list[list[bool]]()
    parts: list[weakref.ref[Part]] = []

    def load(*_: Any) -> Loaded:
        goes_on.wait(10)
        there.append([part() is not None for part in parts])
        pipe = Part()
        parts.append(weakref.ref(pipe))
        maker: Any = SimpleNamespace()
        return Loaded(base_model(FLUX), pipe, maker, Plan(Held.FULL, 9.0, 1.0), "cpu", None)

    def cancelled(share: float, what: str) -> None:
        if what.endswith("0 s"):
            raise Cancelled(what="it")

    one = Warm(loader=load)
    gc.disable()
    try:
        with pytest.raises(Cancelled), one.using(base_model(FLUX), tmp_path, "cpu", 1.0, cancelled):
            pass
        goes_on.set()
        with one.using(base_model(FLUX), tmp_path, "cpu", 1.0, lambda share, what: None):
            pass
    finally:
        gc.enable()
    assert there == [[], [False]], "two models were in memory at a time"


def test_layers_of_one_lora_keep_their_own_scales(painter: Painter, tmp_path: Path) -> None:
    """A trainer's file gives each layer's alpha; resized ones have many."""
    import torch
    from safetensors.torch import load_file, save_file

    source = load_file(str(lora("sdxl", 2)))
    trained: dict[str, torch.Tensor] = {}
    scaled: dict[str, torch.Tensor] = {}
    for n, name in enumerate(sorted({key.rsplit(".lora_", 1)[0] for key in source})):
        down, up = source[f"{name}.lora_A.weight"], source[f"{name}.lora_B.weight"]
        alpha = (4.0, 1.0, 2.0)[n % 3]
        theirs = "lora_unet_" + name.removeprefix("unet.").replace(".", "_")
        trained |= {f"{theirs}.lora_down.weight": down, f"{theirs}.lora_up.weight": up,
                    f"{theirs}.alpha": torch.tensor(alpha)}
        scaled |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up * alpha / 4}
    paths = []
    for word, tensors in (("trained", trained), ("scaled", scaled)):
        paths.append(tmp_path / f"{word}.safetensors")
        save_file(tensors, str(paths[-1]), metadata={"format": "pt", "ss_base_model_version": "sdxl_base_v1-0"})
    one, other = (painter.digest("sdxl-base-1.0", loras=(painter.use(AVA, path),)) for path in paths)
    assert one == other
    assert one != painter.digest("sdxl-base-1.0", loras=(painter.use(AVA, lora("sdxl", 2)),))
