"""Captions: what is written is what is read, whatever it looks like to a parser."""

import html
import re
import tempfile
from pathlib import Path

import ffmpeg
import numpy as np
import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import RequestInvalid
from callsheet.media.captions import (
    JOINER,
    colour,
    fonts_folder,
    not_in_font,
    write_ass,
    write_srt,
    write_vtt,
)
from callsheet.media.ffmpeg import Command, reader
from callsheet.models import CaptionStyle, Cue

HOSTILE = (
    r"{\b1}bold{\b0}", r"a\Nb\nc\hd", "<i>x</i> <font color=red>y</font>", "[x] %{pts}", "100% sure, it's 'so': a;b",
    "1\n00:00:01,000 --> 00:00:02,000\nnot a cue", "00:01.000 --> 00:02.000", "<v Bob> & &lt; &amp;",
    r"{\p1}m 0 0 l 9 9", "{y:i}up", "first\n\n\nlast\n42", "tab\there\rnew\u2028line", "\\", "{", "}", "WEBVTT", "-->",
    "Dialogue: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,x", "你好，世界", "مرحبا بالعالم", "nul\x00 bell\x07",
)


SPEECH = (
    "I never thought that the lighthouse would still be standing after all those winters, but here it is. "
    "Somebody has lit the lamp! Do you see it, Anna? Supercalifragilisticexpialidociousantidisestablishmentarianism. "
    "Come, let us walk down to the shore before the tide comes in, and before the night falls over the bay."
)


def lines_of(text):
    """What a viewer is to see: the lines that are not blank, without control characters."""
    lines = (re.sub(r"[\x00-\x08\x0e-\x1f]", "", line.expandtabs(1)).strip() for line in text.splitlines())
    return [line for line in lines if line]


def numbered(texts):
    return [Cue(text=text, start=n + 0.25, end=n + 1.0) for n, text in enumerate(texts)]


def read_back(path):
    events = pysubs2.load(str(path), keep_html_tags=True).events
    return [(e.start, e.end, e.text.replace(r"\N", "\n").replace(JOINER, "").split("\n")) for e in events]


def test_hostile_text_is_the_same_after_srt(tmp_path):
    write_srt(numbered(HOSTILE), tmp_path / "a.srt")
    wanted = [(n * 1000 + 250, n * 1000 + 1000, lines_of(t)) for n, t in enumerate(HOSTILE)]
    assert read_back(tmp_path / "a.srt") == wanted


