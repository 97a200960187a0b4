"""Captions: cues as files (ASS to burn, SRT and VTT beside the film).

pysubs2 is the one model behind all three formats. Text comes from strangers and stays literal in each of
them: what a format would take for markup is escaped where the format has escapes, and parted by an
invisible word joiner where it has none. Cues are made of dialogue in callsheet/cues.py and broken into lines
in callsheet/wrapping.py, fonts are chosen in fonts.py, what is shown at a moment is found in karaoke.py;
drawing is libass's, through ffmpeg.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pysubs2

from callsheet.cues import visible_lines
from callsheet.errors import RequestInvalid
from callsheet.graphemes import columns, solid
from callsheet.media.fonts import FONT, Typesetter, bundled, gather, runs, undrawn
from callsheet.media.karaoke import one_at_a_time
from callsheet.models import CaptionStyle, Cue
from callsheet.wrapping import fitted

__all__ = ["FONT", "boxes", "colour", "fonts_folder", "gather_fonts", "write_ass", "write_srt", "write_vtt"]

JOINER = "\u2060"
"""Word joiner: invisible, without width. It parts characters that together would be markup."""

_REFERENCE_SIDE = 1080
_BOX = 0.9
"""Share of the picture's width, and of its height, that text may take."""
_SHADOW_ALPHA = 0x60
"""Of 255, where 0 is opaque: a soft shadow as wide as the stroke keeps text apart from a busy picture."""
_BY_FIRST_LETTER = -1
"""ASS encoding: a line runs from right to left where its first letter does."""

_NAMED = 20
"""How many characters a warning names."""

_TYPESETTER = Typesetter()


def fonts_folder() -> Path:
    """Folder of the default font."""
    return bundled()[0].path.parent


def gather_fonts(cues: Iterable[Cue], folder: Path) -> Path:
    """Make `folder` with every font that the cues are drawn with; give it to libass as `fontsdir`."""
    return gather((line for cue in cues for line in visible_lines(cue.text)), folder)


def boxes(cues: Iterable[Cue]) -> tuple[str, ...]:
    """A warning where cues hold characters that no font here has, and what to install."""
    lacking = undrawn(line for cue in cues for line in visible_lines(cue.text))
    if not lacking:
        return ()
    named = " ".join(lacking[:_NAMED]) + (f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else "")
    packages = dict.fromkeys(_package(character) for character in lacking)
    return (f"captions: no font here has {named}: drawn as boxes; install {', '.join(packages)} and burn them again",)


def write_ass(cues: Iterable[Cue], style: CaptionStyle, width: int, height: int, path: Path) -> None:
    """Write `path` for burning into a picture of `width` x `height` pixels.

    A line is at most 90 % of the picture wide. Text that would not fit its height is drawn smaller, and
    text that would come closer than 5 % to an edge at `position_y` is moved inwards. Cues that overlap in
    time are shown one below the other. With `style.karaoke` a word has `highlight_color` while it is spoken,
    where a cue has the times of its words. Raises RequestInvalid for a colour that is none.
    """
    subs = pysubs2.SSAFile()
    subs.info.update({
        "PlayResX": str(width), "PlayResY": str(height), "WrapStyle": "2", "ScaledBorderAndShadow": "yes",
    })
    scale = min(width, height) / _REFERENCE_SIDE
    em = style.font_size * scale
    subs.styles = {"Default": _ass_style(style, em * bundled()[0].box.whole, scale)}
    colours = _tag(style.color, "color"), _tag(style.highlight_color, "highlight_color")
    last: dict[str, pysubs2.SSAEvent] = {}
    for shown in one_at_a_time(cues, style.karaoke):
        start, end = _whole_cs(shown.start), _whole_cs(shown.end)
        lines, size = _fitted(shown.lines, em, width * _BOX, height * _BOX)
        heights = [_TYPESETTER.height(line) * size for line in lines]
        edge = height * (1 - _BOX) / 2 + sum(heights) / 2
        top = min(max(style.position_y * height, edge), height - edge) - sum(heights) / 2
        for n, text in enumerate(_ass_lines(lines, size, shown.lit, colours) if end > start else ()):
            middle = top + sum(heights[:n]) + _TYPESETTER.middle(lines[n]) * size
            text = rf"{{\an5\pos({width / 2:.1f},{middle:.1f})}}" + text
            if text in last and last[text].end == start:             # a line in which nothing changes stays
                last[text].end = end
            else:
                last[text] = pysubs2.SSAEvent(start, end, text)
                subs.events.append(last[text])
    subs.save(str(path), format_="ass", header_notice="")


def write_srt(cues: Iterable[Cue], path: Path) -> None:
    """Write `path` as SubRip. Times are rounded to milliseconds."""
    _beside(cues, _srt_literal).save(str(path), format_="srt", keep_ssa_tags=True)


def write_vtt(cues: Iterable[Cue], path: Path) -> None:
    """Write `path` as WebVTT. Times are rounded to milliseconds."""
    _beside(cues, _vtt_literal).save(str(path), format_="vtt", keep_ssa_tags=True)


