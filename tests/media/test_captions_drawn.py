"""Captions as they are seen: nothing is interpreted, words light up where they stand, scripts are shaped."""

import itertools

import numpy as np
import pytest
from PIL import features

from callsheet.graphemes import spoken_spans
from callsheet.media.fonts import bundled, system_face
from callsheet.models import CaptionStyle, Cue, SpokenWord
from tests.media.drawing import GREY_STYLE, HOSTILE, burn, overlap, pillow, visible

ALIKE = 0.6
"""Overlap of one text drawn twice; measured 0.66 and more."""
UNLIKE = 0.5
"""Overlap of two texts; measured 0.41 and less."""


def one_each(texts, seconds=0.2):
    return [Cue(text=t, start=n * seconds, end=(n + 1) * seconds) for n, t in enumerate(texts)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Every hostile text, as libass burns it and as Pillow draws what is to be seen of it."""
    size = (1280, 200)
    frames = burn(tmp_path_factory.mktemp("hostile"), one_each(HOSTILE), GREY_STYLE, size, len(HOSTILE) / 5, 5, "black")
    em = GREY_STYLE.font_size * size[1] / 1080
    return frames, [pillow(visible(text), bundled()[0], em, size) for text in HOSTILE]


@pytest.mark.parametrize("n", range(len(HOSTILE)), ids=HOSTILE)
def test_a_hostile_text_is_drawn_letter_by_letter(drawn, n):
    frames, wanted = drawn
    assert overlap(frames[n], wanted[n]) > ALIKE, f"{HOSTILE[n]!r}: {overlap(frames[n], wanted[n]):.2f}"


def test_the_comparison_tells_texts_apart(drawn):
    frames, wanted = drawn
    found = {(a, b): overlap(frames[n], wanted[m]) for (n, a), (m, b) in itertools.combinations(enumerate(HOSTILE), 2)
             if m - n <= 8 and len(visible(a)) > 1 and len(visible(b)) > 1}
    worst = max(found, key=found.get)
    assert found[worst] < UNLIKE, f"{worst}: {found[worst]:.2f}"


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow cannot shape text to compare with")
@pytest.mark.parametrize(("text", "face"), [("مرحبا", 1), ("السلام", 1), ("क्षत्रिय", 0), ("विद्यार्थी", 0)])
def test_a_script_that_joins_its_letters_is_shaped(tmp_path, text, face):
    frame = burn(tmp_path, one_each([text]), GREY_STYLE, (640, 200), 0.1, ground="black")[0]
    em = GREY_STYLE.font_size * 200 / 1080
    whole, apart = (pillow(t, bundled()[face], em, (640, 200)) for t in (text, "\u200c".join(text)))
    assert overlap(frame, whole) > ALIKE, f"{overlap(frame, whole):.2f}"
    assert overlap(frame, apart) < UNLIKE, f"as single letters {overlap(frame, apart):.2f}"


@pytest.mark.skipif(system_face("☺") is None, reason="no font of this system has it")
def test_what_only_a_font_of_the_system_has_is_drawn_with_that_font(tmp_path):
    frame = burn(tmp_path, one_each(["☺☺"]), GREY_STYLE, (640, 200), 0.1, ground="black")[0]
    wanted = pillow("☺☺", system_face("☺"), GREY_STYLE.font_size * 200 / 1080, (640, 200))
    assert overlap(frame, wanted) > ALIKE, f"{overlap(frame, wanted):.2f}"


def test_arabic_runs_from_right_to_left_and_its_full_stop_is_at_the_left(tmp_path):
    size, text = (640, 120), "مرحبا بالعالم."
    with_stop, without = (
        burn(tmp_path / name, one_each([t]), GREY_STYLE, size, 0.1, ground="black")[0]
        for name, t in (("a", text), ("b", text[:-1])))
    edges = [np.nonzero((frame > 90).any(axis=0))[0][[0, -1]] for frame in (with_stop, without)]
    grown = (edges[0] - edges[1]) * [-1, 1]
    assert grown[0] > 0, f"the stop makes it {grown[0]} pixels longer at the left, {grown[1]} at the right"
    lows = with_stop[:, edges[0][0]:edges[0][0] + 3] > 90
    assert np.nonzero(lows.any(axis=1))[0].min() > size[1] / 2, "what is leftmost is low, as a stop is"


def lit(frame):
    """Where a frame is yellow."""
    red, green, blue = (frame[..., n].astype(int) for n in range(3))
    return (red > 150) & (green > 150) & (blue < 90)


def timed(text, start, end):
    """Words of a text, each as long."""
    spans = spoken_spans(text)
    step = (end - start) / len(spans)
    return tuple(SpokenWord(text=text[a:b], start=start + n * step, end=start + (n + 1) * step)
                 for n, (a, b) in enumerate(spans))


KARAOKE = CaptionStyle(karaoke=True, stroke_width=0, position_y=0.5, font_size=60)


@pytest.mark.parametrize("text", [
    "One two three", "All these words\nstand on two lines", r"{\c&H0000FF&} \N <b> 100%", "Hi – there, you",
    "مرحبا بالعالم اليوم", "मैं कभी नहीं",
])
def test_each_word_is_highlighted_where_it_stands_and_nowhere_else(tmp_path, text):
    """Found by drawing the caption without it: lit letters stand where the same letters stand unlit."""
    flat = text.replace("\n", " ")
    count = len(spoken_spans(flat))
    cue = Cue(text=text, start=0, end=count / 10, words=timed(flat, 0, count / 10))
    frames = burn(tmp_path, [cue], KARAOKE, (540, 300), count / 10, 10, "black", "rgb24")
    unlit = KARAOKE.model_copy(update={"karaoke": False})
    plain = burn(tmp_path / "plain", [cue], unlit, (540, 300), 0.1, 10, "black", "rgb24")[0][..., 0]
    often = np.zeros(plain.shape, int)
    for n, frame in enumerate(frames):
        assert lit(frame).sum() > 20, f"word {n + 1} of {text!r} is not lit"
        assert not (lit(frame) & (plain < 60)).any(), f"there is light beside the letters of word {n + 1}"
        moved = overlap(frame[..., 0], plain)         # red is as bright in yellow as in white
        assert moved > 0.9, f"letters move while word {n + 1} is lit: {moved:.2f}"
        often += lit(frame)
    assert often.max() == 1, "a place is lit during two words"
    assert (often > 0)[plain > 170].mean() > 0.9, "each letter is lit once"


def test_words_light_up_in_their_order_from_left_to_right(tmp_path):
    cue = Cue(text="aaa bbb ccc ddd", start=0, end=0.4, words=timed("aaa bbb ccc ddd", 0, 0.4))
    frames = burn(tmp_path, [cue], KARAOKE, (540, 300), 0.4, 10, "black", "rgb24")
    centres = [np.nonzero(lit(frame))[1].mean() for frame in frames]
    assert centres == sorted(centres) and len(set(centres)) == 4


def test_nothing_is_lit_in_a_pause_or_without_karaoke(tmp_path):
    words = (SpokenWord(text="one", start=0.0, end=0.1), SpokenWord(text="two", start=0.2, end=0.3))
    cue = Cue(text="one two", start=0, end=0.4, words=words)
    frames = burn(tmp_path, [cue], KARAOKE, (540, 300), 0.4, 10, "black", "rgb24")
    assert [bool(lit(frame).any()) for frame in frames] == [True, False, True, False]
    plain = burn(tmp_path / "off", [cue], KARAOKE.model_copy(update={"karaoke": False}), (540, 300), 0.4, 10, "black",
                 "rgb24")
    assert not any(lit(frame).any() for frame in plain)


def test_two_captions_at_once_light_up_each_their_own_word(tmp_path):
    cues = [Cue(text=t, start=0, end=0.2, words=timed(t, 0, 0.2)) for t in ("one two", "three four")]
    frames = burn(tmp_path, cues, KARAOKE, (540, 300), 0.2, 10, "black", "rgb24")
    for frame in frames:
        rows = np.nonzero(lit(frame).any(axis=1))[0]
        assert np.diff(rows).max() > 5, "two lines hold a lit word each"
        assert lit(frame)[:150].any() and lit(frame)[150:].any()


@pytest.mark.parametrize("size", [(540, 960), (1280, 720)])
def test_lines_of_a_caption_keep_their_distance_in_every_script(tmp_path, size):
    """From line to line 1.3 to 1.6 of the font's size: neither crowded nor apart."""
    texts = ["HHH\nHHH", "ااا\nااا", "ककक\nककक"]
    frames = burn(tmp_path, one_each(texts), GREY_STYLE.model_copy(update={"font_size": 60}), size, 0.6, 5, "black")
    em = 60 * min(size) / 1080
    for text, frame in zip(texts, frames, strict=True):
        rows = np.nonzero((frame > 90).any(axis=1))[0]
        first, second = np.split(rows, [int(np.diff(rows).argmax()) + 1])
        pitch = (second[0] - first[0]) / em
        assert 1.3 < pitch < 1.65, f"{text!r}: {pitch:.2f} em"


def test_the_size_of_the_font_is_that_of_its_em(tmp_path):
    """An H of Noto Sans is 0.714 em high."""
    frame = burn(tmp_path, [Cue(text="H", start=0, end=1)], GREY_STYLE, (1080, 1080), 0.1, ground="black")[0]
    rows = np.nonzero((frame > 127).any(axis=1))[0]
    assert (rows[-1] - rows[0] + 1) / 240 == pytest.approx(0.714, abs=0.03)
