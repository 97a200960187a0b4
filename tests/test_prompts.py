"""Poster, take and segment prompts."""

from __future__ import annotations

import hashlib

from callsheet.models import Actor, CharacterSheet, Scene, TakeSpec
from callsheet.prompts import POSTER_TEMPLATE, negative_prompt, placed, poster_prompt, segment_prompt, take_prompt

TEMO = Actor(id="temo", name="Temo", lora="temo.safetensors", sheet=CharacterSheet(
    appearance="young man", clothing="space suit", style="cel shading", negative="female, hat"))
FELFEL = Actor(id="felfel", name="Felfel", lora="felfel.safetensors", sheet=CharacterSheet(
    appearance="female explorer", clothing="adventure gear", style="cel shading", negative="young man, beard, hat"))
KAI = Actor(id="kai_nakamura", name="Kai Nakamura", lora="kai.safetensors")


def test_the_poster_template_is_the_source_systems_to_the_letter() -> None:
    digest = hashlib.sha256(POSTER_TEMPLATE.encode()).hexdigest()
    assert digest == "5f7d512bd3839871a65cfb38ea9954a23ebefb2e77b857299503ffca799f2ac6", POSTER_TEMPLATE


def test_a_poster_names_the_actor_and_its_description_in_the_templates_slots() -> None:
    actor = Actor(id="0001_european_20_female", lora="x", description="a young woman, brown {eyes}")
    prompt = poster_prompt(actor)
    start = "vibrant artistic illustration of (0001_european_20_female, a young woman, brown {eyes}) in a full body"
    assert prompt.startswith(start), prompt[:120]
    assert prompt.endswith("(realistic body proportions++)"), prompt[-60:]


def test_a_poster_without_a_description_takes_the_character_sheet() -> None:
    assert "(temo, young man, space suit) in a full body image" in poster_prompt(TEMO)
    assert "(kai_nakamura) in a full body image" in poster_prompt(KAI)


def test_a_background_is_added_after_the_template() -> None:
    prompt = poster_prompt(TEMO, "harbour at dusk")
    assert prompt.endswith("(realistic body proportions++), background: harbour at dusk"), prompt[-80:]


def test_every_segment_of_a_scene_carries_the_whole_character_sheet() -> None:
    prompt = segment_prompt(Scene(prompt="a walk on the moon"), (TEMO,))
    missing = [word for word in ("a walk on the moon", "temo Temo", "young man", "space suit", "cel shading")
               if word not in prompt]
    assert not missing, f"{missing} not in {prompt}"
    assert "on the left" not in prompt, "one character alone has no side"


def test_two_characters_stand_left_and_right_in_the_casts_order() -> None:
    prompt = segment_prompt(Scene(prompt="moon base"), (TEMO, FELFEL))
    assert prompt.index("space suit, on the left") < prompt.index("adventure gear, on the right"), prompt
    assert "both characters clearly visible" in prompt
    assert prompt.count("cel shading") == 1, "a style that both share is said once"


def test_the_prompts_own_words_decide_who_stands_where() -> None:
    words = "moon base, temo in space suit on right, felfel in adventure gear on the left"
    assert [(actor.id, place) for actor, place in placed(words, (TEMO, FELFEL))] == [
        ("felfel", "on the left"), ("temo", "on the right")]


def test_four_characters_have_four_places() -> None:
    cast = tuple(Actor(id=f"a{n}", lora="x") for n in range(4))
    places = [place for _, place in placed("a row", cast)]
    assert len(set(places)) == 4, places


def test_only_the_scenes_own_cast_is_described() -> None:
    prompt = segment_prompt(Scene(prompt="moon base", cast=("felfel",)), (TEMO, FELFEL))
    assert "adventure gear" in prompt
    assert "space suit" not in prompt


def test_emotion_angle_and_intensity_are_in_the_words() -> None:
    scene = Scene(prompt="a room", emotion="happy", angle="closeup", intensity=0.9)
    assert "very happy expression, close-up" in segment_prompt(scene, (TEMO,))
    assert "slightly sad expression, bird eye view" in take_prompt(
        TEMO, TakeSpec(emotion="sad", angle="bird_eye", intensity=0.2))


def test_negatives_are_joined_once_each() -> None:
    assert negative_prompt((TEMO,)) == "female, hat"
    assert negative_prompt((KAI,)) == ""


def test_a_negative_never_removes_another_character_of_the_scene() -> None:
    assert negative_prompt((TEMO, FELFEL)) == "hat, beard"
