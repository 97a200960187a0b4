"""Cues: dialogue becomes captions that can be read, and clips show what the film shows."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.cues import JOINED_S, cues_for, letters, shifted
from callsheet.errors import MediaError
from callsheet.graphemes import columns, spoken_spans
from callsheet.models import Cue, SpokenWord


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


def test_a_text_of_nothing_but_a_mark_is_a_cue_all_the_same():
    assert cues_for("\u0301", 1, 2) == (Cue(text="\u0301", start=1, end=2),)


def test_a_line_that_ends_before_it_starts_is_refused():
    with pytest.raises(MediaError, match="ends at 1 s but starts at 2 s"):
        cues_for("x", 2, 1)


def spoken(text, step=0.3, pauses=None):
    """Words of `step` seconds each; a pause in seconds before the word of that number."""
    at, words = 0.0, []
    for n, (a, b) in enumerate(spoken_spans(text)):
        at += (pauses or {}).get(n, 0.0)
        words.append(SpokenWord(text=text[a:b], start=round(at, 3), end=round(at + step, 3)))
        at += step
    return words


def test_a_cue_begins_with_its_first_word_and_carries_its_words():
    words = spoken(SPEECH, pauses={19: 1.5})
    cues = cues_for(SPEECH, 10, 10 + words[-1].end + 1, words)
    assert "".join(word.text for cue in cues for word in cue.words) == re.sub(r"\s", "", SPEECH)
    for cue in cues:
        assert cue.start == cue.words[0].start and cue.end >= cue.words[-1].end - 0.001, cue
        assert letters(cue.text) == "".join(letters(word.text) for word in cue.words)


def test_a_short_pause_is_bridged_and_a_long_one_is_not():
    text = "One two three four five six seven. " * 4
    first = cues_for(text, 0, 60, spoken(text))[0]
    count = len(first.words)
    for pause in (JOINED_S - 0.1, 3.0):
        a, b = cues_for(text, 0, 60, spoken(text, pauses={count: pause}))[:2]
        gap = b.start - a.end
        assert (gap == 0) == (pause < JOINED_S), f"a pause of {pause} s leaves {gap:.2f} s"


def test_the_last_cue_stays_a_little_but_not_beyond_the_line():
    words = spoken("Hello there")
    assert cues_for("Hello there", 5, 5.7, words)[-1].end == 5.7
    held = cues_for("Hello there", 5, 15, words)[-1].end - (5 + words[-1].end)
    assert 0.2 < held < 2, f"{held:.2f} s after its last word"


def test_a_cue_lasts_long_enough_to_be_read_where_nothing_follows():
    text = "Incomprehensibilities notwithstanding!"
    quick = cues_for(text, 0, 20, spoken(text, 0.2))
    assert quick[0].end >= 38 / 20, f"{quick[0].end:.2f} s for 38 columns"


def test_words_of_another_text_are_not_used():
    assert cues_for("Hello there", 0, 2, spoken("Goodbye now")) == cues_for("Hello there", 0, 2)


def test_a_word_that_is_cut_between_two_cues_is_timed_in_two():
    text = "x" * 200
    cues = cues_for(text, 0, 10, [SpokenWord(text=text, start=0, end=10)])
    assert len(cues) > 1 and "".join(word.text for cue in cues for word in cue.words) == text
    assert [cue.words[-1].end for cue in cues[:-1]] == [cue.words[0].start for cue in cues[1:]]


def test_words_move_with_their_cue_and_those_outside_have_no_length():
    words = tuple(SpokenWord(text=t, start=n, end=n + 1) for n, t in enumerate("abcd"))
    cut, = shifted([Cue(text="a b c d", start=0, end=4, words=words)], 1.5, 3)
    assert [(w.text, w.start, w.end) for w in cut.words] == [
        ("a", 0, 0), ("b", 0, 0.5), ("c", 0.5, 1.5), ("d", 1.5, 1.5)]


@settings(deadline=None)
@given(st.text(max_size=300), st.lists(st.tuples(st.text(max_size=8), st.floats(0, 20), st.floats(0, 20)), max_size=12))
def test_no_text_is_lost_whatever_the_words_say(text, words):
    timed = [SpokenWord(text=t, start=min(a, b), end=max(a, b)) for t, a, b in words]
    for heard in (timed, spoken(text)):
        cues = cues_for(text, 1, 21, heard)
        assert letters("".join(cue.text for cue in cues)) == letters(text)
        assert all(a.end <= b.start for a, b in itertools.pairwise(cues))
        assert all(1 <= cue.start < cue.end <= 21.0005 for cue in cues)
