"""Who is in a scene by words alone is told, and nobody else; and that faces are left as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.jobs.inputs import ClipEngines
from callsheet.models import Generate, Order, Scene
from callsheet.presets import Quality
from callsheet.recipes import EngineId
from callsheet.settings import Settings
from tasks.casting import unrestored, unseen
from tests.test_plan import AVA, CHOICES, LEO, film

WAN = EngineId(name="diffusers", version=1, model="wan2.2-ti2v-5b")
BOTH = CHOICES.model_copy(update={"clips": WAN, "unloaded": ("ava", "leo")})
ORDER = Order(
    title="t", cast=(AVA, LEO),
    scenes=(Scene(prompt="a street", cast=("leo",)), Scene(prompt="a park", cast=("leo", "ava")), Scene(prompt="home")),
)


def test_the_second_actor_of_a_scene_whose_lora_is_not_loaded_is_told() -> None:
    assert unseen(film(ORDER, BOTH)) == (
        "scene 2: Ava by words alone: wan2.2-ti2v-5b does not load the LoRA, and the picture it starts from shows Leo",
        "scene 3: Leo by words alone: wan2.2-ti2v-5b does not load the LoRA, and the picture it starts from shows Ava",
    )


@pytest.mark.parametrize("change", [{"unloaded": ()}, {"clips": CHOICES.clips}], ids=["loaded", "drawn"])
def test_who_is_loaded_or_drawn_is_seen(change: dict[str, object]) -> None:
    assert unseen(film(ORDER, BOTH.model_copy(update=change))) == ()


def test_a_job_tells_whose_lora_was_named_and_is_not_used() -> None:
    engines = ClipEngines(clips=WAN, destination="", unloaded=("ava",))
    assert engines.warnings() == (
        "ava: wan2.2-ti2v-5b does not load the LoRA, only what the clip starts from can show who it is",
    )


def test_a_generated_film_whose_faces_nothing_can_restore_says_so(tmp_path: Path) -> None:
    settings = Settings.load({"CALLSHEET_MODELS": str(tmp_path)})
    [told] = unrestored(film(ORDER, BOTH), settings)
    assert told.startswith("faces are not restored (gfpgan: ")
    for change in ({"quality": Quality.DRAFT}, {"generate": Generate(restore="off")}):
        assert unrestored(film(ORDER.model_copy(update=change), BOTH), settings) == (), change
    for choices in ({"clips": CHOICES.clips}, {"restore": EngineId(name="gfpgan", version=1)}):
        assert unrestored(film(ORDER, BOTH.model_copy(update=choices)), settings) == (), choices
