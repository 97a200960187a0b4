"""Which models the diffusers engine gives an order, told from its LoRAs' families. Needs no library."""

from __future__ import annotations

import pytest

from callsheet.base_models import models_of
from callsheet.engines.base import Asked
from callsheet.engines.diffusers.casting import cast
from callsheet.errors import EngineUnable, WrongFamily
from callsheet.models import Family

FLUX, SDXL, SD15, WAN = Family.FLUX, Family.SDXL, Family.SD15, Family.WAN


@pytest.mark.parametrize(
    ("families", "clips"),
    [
        ({"a": SDXL}, "animatediff-sdxl"),
        ({"a": SDXL, "b": SDXL}, "animatediff-sdxl"),
        ({"a": SDXL, "b": None}, "animatediff-sdxl"),
        ({"a": SD15}, "animatediff-sd15"),
        ({"a": FLUX}, "wan2.2-ti2v-5b"),
        ({"a": WAN}, "wan2.2-ti2v-5b"),
        ({"a": SDXL, "b": SD15}, "wan2.2-ti2v-5b"),
        ({"a": None}, "wan2.2-ti2v-5b"),
        ({}, "wan2.2-ti2v-5b"),
    ],
)
def test_the_clip_model_follows_from_the_families_of_the_cast(families: dict[str, Family | None], clips: str) -> None:
    assert cast(Asked(families=families)).clips == clips


def test_a_clip_model_that_is_asked_is_taken_with_its_own_steps_and_guidance() -> None:
    chosen = cast(Asked(families={"a": SDXL}, clip_model="animatediff-sdxl"))
    assert (chosen.clips, chosen.steps, chosen.cfg) == ("animatediff-sdxl", 50, 12.0)
    assert cast(Asked(clip_model="wan2.2-i2v-a14b")).clips == "wan2.2-i2v-a14b"


def test_loras_that_the_clip_model_cannot_load_are_named_where_a_picture_carries_them() -> None:
    chosen = cast(Asked(families={"ava": FLUX, "leo": WAN, "new": None}, poster_model="", pictured=True))
    assert chosen.unloaded == {"ava"}


def test_without_a_picture_such_a_lora_is_refused_and_posters_are_proposed() -> None:
    with pytest.raises(WrongFamily) as caught:
        cast(Asked(families={"ava.safetensors": FLUX}, pictured=False))
    assert str(caught.value) == (
        "ava.safetensors is a flux LoRA, but wan was asked for: let the clip start from a picture (posters, "
        "takes, an image), or take LoRAs of one family"
    )


def test_animatediff_takes_no_picture_so_a_lora_of_another_family_is_refused_even_with_posters() -> None:
    with pytest.raises(WrongFamily, match=r"ava is a flux LoRA, but sdxl was asked for: set clip_model to wan2"):
        cast(Asked(families={"ava": FLUX}, clip_model="animatediff-sdxl", pictured=True))


@pytest.mark.parametrize("model", [model.name for model in models_of("picture")])
@pytest.mark.parametrize("family", list(Family))
def test_a_poster_takes_loras_of_its_own_family_and_refuses_all_others_in_one_sentence(
    model: str, family: Family
) -> None:
    asked = Asked(families={"x.safetensors": family, "unknown": None}, poster_model=model, clips=False)
    wanted = next(each.family for each in models_of("picture") if each.name == model)
    if family is wanted:
        assert cast(asked).poster == model
        return
    with pytest.raises(WrongFamily) as caught:
        cast(asked)
    words = str(caught.value)
    assert words.startswith(f"x.safetensors is a {family.value} LoRA, but {wanted.value} was asked for"), words
    assert "\n" not in words


def test_flux1_dev_fp8_is_another_name_of_flux1_dev() -> None:
    assert cast(Asked(poster_model="flux1-dev-fp8", clips=False)).poster == "flux1-dev"


@pytest.mark.parametrize("asked", [Asked(poster_model="dall-e"), Asked(clip_model="flux1-dev"), Asked(clip_model="x")])
def test_an_unknown_model_is_refused_with_those_there_are(asked: Asked) -> None:
    with pytest.raises(EngineUnable, match=r"choose one of .*(sdxl-base|wan2\.2)"):
        cast(asked)


def test_where_no_clips_are_wanted_none_are_cast() -> None:
    chosen = cast(Asked(families={"a": FLUX}, poster_model="flux1-dev", clips=False))
    assert (chosen.poster, chosen.clips, chosen.unloaded) == ("flux1-dev", "", frozenset())
