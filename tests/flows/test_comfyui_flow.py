"""A film whose poster, take and chained segments a ComfyUI server makes: what the plan asks reaches its graphs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callsheet.engines.graphs.parts import literal
from callsheet.errors import WrongFamily
from callsheet.film import Film
from callsheet.media.probe import probe
from callsheet.models import Actor, Format, Generate, Gpu, Order, Poster, Scene, SourceFile, TakeSpec
from callsheet.presets import Quality
from callsheet.prompts import poster_prompt
from callsheet.recipe import Recipe
from callsheet.store.records import Record
from flows.shoot import footage, prepared
from tasks.direct import direct
from tasks.run import current, running
from tests.lora.lora_files import FLUX, lora, pair
from tests.support.clips import apart, decoded
from tests.support.comfyui_server import FakeComfyUI
from tests.support.prefect_server import unconfigured

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeComfyUI]:
    """In force, with its folder of LoRAs, in a home of its own."""
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    with FakeComfyUI(tmp_path / "server") as fake:
        monkeypatch.setenv("CALLSHEET_COMFYUI_URL", fake.url)
        monkeypatch.setenv("CALLSHEET_COMFYUI_LORAS", str(fake.folder / "loras"))
        yield fake


def order(folder: Path, shapes: Any = FLUX, **fields: Any) -> Order:
    for name, content in (("ava", shapes), ("SBai_style_101", FLUX)):
        path = folder / "home" / "loras" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lora(content))
    ava = Actor(id="ava", lora=SourceFile(path=str(folder / "home" / "loras" / "ava.safetensors")))
    return Order.model_validate({
        "title": "By ComfyUI", "cast": (ava,), "scenes": (Scene(prompt="a street", seconds=5.5),),
        "quality": Quality.DRAFT, "format": Format(width=256, height=256, fps=24),
        "poster": Poster(width=128, height=128, steps=2), "takes": (TakeSpec(emotion="neutral", angle="front"),),
        "generate": Generate(engine="comfyui", px=128, steps=2), **fields,
    })


def shot(asked: Order) -> tuple[Film, dict[str, Record]]:
    with direct(), running(asked.title, gpu=Gpu.HERE):
        film = footage(prepared(asked))
        records = {recipe.label: current().records.find(recipe.stage, recipe.fingerprint) for recipe in film.pictures()}
    assert all(records.values()), records
    return film, records  # type: ignore[return-value]


def file_of(recipe: Recipe, name: str = "main") -> Path:
    with running("look"):
        return current().records.open(recipe.ref(name), Path.cwd())


def test_poster_take_and_chained_segments_are_made_there_and_a_second_run_asks_nothing(
    server: FakeComfyUI, tmp_path: Path
) -> None:
    asked = order(tmp_path)
    film, records = shot(asked)
    assert {record.made_by for record in records.values()} == {"comfyui"}
    assert [probe(file_of(one)).frames for one in film.segments] == [120, 12], "5.5 s are two segments"
    assert asked.poster
    texts = [node["inputs"]["text"] for node in server.posted[0].values() if node["class_type"] == "CLIPTextEncode"]
    assert texts == [literal(poster_prompt(asked.cast[0], asked.poster.background))]
    loras = [(node["inputs"]["lora_name"], node["inputs"]["strength_model"])
             for node in server.posted[0].values() if node["class_type"] == "LoraLoader"]
    assert [strength for _, strength in loras] == [1.0, 0.7] and all(n.startswith("callsheet/") for n, _ in loras)

    first, second = film.segments
    with Image.open(file_of(first, "last_frame")) as image:
        last = np.asarray(image.convert("RGB"), np.float32)
    join = apart(decoded(file_of(second))[0], last)
    assert join < 30, f"the second segment begins {join:.1f} from where the first ended"

    before = len(server.posted)
    shot(asked)
    assert len(server.posted) == before


def test_an_sdxl_actor_is_refused_in_one_sentence_before_the_server_is_asked_for_anything(
    server: FakeComfyUI, tmp_path: Path
) -> None:
    sdxl = pair("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 640)
    with pytest.raises(WrongFamily) as caught:
        shot(order(tmp_path, sdxl))
    words = str(caught.value)
    assert "ava.safetensors is a sdxl LoRA, but flux was asked for" in words and "\n" not in words
    assert server.posted == []
