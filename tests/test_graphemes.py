"""Letters, widths and words of any script."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.graphemes import clusters, columns, solid, spoken_spans


def words(text):
    return [text[a:b] for a, b in spoken_spans(text)]


@pytest.mark.parametrize(("text", "pieces"), [
    ("e\u0301a", ["e\u0301", "a"]),
    ("क्षत्रिय", ["क्ष", "त्रि", "य"]),
    ("👩\u200d👩\u200d👧👍🏽🇩🇪🇫🇷", ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "🇫🇷"]),
    ("مُحَ", ["مُ", "حَ"]),
])
def test_what_is_drawn_as_one_is_one_piece(text, pieces):
    assert clusters(text) == pieces


@settings(deadline=None)
@given(st.text())
def test_no_character_is_lost_between_letters(text):
    assert "".join(clusters(text)) == text


@settings(deadline=None)
@given(st.text())
def test_the_words_of_a_text_hold_all_of_it_but_white_space(text):
    assert solid("".join(words(text))) == solid(text)


@settings(deadline=None)
@given(st.text())
def test_words_are_in_order_and_apart(text):
    flat = [at for span in spoken_spans(text) for at in span]
    assert flat == sorted(flat) and all(a < b for a, b in spoken_spans(text))


@pytest.mark.parametrize(("text", "found"), [
    ("Well – yes, 100 % & no…", ["Well –", "yes,", "100", "%", "&", "no…"]),
    ("— Hi", ["— Hi"]),
    ("今天「天气」很好。", ["今", "天", "「天", "气」", "很", "好。"]),
    ("ラーメン", ["ラー", "メ", "ン"]),
    ("안녕하세요 세계", ["안녕하세요", "세계"]),
    ("Python写 3号", ["Python", "写", "3", "号"]),
    ("...", ["..."]), (" ", []),
])
def test_words_are_what_is_spoken(text, found):
    assert words(text) == found


def test_a_wide_letter_takes_two_columns_and_a_mark_none():
    assert (columns("今a"), columns("e\u0301\u200d"), columns("कि")) == (3, 1, 2)
