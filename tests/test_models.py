"""Values refuse what could not be made, where it is said."""

from __future__ import annotations

from fractions import Fraction

import pytest
from pydantic import TypeAdapter, ValidationError

from callsheet.models import CaptionStyle, Cue, Format, Order
from callsheet.presets import Door, Quality, delivery_size, generation_size, quality_from
from callsheet.units import Rate


@pytest.mark.parametrize(
    ("said", "rate"),
    [(30, Fraction(30)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)), ("25", Fraction(25)),
     ("30000/1001", Fraction(30000, 1001)), (59.94, Fraction(60000, 1001)), (24.0, Fraction(24))],
)
def test_a_rate_is_exact_however_it_is_written(said: object, rate: Fraction) -> None:
    assert TypeAdapter(Rate).validate_python(said) == rate


@pytest.mark.parametrize("said", ["1/0", 0, -24, 1000000, float("nan"), float("inf"), "fast", None])
def test_a_rate_that_cannot_be_is_refused(said: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Rate).validate_python(said)


@pytest.mark.parametrize("word", ["", "#fff", "whiteish", "rgb(1,2,3)", "{\\b1}", "red\n"])
def test_what_is_no_colour_is_refused_before_anything_is_made(word: str) -> None:
    with pytest.raises(ValidationError, match="is no colour"):
        CaptionStyle(color=word)


def test_a_caption_must_end_after_it_starts() -> None:
    with pytest.raises(ValidationError, match="must end after it starts"):
        Cue(text="x", start=2, end=2)


@pytest.mark.parametrize(("width", "height"), [(15, 100), (101, 100), (7682, 100)])
def test_sizes_are_even_and_between_16_and_7680(width: int, height: int) -> None:
    with pytest.raises(ValidationError):
        Format(width=width, height=height, fps=Fraction(30))


def test_an_order_that_names_somebody_outside_its_cast_is_refused() -> None:
    actor = {"id": "ava", "lora": "ava.safetensors"}
    with pytest.raises(ValidationError, match=r"scenes\[0\] names leo, who is not in the cast"):
        Order.model_validate({"title": "t", "cast": [actor], "scenes": [{"prompt": "x", "cast": ["leo"]}]})


@pytest.mark.parametrize(
    ("word", "door", "tier"),
    [("fast", Door.SEGMENTS, Quality.DRAFT), ("ultra", Door.SEGMENTS, Quality.PREMIUM),
     ("fast", Door.STUDIO_LIPSYNC, Quality.DRAFT), ("high", Door.STUDIO_LIPSYNC, Quality.PREMIUM),
     ("high", Door.OWN, Quality.HIGH), ("PREMIUM", Door.FRAMES, Quality.PREMIUM)],
)
def test_a_word_means_what_it_meant_at_its_own_door(word: str, door: Door, tier: Quality) -> None:
    assert quality_from(word, door) is tier


def test_an_alias_of_another_door_is_unknown_here() -> None:
    with pytest.raises(ValueError, match="'ultra' is no quality; one of draft, standard"):
        quality_from("ultra", Door.OWN)


def test_the_five_tiers_deliver_what_the_sources_say() -> None:
    sizes = [delivery_size(q, "landscape") for q in Quality]
    assert sizes == [(854, 480), (1280, 720), (1920, 1080), (3840, 2160), (3840, 2160)]
    assert delivery_size(Quality.HIGH, "portrait") == (1080, 1920)


def test_a_generated_picture_has_the_delivery_s_shape_and_the_tier_s_area() -> None:
    for width, height in ((854, 480), (1080, 1920), (480, 480)):
        wide, high = generation_size(768, width, height)
        assert wide % 16 == high % 16 == 0
        assert abs(wide * high / 768**2 - 1) < 0.05
        assert abs(wide / high / (width / height) - 1) < 0.05
