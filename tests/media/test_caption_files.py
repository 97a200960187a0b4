"""Caption files that strangers wrote: their words and times, and nothing else."""

import pytest

from callsheet.errors import FileMissing, InputError, ManifestInvalid
from callsheet.media.caption_files import read_captions

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> {\\an8}there & <font color="red">red</font>, a < b
second line

2
00:00:03,000 --> 00:00:03,000
never seen
"""
VTT = """WEBVTT

NOTE a comment

c1
00:01.000 --> 00:02.500 align:start position:0%
<v Bob>Hi &amp; <c.loud>you</c> <00:01.500>now</v>
"""
ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:04.00,0:00:05.00,Default,,0,0,0,,later
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}a{\\i0}\\Nb, c
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,hidden
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\p1}m 0 0 l 10 10{\\p0}
"""


def cues(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return [(cue.start, cue.end, cue.text) for cue in read_captions(folder / name)]


@pytest.mark.parametrize(("name", "text", "wanted"), [
    ("a.srt", SRT, [(1.0, 2.5, "Hello there & red, a < b\nsecond line")]),
    ("a.VTT", VTT, [(1.0, 2.5, "Hi & you now")]),
    ("a.ass", ASS, [(1.0, 2.5, "a\nb, c"), (4.0, 5.0, "later")]),
], ids=["srt", "vtt", "ass"])
def test_words_and_times_are_read_and_markup_is_left_out(tmp_path, name, text, wanted):
    assert cues(tmp_path, name, text) == wanted


@pytest.mark.parametrize(("name", "text"), [("a.srt", SRT), ("a.vtt", VTT), ("a.ass", ASS)], ids=["srt", "vtt", "ass"])
@pytest.mark.parametrize("end", ["\r", "\r\n"], ids=["cr", "crlf"])
def test_lines_may_end_as_on_any_system(tmp_path, name, text, end):
    (tmp_path / name).write_bytes(text.replace("\n", end).encode())
    wanted = cues(tmp_path, f"unix{name[1:]}", text)
    assert [(cue.start, cue.end, cue.text) for cue in read_captions(tmp_path / name)] == wanted


@pytest.mark.parametrize("name", ["a.srt", "a.txt", "a"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_what_begins_with_webvtt_is_webvtt_whatever_its_name(tmp_path, name, mark):
    assert cues(tmp_path, name, mark + VTT) == [(1.0, 2.5, "Hi & you now")]


def test_a_word_that_only_begins_like_webvtt_is_not_it(tmp_path):
    with pytest.raises(InputError, match="is no caption file"):
        cues(tmp_path, "a.txt", "WEBVTTS are nice\n")


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert cues(tmp_path, "a.srt", "\ufeff" + SRT)[0][2].startswith("Hello")


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.txt", SRT, "is no caption file"),
    ("a.srt", "", "has no captions"),
    ("a.srt", "just words\n", "has no captions"),
    ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n \n", "has no captions"),
    ("a.srt", "1\n00:00:02,000 --> 00:00:01,000\nhi\n", r"the caption at 2\.000 s ends before it starts"),
    ("a.srt", f"1\n00:00:01,000 --> 00:00:02,000\n{'x' * 501}\n", "has 501 characters"),
    ("a.srt", "1\n99:00:01,000 --> 99:00:02,000\nhi\n", "less than or equal to 14400"),
])
def test_what_cannot_be_shown_is_refused(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        cues(tmp_path, name, text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileMissing, match=r"gone\.srt"):
        read_captions(tmp_path / "gone.srt")


def test_text_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT.replace("red", "r\u00f6t").encode("latin-1"))
    with pytest.raises(ManifestInvalid, match="is not UTF-8"):
        read_captions(tmp_path / "a.srt")


def test_what_is_markup_in_ass_alone_is_text_in_the_other_formats(tmp_path):
    srt = "1\n00:00:01,000 --> 00:00:02,000\nC:\\new \\h and \\N\n"
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\nC:\\new {\\b1} {x}\n"
    assert cues(tmp_path, "a.srt", srt) == [(1.0, 2.0, "C:\\new \\h and \\N")]
    assert cues(tmp_path, "a.vtt", vtt) == [(1.0, 2.0, "C:\\new {\\b1} {x}")]