def colour(value: str, field: str) -> pysubs2.Color:
    """The colour that a CSS name or `#rrggbb` means. Raises RequestInvalid naming `field`."""
    from PIL import ImageColor

    word = value.strip().lower()
    named = ImageColor.colormap.get(word)
    if named is None and not re.fullmatch(r"#[0-9a-f]{6}", word):
        raise RequestInvalid(
            field=field, detail=f"{value[:40]!r} is no colour",
            remedy="use a CSS colour name such as white, or #rrggbb",
        )
    red, green, blue = ImageColor.getrgb(word)[:3]
    return pysubs2.Color(red, green, blue)


def _package(character: str) -> str:
    """What has it, under the name that Debian and Ubuntu use."""
    if columns(character) == 2:
        return "fonts-symbola" if character >= "\U0001f000" and character <= "\U0001faff" else "fonts-noto-cjk"
    return "fonts-noto-core"


def _ass_style(style: CaptionStyle, size: float, scale: float) -> pysubs2.SSAStyle:
    stroke = round(style.stroke_width * scale, 3)
    edge = colour(style.stroke_color, "caption_style.stroke_color")
    return pysubs2.SSAStyle(
        fontname=bundled()[0].name, fontsize=size,
        primarycolor=colour(style.color, "caption_style.color"),
        outlinecolor=edge, outline=stroke,
        backcolor=pysubs2.Color(edge.r, edge.g, edge.b, _SHADOW_ALPHA), shadow=stroke,
        bold=True,                                     # drawn heavier, at the same widths: reads well when small
        alignment=pysubs2.Alignment.MIDDLE_CENTER, marginl=0, marginr=0, marginv=0,
        encoding=_BY_FIRST_LETTER,
    )


@lru_cache(maxsize=64)
def _fitted(lines: tuple[str, ...], em: float, width: float, height: float) -> tuple[Sequence[str], float]:
    """Once for all words of a cue."""
    return fitted(lines, em, _TYPESETTER, width, height)


def _ass_lines(
    lines: Sequence[str], em: float, lit: Sequence[tuple[int, int]], colours: tuple[str, str]
) -> Iterator[str]:
    """Each line, with what tells libass the font, size and colour of each letter that differs from before."""
    at = 0
    for line in lines:
        text, colour = "", colours[0]
        for face, run in runs(line):
            text += rf"{{\fn{face.name}\fs{em * face.box.whole:.2f}}}"
            for piece in re.split(r"(\s+)", run):
                first, at = at, at + len(solid(piece))
                if at == first:                        # white space has no colour
                    text += piece
                    continue
                for start, end, is_lit in _parts(first, at, lit):
                    if colour != colours[is_lit]:
                        colour = colours[is_lit]
                        text += f"{{{colour}}}"
                    text += _ass_literal(piece[start - first:end - first])
        yield text


def _parts(start: int, end: int, lit: Sequence[tuple[int, int]]) -> list[tuple[int, int, bool]]:
    """[start, end) cut where light begins or ends."""
    cuts = sorted({start, end, *(t for span in lit for t in span if start < t < end)})
    return [(a, b, any(first <= a and b <= last for first, last in lit)) for a, b in itertools.pairwise(cuts)]


def _tag(value: str, field: str) -> str:
    rgb = colour(value, f"caption_style.{field}")
    return rf"\1c&H{rgb.b:02X}{rgb.g:02X}{rgb.r:02X}&"


def _beside(cues: Iterable[Cue], literal: Callable[[str], str]) -> pysubs2.SSAFile:
    subs = pysubs2.SSAFile()
    for cue in sorted(cues, key=lambda cue: (cue.start, cue.end)):
        text = r"\N".join(literal(line) for line in visible_lines(cue.text))
        if text:
            subs.events.append(pysubs2.SSAEvent(round(cue.start * 1000), round(cue.end * 1000), text))
    return subs


def _whole_cs(seconds: float) -> int:
    """Milliseconds, rounded down to ASS's hundredths, so that a cue that starts on a frame starts with it."""
    return math.floor(seconds * 100 + 1e-6) * 10


def _ass_literal(line: str) -> str:
    return line.replace("\\", "\\" + JOINER).replace("{", r"\{").replace("}", r"\}")


def _srt_literal(line: str) -> str:
    return re.sub(r"<|&(?=#?\w+;)", lambda m: m[0] + JOINER, _unmarked(line))


def _vtt_literal(line: str) -> str:
    return _unmarked(line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unmarked(line: str) -> str:
    """Without what SRT and VTT readers take for tags, times, arrows or the number of the next cue."""
    line = re.sub(r"[\\{]", lambda m: m[0] + JOINER, line)
    line = re.sub(r"(?<=\d):(?=\d{1,2}[.,]\d)", ":" + JOINER, line)
    return line.replace("-->", f"--{JOINER}>") + (JOINER if line.isdigit() else "")
