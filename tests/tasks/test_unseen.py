"""Who is in a scene by words alone is told, and nobody else."""

from __future__ import annotations

import pytest

from callsheet.jobs.inputs import ClipEngines
from callsheet.models import Order, Scene
from callsheet.recipes import EngineId
from tasks.casting import unseen
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
