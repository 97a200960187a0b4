"""Actor ids, and the voices they lead to."""

from __future__ import annotations

import pytest

from callsheet.speech import elevenlabs, espeak
from callsheet.speech.casting import Pools, Traits, traits


@pytest.mark.parametrize(("actor_id", "expected"), [
    ("0001_european_20_female", Traits("female", 20)),
    ("0002_african_45_male", Traits("male", 45)),
    ("0003_south-asian_9_female-v2", Traits("female", 9)),
    ("temo", Traits()),
    ("tamale", Traits()),
    ("0004_european_male", Traits("male")),
    ("female", Traits("female")),
    ("7_male_female", Traits("male", 7)),
])
def test_gender_and_age_are_read_from_an_id_where_it_says_them(actor_id: str, expected: Traits) -> None:
    assert traits(actor_id) == expected


def test_an_actor_is_a_child_below_18_only() -> None:
    assert [Traits("male", age).child for age in (17, 18, None)] == [True, False, False]


@pytest.mark.parametrize("pools", [espeak.POOLS, elevenlabs.POOLS], ids=["espeak", "elevenlabs"])
def test_no_voice_is_in_two_places_and_each_pool_serves_a_whole_cast(pools: Pools) -> None:
    voices = [*pools.female, *pools.male, *pools.young]
    assert len(set(voices)) == len(voices)
    assert {len(pool) for pool in (pools.female, pools.male, pools.young) if pool} == {8}


def test_without_young_voices_a_child_gets_an_adult_voice_of_its_gender() -> None:
    assert Pools(female=("a",), male=("b",), young=()).voice("x", 0, "1_asian_8_male") == "b"
