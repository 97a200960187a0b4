"""Captions: what is written is what is read, whatever it looks like to a parser."""

import html
import re
import tempfile
from pathlib import Path

import av
import numpy as np
import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import RequestInvalid
from callsheet.media.captions import JOINER, boxes, colour, fonts_folder, write_ass, write_srt, write_vtt
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.mix import mix
from callsheet.models import CaptionMode, CaptionStyle, Cue, SpokenWord
from callsheet.recipes import MixRecipe
from tests.media.clips import ref_of, room_in
from tests.media.drawing import HOSTILE as HOSTILE_LINES
from tests.media.drawing import burn

HOSTILE = (
    *HOSTILE_LINES,
    "1\n00:00:01,000 --> 00:00:02,000\nnot a cue", "00:01.000 --> 00:02.000", "<v Bob> & &lt; &amp;",
    "first\n\n\nlast\n42", "tab\there\rnew\u2028line", "-->", "NOTE not a note", "STYLE", "REGION",
    "Dialogue: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,x", "你好，世界", "مرحبا بالعالم", "👩\u200d🚀 ok",
)


SPEECH = (
    "I never thought that the lighthouse would still be standing after all those winters, but here it is. "
    "Somebody has lit the lamp! Do you see it, Anna? Supercalifragilisticexpialidociousantidisestablishmentarianism. "
    "Come, let us walk down to the shore before the tide comes in, and before the night falls over the bay."
)


def lines_of(text):
    """What a viewer is to see: the lines that are not blank, without control characters."""
    unseen = r"[\x00-\x08\x0e-\x1f\u202a-\u202e\u2060]"
    lines = (re.sub(unseen, "", line.expandtabs(1)).strip() for line in text.splitlines())
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


def plainly_read(path):
    """A WebVTT file read by the letter of its specification: blocks, a time line, entities, tags."""
    head, *blocks = re.split(r"\n{2,}", path.read_text(encoding="utf-8").strip())
    assert head == "WEBVTT"
    cues = []
    for block in blocks:
        lines = block.split("\n")
        lines = lines if "-->" in lines[0] else lines[1:]                   # a cue may have a name
        start, end = (
            sum(float(part) * 60**n for n, part in enumerate(reversed(t.split(":"))))
            for t in lines[0].split(" --> ")
        )
        text = html.unescape(re.sub(r"<[^>]*>?", "", "\n".join(lines[1:])))
        cues.append((round(start, 3), round(end, 3), text.replace(JOINER, "").split("\n")))
    return cues


def test_hostile_text_is_what_a_plain_reader_of_vtt_shows(tmp_path):
    write_vtt(numbered(HOSTILE), tmp_path / "a.vtt")
    wanted = [(n + 0.25, n + 1.0, lines_of(t)) for n, t in enumerate(HOSTILE)]
    assert plainly_read(tmp_path / "a.vtt") == wanted


@pytest.mark.slow
def test_hostile_text_is_what_a_player_reads_from_the_film(tmp_path):
    """Soft captions through the muxer: the text of every sample, and no style record beside it."""
    seconds = len(HOSTILE) + 1
    run(Command(("-f", "lavfi", "-i", f"color=black:s=32x32:r=1:d={seconds}", "-c:v", "libx264",
                 local_input(tmp_path / "reel.mp4")), "make a reel"))
    recipe = MixRecipe(reel=ref_of(0), seconds=seconds, cues=numbered(HOSTILE), captions=CaptionMode.BESIDE)
    film = mix(recipe, room_in(tmp_path / "room", tmp_path / "reel.mp4")).files["main"]
    found = []
    with av.open(str(film)) as container:
        for packet in container.demux(container.streams.subtitles[0]):
            data = bytes(packet)
            if len(data) > 2:
                text, boxes = data[2:2 + int.from_bytes(data[:2])], data[2 + int.from_bytes(data[:2]):]
                assert b"styl" not in boxes, text
                found.append(text.decode().replace(JOINER, "").split("\n"))
    assert found == [lines_of(text) for text in HOSTILE]


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
    write_ass(numbered(HOSTILE), CaptionStyle(karaoke=True), 1920, 1080, tmp_path / "a.ass")
    events = pysubs2.load(str(tmp_path / "a.ass")).events
    assert len(events) == sum(len(lines_of(text)) for text in HOSTILE)
    for event in events:
        rest = re.sub(r"\{\\an5\\pos\([\d.,]+\)\}|\{\\fn[A-Za-z ]+\\fs[\d.]+\}", "", event.text)
        rest = rest.replace(r"\{", "").replace(r"\}", "")
        assert not re.search(r"[{}]|\\(?!" + JOINER + ")", rest), event.text


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