AWKWARD = st.sampled_from("\\{}<>&;-:,.[]%/Nnhibup01234 \n\ta#'\"éж")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(AWKWARD, min_size=1, max_size=40), max_size=4))
def test_any_text_is_the_same_after_srt(texts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.srt"
        write_srt(numbered(texts), path)
        found = [lines for _, _, lines in read_back(path)] if any(map(lines_of, texts)) else []
    assert found == [lines_of(text) for text in texts if lines_of(text)]


def test_hostile_text_is_the_same_after_vtt(tmp_path):
    write_vtt(numbered(HOSTILE), tmp_path / "a.vtt")
    found = [(a, b, [html.unescape(line) for line in lines]) for a, b, lines in read_back(tmp_path / "a.vtt")]
    assert found == [(n * 1000 + 250, n * 1000 + 1000, lines_of(t)) for n, t in enumerate(HOSTILE)]


@pytest.mark.parametrize("write", [write_srt, write_vtt])
def test_a_reader_that_knows_tags_finds_none(tmp_path, write):
    write(numbered(HOSTILE), tmp_path / "a.srt")
    for event in pysubs2.load(str(tmp_path / "a.srt")).events:
        assert not re.search(r"\{\\|</?[a-z]", event.text), event.text


def test_a_vtt_holds_no_bare_bracket_or_ampersand(tmp_path):
    write_vtt(numbered(HOSTILE), tmp_path / "a.vtt")
    body = re.sub(r"^[\d:.]+ --> [\d:.]+$", "", (tmp_path / "a.vtt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", body)


def test_ass_text_holds_no_markup_but_our_own(tmp_path):
    write_ass(numbered(HOSTILE), CaptionStyle(), 1080, 1920, tmp_path / "a.ass")
    events = pysubs2.load(str(tmp_path / "a.ass")).events
    assert len(events) == len(HOSTILE)
    for event in events:
        ours, text = re.fullmatch(r"(\{\\an5\\pos\([\d.,]+\)\\fs[\d.]+\})(.*)", event.text).groups()
        rest = text.replace(r"\N", "").replace(r"\{", "").replace(r"\}", "")
        assert not re.search(r"[{}]|\\(?!" + JOINER + ")", rest), (ours, text)


def test_ordinary_text_gets_no_joiners(tmp_path):
    text = "It's 100% sure: Q&A at 10:30, [x] – and so on…"
    write_srt([Cue(text=text, start=0, end=1)], tmp_path / "a.srt")
    assert text in (tmp_path / "a.srt").read_text(encoding="utf-8")


def test_text_without_anything_to_see_is_no_cue(tmp_path):
    write_srt([Cue(text=" \n\t", start=0, end=1), Cue(text="x", start=1, end=2)], tmp_path / "a.srt")
    assert len(pysubs2.load(str(tmp_path / "a.srt"))) == 1


def test_a_cue_on_a_frame_starts_with_that_frame(tmp_path):
    """ASS knows hundredths: rounded up, frame 20 of 30 a second would be without its caption."""
    write_ass([Cue(text="x", start=20 / 30, end=0.29 * 10)], CaptionStyle(), 1080, 1920, tmp_path / "a.ass")
    event = pysubs2.load(str(tmp_path / "a.ass")).events[0]
    assert (event.start, event.end) == (660, 2900)


def test_cues_at_the_same_time_are_shown_below_each_other(tmp_path):
    cues = [Cue(text="one", start=0, end=2), Cue(text="two", start=1, end=3)]
    write_ass(cues, CaptionStyle(), 1080, 1920, tmp_path / "a.ass")
    shown = [(e.start, e.end, e.text.split("}")[1]) for e in pysubs2.load(str(tmp_path / "a.ass")).events]
    assert shown == [(0, 1000, "one"), (1000, 2000, r"one\Ntwo"), (2000, 3000, "two")]


@pytest.mark.parametrize(
    ("size", "scale"), [((1080, 1920), 1), ((1920, 1080), 1), ((540, 960), 0.5), ((1280, 720), 2 / 3)])
def test_size_and_stroke_scale_with_the_picture(tmp_path, size, scale):
    write_ass([Cue(text="x", start=0, end=1)], CaptionStyle(font_size=48, stroke_width=3), *size, tmp_path / "a.ass")
    style = pysubs2.load(str(tmp_path / "a.ass")).styles["Default"]
    assert style.fontsize == pytest.approx(48 * 1.362 * scale, rel=0.01), "a line is 1.362 ems high in Noto Sans"
    assert style.outline == pytest.approx(3 * scale, abs=0.001)


@pytest.mark.parametrize(
    ("word", "rgb"), [("white", (255, 255, 255)), (" RebeccaPurple", (102, 51, 153)), ("#0aF0ff", (10, 240, 255))])
def test_a_colour_is_a_css_name_or_hex(word, rgb):
    found = colour(word, "x")
    assert (found.r, found.g, found.b) == rgb


@pytest.mark.parametrize("word", ["", "#fff", "#12345g", "whiteish", "&H00FFFFFF", "red,0", "rgb(1,2,3)", "{\\b1}"])
def test_anything_else_is_refused_by_its_field(tmp_path, word):
    with pytest.raises(RequestInvalid, match=r"caption_style\.color.*is no colour"):
        unchecked = CaptionStyle().model_copy(update={"color": word})
        write_ass([], unchecked, 1080, 1920, tmp_path / "a.ass")


def test_missing_characters_are_named():
    assert not_in_font([Cue(text="Größe, Привет, Ωμέγα, 你好!", start=0, end=1)]) == "你好"


def burned(tmp_path, cues, style, size, seconds=1.0, fps=10):
    """Luma of a grey clip with captions, of shape (frames, height, width)."""
    width, height = size
    ass = tmp_path / "o'dd [na,me];x.ass"
    write_ass(cues, style, width, height, ass)
    grey = ffmpeg.input(f"color=gray:s={width}x{height}:r={fps}:d={seconds},format=yuv420p", f="lavfi")
    drawn = grey.filter("ass", filename=str(ass), fontsdir=str(fonts_folder()))
    arguments = drawn.output("pipe:1", f="rawvideo", pix_fmt="gray").get_args()
    with reader(Command(tuple(arguments), "burn captions")) as pipe:
        return np.frombuffer(pipe.read(), np.uint8).reshape(-1, height, width)


def changed(frame):
    """Top, bottom, left, right of what was drawn on grey, in pixels; None where nothing was."""
    rows, cells = np.nonzero(np.abs(frame.astype(int) - int(frame[0, 0])) > 20)
    return (rows.min(), rows.max(), cells.min(), cells.max()) if len(rows) else None


def test_a_burned_caption_is_there_during_its_cue_only(tmp_path):
    frames = burned(tmp_path, [Cue(text="Hello", start=0.3, end=0.6)], CaptionStyle(), (270, 480))
    assert [n for n, frame in enumerate(frames) if changed(frame)] == [3, 4, 5]


@pytest.mark.parametrize("size", [(270, 480), (480, 270)])
@pytest.mark.parametrize("y", [0.2, 0.75])
def test_a_burned_caption_is_centred_at_position_y(tmp_path, size, y):
    frames = burned(tmp_path, [Cue(text="Hxxxxxp\nHxxxxxp", start=0, end=1)], CaptionStyle(position_y=y), size)
    top, bottom, left, right = changed(frames[0])
    assert abs((top + bottom) / 2 / size[1] - y) < 0.02 and abs((left + right) / 2 - size[0] / 2) < 3


@pytest.mark.parametrize("text", [SPEECH[:480], "x" * 300, "WWWW " * 60, "Hi", r"{\an8}{\pos(0,0)}" * 9])
@pytest.mark.parametrize(("size", "font"), [((270, 480), 48), ((480, 270), 300)])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_text_stays_inside_the_picture_and_its_90_percent(tmp_path, text, size, font, y):
    frames = burned(tmp_path, [Cue(text=text, start=0, end=1)], CaptionStyle(font_size=font, position_y=y), size, 0.1)
    top, bottom, left, right = changed(frames[0])
    assert top > size[1] * 0.04 and bottom < size[1] * 0.96, (top, bottom)
    assert right - left <= size[0] * 0.9 + 4, f"{right - left} of {size[0]} pixels"        # 4: stroke and shadow


def test_markup_in_text_is_drawn_and_not_obeyed(tmp_path):
    plain = changed(burned(tmp_path, [Cue(text="big", start=0, end=1)], CaptionStyle(), (480, 270), 0.1)[0])
    marked = changed(burned(tmp_path, [Cue(text=r"{\fs5}big", start=0, end=1)], CaptionStyle(), (480, 270), 0.1)[0])
    assert marked[3] - marked[2] > 1.5 * (plain[3] - plain[2]), "its braces take room"


def test_every_hostile_text_leaves_a_mark(tmp_path):
    latin = [text for text in HOSTILE if not not_in_font([Cue(text=text, start=0, end=1)])]
    cues = [Cue(text=text, start=n / 10, end=(n + 1) / 10) for n, text in enumerate(latin)]
    frames = burned(tmp_path, cues, CaptionStyle(), (480, 270), seconds=len(latin) / 10)
    assert [n for n, frame in enumerate(frames) if not changed(frame)] == []


def test_colours_are_those_of_the_style(tmp_path):
    style = CaptionStyle(font_size=200, color="black", stroke_color="white", stroke_width=8)
    frame = burned(tmp_path, [Cue(text="M", start=0, end=1)], style, (480, 270), 0.1)[0]
    assert (frame < 20).sum() > 300 and (frame > 235).sum() > 100, ((frame < 20).sum(), (frame > 235).sum())


def test_the_font_comes_with_the_package():
    assert {p.suffix for p in fonts_folder().iterdir()} == {".ttf"}
