"""Every engine for pictures and clips on a bench: with a model, LoRAs and whatever else a test needs to work it.

A new engine is one function and one line in BENCHES; tests/contracts/test_clip_engines.py then holds it to everything
that engines promise, and test_drawing_engines.py those that draw.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from callsheet.engines.base import ClipEngine
from callsheet.recipe import Ref
from callsheet.recipes import ClipRecipe, LoraUse, PosterRecipe
from tests.support.clips import AVA, LEO, STYLE, clip_recipe, poster_recipe, ref


@dataclass(frozen=True)
class Bench:
    """An engine and what it works with."""

    engine: ClipEngine
    poster_model: str | None = ""
    """What recipes name; None: it makes no posters."""
    clip_model: str | None = ""
    """None: it makes no clips."""
    style: LoraUse = STYLE
    ava: LoraUse = AVA
    leo: LoraUse = LEO
    clip_ava: LoraUse | None = AVA
    """As a clip has it; None where the clip model loads no LoRA of hers."""
    inputs: Mapping[Ref, Path] = field(default_factory=dict)
    """Files of the store that recipes may name."""
    poster_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields in which its recipes differ from those of tests.support.clips."""
    clip_defaults: Mapping[str, Any] = field(default_factory=dict)
    uses_loras: bool = True
    """Whether another LoRA, or another strength, gives another poster."""
    starts_from_pictures: bool = True
    """Whether a clip's first frame is used."""
    seeded: bool = True
    """Whether the seed decides, so that the same recipe gives the same bytes."""

    def poster(self, **changes: Any) -> PosterRecipe:
        engine = self.engine.id.model_copy(update={"model": self.poster_model})
        return poster_recipe(engine, **{"loras": (self.style, self.ava), **self.poster_defaults, **changes})

    def clip(self, **changes: Any) -> ClipRecipe:
        engine = self.engine.id.model_copy(update={"model": self.clip_model})
        loras = (self.clip_ava,) if self.clip_ava else ()
        return clip_recipe(engine, **{"loras": loras, **self.clip_defaults, **changes})


@dataclass(frozen=True)
class Entry:
    """A line of BENCHES."""

    engine: str
    """Its name in engines.choose.ENGINES."""
    bench: Callable[[Path], Bench]
    """Given a folder of the test's own."""
    marks: tuple[pytest.MarkDecorator, ...] = ()
    draws: bool = False
    """Whether test_drawing_engines.py holds it to more."""


def _placeholder(folder: Path) -> Bench:
    from callsheet.engines.placeholder import PlaceholderEngine

    return Bench(PlaceholderEngine())


def _diffusers(family: str, poster: str, clip: str) -> Callable[[Path], Bench]:
    def bench(folder: Path) -> Bench:
        pytest.importorskip("diffusers", reason="the extra `models` is not installed")
        from callsheet.engines.diffusers.engine import DiffusersEngine
        from callsheet.settings import Settings
        from callsheet.store.base import sha256_of
        from tests.tiny.session import lora_file, models

        inputs = {}

        def use(of: LoraUse, seed: int) -> LoraUse:
            path = lora_file(family, seed)
            place = ref(str(path))
            inputs[place] = path
            name = f"{of.name}.safetensors"
            return of.model_copy(update={"sha256": sha256_of(path), "file": place, "file_name": name})

        engine = DiffusersEngine(Settings.load({"CALLSHEET_MODELS": str(models()), "CALLSHEET_DEVICE": "cpu"}))
        style, ava, leo = use(STYLE, 1), use(AVA, 2), use(LEO, 3)
        wan = clip.startswith("wan")
        return Bench(
            engine, poster_model=poster, clip_model=clip, style=style, ava=ava, leo=leo,
            clip_ava=None if wan else ava, inputs=inputs, poster_defaults={"steps": 3}, clip_defaults={"steps": 2},
            starts_from_pictures=wan,
        )

    return bench


def _comfyui(clip: str) -> Callable[[Path], Bench]:
    def bench(folder: Path) -> Bench:
        from callsheet.engines.comfyui.engine import ComfyUIEngine
        from callsheet.engines.comfyui.watching import Limits
        from tests.support.comfyui_server import FakeComfyUI

        server = FakeComfyUI(folder / "server").__enter__()
        for each in (STYLE, AVA, LEO):
            server.add_lora(f"{each.name}.safetensors")
        engine = ComfyUIEngine(server.url, limits=Limits(poll_s=0.05))
        weakref.finalize(engine, server.__exit__)
        return Bench(
            engine, poster_model="flux1-dev", clip_model=clip, clip_ava=AVA if clip.startswith("wan") else None,
            poster_defaults={"steps": 3}, clip_defaults={"steps": 2},
        )

    return bench


def _stock(folder: Path) -> Bench:
    from callsheet.engines.stock import StockEngine
    from tests.support.stock_worker import StockWorker

    worker = StockWorker(folder / "worker")
    return Bench(StockEngine(worker.client, poll_s=0.01), poster_model="flux1-dev", clip_model="wan2.2-ti2v-5b",
                 poster_defaults={"steps": 3}, clip_defaults={"steps": 2})


def _openai(folder: Path) -> Bench:
    from callsheet.engines.openai import OpenAIEngine
    from callsheet.engines.openai_api import ImagesApi
    from tests.support.openai_server import KEY, running

    serving = running()
    server = serving.__enter__()
    engine = OpenAIEngine(KEY, ImagesApi(server.url))
    weakref.finalize(engine, serving.__exit__, None, None, None)
    return Bench(engine, poster_model="gpt-image-1.5/low", clip_model=None, uses_loras=False, seeded=False)


BENCHES: Mapping[str, Entry] = {
    "placeholder": Entry("placeholder", _placeholder, draws=True),
    "diffusers-flux-wan": Entry(
        "diffusers", _diffusers("flux", "flux1-dev", "wan2.2-ti2v-5b"), marks=(pytest.mark.slow,)),
    "diffusers-sdxl": Entry(
        "diffusers", _diffusers("sdxl", "sdxl-base-1.0", "animatediff-sdxl"), marks=(pytest.mark.soak,)),
    "diffusers-sd15": Entry(
        "diffusers", _diffusers("sd15", "sd15", "animatediff-sd15"), marks=(pytest.mark.soak,)),
    "comfyui-wan": Entry("comfyui", _comfyui("wan2.2-ti2v-5b")),
    "comfyui-wan-a14b": Entry("comfyui", _comfyui("wan2.2-i2v-a14b"), marks=(pytest.mark.soak,)),
    "comfyui-ltxv": Entry("comfyui", _comfyui("ltx-video-2b"), marks=(pytest.mark.soak,)),
    "runpod": Entry("runpod", _stock),
    "openai": Entry("openai", _openai),
}
"""Name of a bench -> how it is set up. Several may have one engine."""


def benches(draws: bool = False) -> list[Any]:
    """For pytest's `params`."""
    return [pytest.param(name, marks=entry.marks, id=name) for name, entry in BENCHES.items()
            if entry.draws or not draws]
