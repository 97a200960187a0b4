"""Any reel whose windows fit obeys the laws of splice: a dozen in `make test`, two hundred in `make soak`."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from callsheet.media.transitions import XFADE
from callsheet.presets import TransitionKind
from callsheet.recipes import EncodeSettings, SpliceRecipe
from tests.media.clips import conformed_for, splice_recipe
from tests.media.test_splice import BROADCAST, assert_laws, reel_of

KINDS = tuple(XFADE)
SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)


@st.composite
def reels(draw: st.DrawFn) -> SpliceRecipe:
    """Any reel whose windows fit."""
    frames = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    joins: list[tuple[TransitionKind, int]] = []
    head = 0
    for length, following in pairwise(frames):
        head = draw(st.integers(0, min(length - head, following)))
        joins.append((draw(st.sampled_from(KINDS)), head))
    preset = draw(st.sampled_from(["ultrafast", "medium", "slow", "veryslow"]))
    fps = draw(st.sampled_from([Fraction(24), Fraction(30), BROADCAST, Fraction(60)]))
    return splice_recipe(frames, joins, fps, EncodeSettings(crf=draw(st.sampled_from([15, 23, 28])), preset=preset))


def obeys_the_laws(recipe: SpliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("reel")
    clips = conformed_for(recipe, folder)
    assert_laws(recipe, reel_of(recipe, folder / "out", clips), clips)


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, derandomize=True, phases=(Phase.generate, Phase.shrink),
    suppress_health_check=SLOW_IS_FINE,
)
@given(recipe=reels())
def test_a_dozen_reels_obey_the_laws(recipe: SpliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    obeys_the_laws(recipe, tmp_path_factory)


@pytest.mark.soak
@settings(max_examples=200, deadline=None, suppress_health_check=SLOW_IS_FINE)
@given(recipe=reels())
def test_two_hundred_reels_obey_the_laws(recipe: SpliceRecipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    obeys_the_laws(recipe, tmp_path_factory)