def shown(path):
    """Start, height and text of each event."""
    return [(e.start, e.end, float(re.search(r"pos\([\d.]+,([\d.]+)", e.text)[1]), re.sub(r"\{\\.*?\}", "", e.text))
            for e in pysubs2.load(str(path)).events]


def test_cues_at_the_same_time_are_shown_below_each_other(tmp_path):
    cues = [Cue(text="one", start=0, end=2), Cue(text="two", start=1, end=3)]
    write_ass(cues, CaptionStyle(), 1080, 1920, tmp_path / "a.ass")
    alone, one, two, last = shown(tmp_path / "a.ass")
    assert [(a, b, t) for a, b, _, t in (alone, one, two, last)] == [
        (0, 1000, "one"), (1000, 2000, "one"), (1000, 2000, "two"), (2000, 3000, "two")]
    assert alone[2] == last[2] and one[2] < alone[2] < two[2]


def test_karaoke_writes_a_line_anew_only_when_something_in_it_changes(tmp_path):
    """libass draws what a file says: a file with an event a frame would cost as much as the encoder."""
    words = [SpokenWord(text=t, start=n, end=n + 1) for n, t in enumerate(("one", "two", "three", "four"))]
    cue = Cue(text="one two\nthree four", start=0, end=4, words=words)
    write_ass([cue], CaptionStyle(karaoke=True), 1080, 1920, tmp_path / "a.ass")
    assert [(a, b, t) for a, b, _, t in shown(tmp_path / "a.ass")] == [
        (0, 1000, "one two"), (0, 2000, "three four"), (1000, 2000, "one two"), (2000, 4000, "one two"),
        (2000, 3000, "three four"), (3000, 4000, "three four")]


def test_words_that_are_not_those_of_the_text_are_not_highlighted(tmp_path):
    cue = Cue(text="one two", start=0, end=2, words=(SpokenWord(text="three", start=0, end=1),))
    write_ass([cue], CaptionStyle(karaoke=True), 1080, 1920, tmp_path / "a.ass")
    assert [(a, b) for a, b, _, _ in shown(tmp_path / "a.ass")] == [(0, 2000)]


@pytest.mark.parametrize(
    ("size", "scale"), [((1080, 1920), 1), ((1920, 1080), 1), ((540, 960), 0.5), ((1280, 720), 2 / 3)])
def test_size_and_stroke_scale_with_the_picture(tmp_path, size, scale):
    write_ass([Cue(text="x", start=0, end=1)], CaptionStyle(font_size=48, stroke_width=3), *size, tmp_path / "a.ass")
    style = pysubs2.load(str(tmp_path / "a.ass")).styles["Default"]
    assert style.fontsize == pytest.approx(48 * 1.519 * scale, rel=0.01), "libass's line of Noto Sans is 1.519 em"
    assert style.outline == pytest.approx(3 * scale, abs=0.001)


@pytest.mark.parametrize(
    ("word", "rgb"), [("white", (255, 255, 255)), (" RebeccaPurple", (102, 51, 153)), ("#0aF0ff", (10, 240, 255))])
def test_a_colour_is_a_css_name_or_hex(word, rgb):
    found = colour(word, "x")
    assert (found.r, found.g, found.b) == rgb


