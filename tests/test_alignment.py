"""Words and phones in time, and mouths that follow them."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from callsheet.alignment import BLEND_S, CLOSED, SHAPES, Alignment, MouthShape, Phone, mouth_at, words_in
from callsheet.models import SpokenWord

ARPABET = [
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH", "SIL",
]


def phones(*parts):
    return [Phone(symbol=symbol, start=start, end=end) for symbol, start, end in parts]


@pytest.mark.parametrize("words", [
    [("a", 0.5, 0.4)], [("a", 0.0, 0.6), ("b", 0.5, 0.8)], [("b", 0.5, 0.8), ("a", 0.0, 0.2)],
])
def test_an_alignment_out_of_order_is_refused(words):
    parts = tuple(SpokenWord(text=t, start=a, end=b) for t, a, b in words)
    with pytest.raises(ValidationError, match="a word begins before"):
        Alignment(words=parts, method="estimated")
    with pytest.raises(ValidationError, match="a phone begins before"):
        Alignment(words=(), phones=phones(*words), method="aligned")


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=20))
def test_an_alignment_in_order_survives_the_store(times):
    times = sorted(times)
    words = tuple(SpokenWord(text="x", start=a, end=b) for a, b in pairwise(times))
    whole = Alignment(words=words, phones=tuple(Phone(symbol="AA", start=a, end=b) for a, b in pairwise(times)),
                      method="aligned")
    assert Alignment.model_validate_json(whole.model_dump_json()) == whole
    assert words_in({"words": [[w.text, w.start, w.end] for w in words]}) == words


def test_every_phone_of_the_dictionary_has_a_mouth():
    assert set(SHAPES) == set(ARPABET)


@pytest.mark.parametrize("symbol", ["P", "B", "M"])
@pytest.mark.parametrize("length", [0.03, 0.05, 0.2])
def test_lips_close_for_p_b_and_m_however_short(symbol, length):
    line = phones(("AA", 0, 0.2), (symbol, 0.2, 0.2 + length), ("AA", 0.2 + length, 0.6))
    assert mouth_at(line, 0.2 + length / 2).opened == pytest.approx(0, abs=1e-6)


def test_a_mouth_is_halfway_where_two_phones_meet():
    line = phones(("AA", 0, 0.3), ("UW", 0.3, 0.6))
    assert mouth_at(line, 0.3).rounded == pytest.approx((SHAPES["AA"].rounded + SHAPES["UW"].rounded) / 2)
    assert mouth_at(line, 0.3 - BLEND_S / 2 - 0.001) == SHAPES["AA"]


@pytest.mark.parametrize("seconds", [-1.0, 0.0 - BLEND_S, 0.45, 2.0])
def test_a_mouth_is_closed_before_after_and_between_phones(seconds):
    assert mouth_at(phones(("AA", 0, 0.3), ("AA", 0.6, 0.9)), seconds) == CLOSED
    assert mouth_at([], seconds) == CLOSED


def test_an_unknown_phone_leaves_the_mouth_closed():
    assert mouth_at(phones(("+NSN+", 0, 1)), 0.5) == CLOSED


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ARPABET), st.floats(0.02, 0.5), st.sampled_from([0, 0, 0, 0.1])), min_size=1,
                max_size=6))
def test_a_mouth_never_jumps(parts):
    """In a millisecond it moves no more than its slowest blend allows: from shut to open in half of 20 ms."""
    line, at = [], 0.2
    for symbol, length, pause in parts:
        line.append(Phone(symbol=symbol, start=at + pause, end=at + pause + length))
        at = line[-1].end
    shapes = [mouth_at(line, n / 1000) for n in range(150, int(at * 1000) + 100)]
    for n, (a, b) in enumerate(pairwise(shapes)):
        step = max(abs(a.opened - b.opened), abs(a.spread - b.spread), abs(a.rounded - b.rounded))
        assert step <= 0.06, f"{step:.3f} at {n} ms"
    assert all(0 <= part <= 1 for shape in shapes for part in (shape.opened, shape.spread, shape.rounded))
    assert all(isinstance(shape, MouthShape) for shape in shapes)
