"""Lines of captions: broken where a reader would, never inside a letter."""

import pytest

from callsheet.graphemes import clusters, solid
from callsheet.wrapping import captions_of, fitted


class Columns:
    """A ruler of a font whose letters are half an em wide."""

    def width(self, text):
        return len(clusters(text)) / 2

    def height(self, line):
        return 1.2


def fit(lines, width, height=1000.0):
    return fitted(lines, 10.0, Columns(), width, height)


def test_chinese_is_broken_between_letters_without_spaces_and_not_before_a_comma():
    lines, _ = fit(["今天天气很好，我们一起去，海边散步吧。"], 50)
    assert "".join(lines) == "今天天气很好，我们一起去，海边散步吧。"
    assert not any(line[0] in "，。" for line in lines), lines


def test_chinese_lines_that_are_joined_again_get_no_space():
    assert fit(["今天天气很好我", "们一起去海边散步吧"], 30)[0] == fit(["今天天气很好我们一起去海边散步吧"], 30)[0]


def test_korean_keeps_its_spaces():
    lines, _ = fit(["안녕하세요 세계 여러분 모두"], 30)
    assert " ".join(lines) == "안녕하세요 세계 여러분 모두", lines


@pytest.mark.parametrize("word", ["क्षत्रियविद्यार्थीप्रार्थनास्त्री", "👩\u200d👩\u200d👧" * 9, "e\u0301" * 30])
def test_a_word_too_long_is_cut_between_letters(word):
    lines, _ = fit([word], 30)
    assert len(lines) > 1 and [c for line in lines for c in clusters(line)] == clusters(word)


def test_a_word_too_long_is_cut_into_even_pieces():
    lines, _ = fit(["x" * 41], 100)
    assert len(lines) == 3 and max(map(len, lines)) - min(map(len, lines)) < 5, lines


def test_text_that_is_too_tall_is_drawn_smaller_and_none_of_it_is_lost():
    lines, em = fit(["word " * 100], 100, 60)
    assert em < 10 and len(lines) * 1.2 * em <= 60
    assert solid("".join(lines)) == "word" * 100


def test_arabic_and_hindi_break_where_sentences_end():
    assert all(part.endswith("؟") for part in captions_of("هل أنت هنا اليوم يا صديقي العزيز؟ " * 5))
    assert all(part.endswith("।") for part in captions_of("मैं कभी नहीं सोचता था कि वह अब भी खड़ा होगा। " * 5))