@pytest.mark.parametrize("field", ["color", "highlight_color", "stroke_color"])
@pytest.mark.parametrize("word", ["", "#fff", "#12345g", "whiteish", "&H00FFFFFF", "red,0", "rgb(1,2,3)", "{\\b1}"])
def test_anything_else_is_refused_by_its_field(tmp_path, word, field):
    with pytest.raises(RequestInvalid, match=rf"caption_style\.{field}.*is no colour"):
        unchecked = CaptionStyle().model_copy(update={field: word})
        write_ass([], unchecked, 1080, 1920, tmp_path / "a.ass")


def test_a_character_that_no_font_has_is_named_with_what_to_install():
    cue = Cue(text="Größe, Привет, Ωμέγα, مرحبا, हिन्दी, \U00013000\U00013001!", start=0, end=1)
    warning, = boxes([cue])
    assert "\U00013000 \U00013001:" in warning and "fonts-noto-core" in warning, warning
    assert boxes([Cue(text="Größe, Привет, Ωμέγα, مرحبا, हिन्दी", start=0, end=1)]) == ()


def test_at_most_twenty_missing_characters_are_named():
    warning, = boxes([Cue(text="".join(map(chr, range(0x13000, 0x13020))), start=0, end=1)])
    assert "and 12 more" in warning and warning.count("\u0020\U00013013") == 1 and chr(0x13014) not in warning


def changed(frame):
    """Top, bottom, left, right of what was drawn on grey, in pixels; None where nothing was."""
    rows, cells = np.nonzero(np.abs(frame.astype(int) - int(frame[0, 0])) > 20)
    return (rows.min(), rows.max(), cells.min(), cells.max()) if len(rows) else None


def test_a_burned_caption_is_there_during_its_cue_only(tmp_path):
    frames = burn(tmp_path, [Cue(text="Hello", start=0.3, end=0.6)], CaptionStyle(), (270, 480))
    assert [n for n, frame in enumerate(frames) if changed(frame)] == [3, 4, 5]


@pytest.mark.parametrize("size", [(270, 480), (480, 270)])
@pytest.mark.parametrize("y", [0.2, 0.75])
def test_a_burned_caption_is_centred_at_position_y(tmp_path, size, y):
    frames = burn(tmp_path, [Cue(text="Hxxxxxp\nHxxxxxp", start=0, end=1)], CaptionStyle(position_y=y), size)
    top, bottom, left, right = changed(frames[0])
    assert abs((top + bottom) / 2 / size[1] - y) < 0.02 and abs((left + right) / 2 - size[0] / 2) < 3


@pytest.mark.parametrize("text", [SPEECH[:480], "x" * 300, "WWWW " * 60, "Hi", r"{\an8}{\pos(0,0)}" * 9])
@pytest.mark.parametrize(("size", "font"), [((270, 480), 48), ((480, 270), 300)])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_text_stays_inside_the_picture_and_its_90_percent(tmp_path, text, size, font, y):
    frames = burn(tmp_path, [Cue(text=text, start=0, end=1)], CaptionStyle(font_size=font, position_y=y), size, 0.1)
    top, bottom, left, right = changed(frames[0])
    assert top > size[1] * 0.04 and bottom < size[1] * 0.96, (top, bottom)
    assert right - left <= size[0] * 0.9 + 4, f"{right - left} of {size[0]} pixels"        # 4: stroke and shadow


def test_colours_are_those_of_the_style(tmp_path):
    style = CaptionStyle(font_size=200, color="black", stroke_color="white", stroke_width=8)
    frame = burn(tmp_path, [Cue(text="M", start=0, end=1)], style, (480, 270), 0.1)[0]
    assert (frame < 20).sum() > 300 and (frame > 235).sum() > 100, ((frame < 20).sum(), (frame > 235).sum())


def test_the_font_comes_with_the_package():
    assert {p.suffix for p in fonts_folder().iterdir()} == {".ttf"}
