"""Cues: dialogue becomes captions that can be read, and clips show what the film shows."""

import itertools
import re

import pytest

from callsheet.cues import cues_for, shifted
from callsheet.errors import MediaError
from callsheet.models import Cue
from callsheet.wrapping import columns


def test_cues_of_a_film_are_cut_to_a_clip():
    cues = [Cue(text=t, start=a, end=b) for t, a, b in (("a", 0, 2), ("b", 2, 4), ("c", 4, 6), ("d", 6, 8))]
    found = [(c.text, c.start, c.end) for c in shifted(cues, 3, 6)]
    assert found == [("b", 0, 1), ("c", 1, 3)]


def test_a_cue_across_a_transition_is_on_both_sides():
    cue = [Cue(text="a", start=4.5, end=5.5)]
    assert [(c.start, c.end) for c in shifted(cue, 0, 5.25)] == [(4.5, 5.25)]
    assert [(c.start, c.end) for c in shifted(cue, 4.75, 10)] == [(0, 0.75)]


SPEECH = (
    "I never thought that the lighthouse would still be standing after all those winters, but here it is. "
    "Somebody has lit the lamp! Do you see it, Anna? Supercalifragilisticexpialidociousantidisestablishmentarianism. "
    "Come, let us walk down to the shore before the tide comes in, and before the night falls over the bay."
)


def test_long_dialogue_becomes_cues_of_two_lines_of_42_columns():
    for cue in cues_for(SPEECH, 0, 20):
        lines = cue.text.split("\n")
        assert len(lines) <= 2 and max(map(len, lines)) <= 42, cue.text


def test_no_word_is_lost_and_none_is_moved():
    said = "".join(cue.text for cue in cues_for(SPEECH, 0, 20))
    assert re.sub(r"\s", "", said) == re.sub(r"\s", "", SPEECH)


def test_a_cue_lasts_as_long_as_its_share_of_the_text():
    cues = cues_for(SPEECH, 3, 23)
    per_column = [(c.end - c.start) / columns(c.text) for c in cues]
    assert max(per_column) - min(per_column) < 1e-9
    assert (cues[0].start, cues[-1].end) == (3, 23)
    assert all(a.end == b.start for a, b in itertools.pairwise(cues))


def test_cues_break_where_sentences_end():
    ends = [cue.text[-1] for cue in cues_for("This is the first sentence of three. " * 3, 0, 9)]
    assert set(ends) == {"."}, ends


def test_a_short_line_is_one_cue():
    assert cues_for("Hello!", 1, 2) == (Cue(text="Hello!", start=1, end=2),)


def test_wide_characters_count_twice():
    for cue in cues_for("今天天气很好我们一起去海边散步吧" * 8, 0, 20):
        assert max(columns(line) for line in cue.text.split("\n")) <= 42, cue.text


def test_silence_has_no_captions():
    assert cues_for(" \n ", 0, 1) == ()


def test_a_line_that_ends_before_it_starts_is_refused():
    with pytest.raises(MediaError, match="ends at 1 s but starts at 2 s"):
        cues_for("x", 2, 1)
