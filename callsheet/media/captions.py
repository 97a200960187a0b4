"""Captions: cues as files (ASS to burn, SRT and VTT beside the film).

pysubs2 is the one model behind all three formats. Text comes from strangers and stays literal in each of
them: what a format would take for markup is escaped where the format has escapes, and parted by an
invisible word joiner where it has none. Cues are made of dialogue in callsheet/cues.py and
broken into lines in callsheet/wrapping.py; drawing is libass's, through ffmpeg.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pysubs2

from callsheet.cues import visible_lines
from callsheet.errors import RequestInvalid
from callsheet.models import CaptionStyle, Cue
from callsheet.wrapping import Ruler, fitted

FONT = "Noto Sans"
JOINER = "\u2060"
"""Word joiner: invisible, without width. It parts characters that together would be markup."""

_REFERENCE_SIDE = 1080
_BOX = 0.9
"""Share of the picture's width, and of its height, that text may take."""
_SHADOW_ALPHA = 0x60
"""Of 255, where 0 is opaque: a soft shadow as wide as the stroke keeps text apart from a busy picture."""


@cache
def fonts_folder() -> Path:
    """Folder of the font that captions are drawn with; give it to libass as `fontsdir`."""
    import fontpkg_noto_sans

    return Path(fontpkg_noto_sans.ROOT) / "files"


def write_ass(cues: Iterable[Cue], style: CaptionStyle, width: int, height: int, path: Path) -> None:
    """Write `path` for burning into a picture of `width` x `height` pixels.

    A line is at most 90 % of the picture wide. Text that would not fit its height is drawn smaller, and
    text that would come closer than 5 % to an edge at `position_y` is moved inwards. Cues that overlap in
    time are shown one below the other. Raises RequestInvalid for a colour that is none.
    """
    subs = pysubs2.SSAFile()
    subs.info.update({
        "PlayResX": str(width), "PlayResY": str(height), "WrapStyle": "2", "ScaledBorderAndShadow": "yes",
    })
    scale = min(width, height) / _REFERENCE_SIDE
    em = style.font_size * scale
    ruler = _ruler()
    subs.styles = {"Default": _ass_style(style, em * ruler.line_height, scale)}
    for cue in _one_at_a_time(cues):
        lines, size = fitted(visible_lines(cue.text), em, ruler, width * _BOX, height * _BOX)
        edge = height * (1 - _BOX) / 2 + len(lines) * size * ruler.line_height / 2
        centre = min(max(style.position_y * height, edge), height - edge)
        place = rf"{{\an5\pos({width / 2:.1f},{centre:.1f})\fs{size * ruler.line_height:.2f}}}"
        text = place + r"\N".join(_ass_literal(line) for line in lines)
        subs.events.append(pysubs2.SSAEvent(_whole_cs(cue.start), _whole_cs(cue.end), text))
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


def not_in_font(cues: Iterable[Cue]) -> str:
    """Characters that the bundled font lacks, sorted: drawn only where the system has a font with them."""
    seen = {c for cue in cues for line in visible_lines(cue.text) for c in line}
    return "".join(sorted(c for c in seen if not _ruler().has(c)))


@cache
def _ruler() -> Ruler:
    return Ruler(next(p for p in sorted(fonts_folder().glob("*.ttf")) if "Italic" not in p.name))


def _ass_style(style: CaptionStyle, size: float, scale: float) -> pysubs2.SSAStyle:
    stroke = round(style.stroke_width * scale, 3)
    edge = colour(style.stroke_color, "caption_style.stroke_color")
    return pysubs2.SSAStyle(
        fontname=FONT, fontsize=size,
        primarycolor=colour(style.color, "caption_style.color"),
        outlinecolor=edge, outline=stroke,
        backcolor=pysubs2.Color(edge.r, edge.g, edge.b, _SHADOW_ALPHA), shadow=stroke,
        bold=True,                                     # drawn heavier, at the same widths: reads well when small
        alignment=pysubs2.Alignment.MIDDLE_CENTER, marginl=0, marginr=0, marginv=0,
    )


def _one_at_a_time(cues: Iterable[Cue]) -> list[Cue]:
    """The same picture at every moment, without overlaps: cues shown together become one of several lines."""
    shown = [cue for cue in cues if visible_lines(cue.text)]
    moments = sorted({t for cue in shown for t in (cue.start, cue.end)})
    flat: list[Cue] = []
    for start, end in itertools.pairwise(moments):
        texts = [cue.text for cue in shown if cue.start <= start and cue.end >= end]
        if texts:
            flat.append(Cue.model_construct(text="\n".join(texts), start=start, end=end))
    return flat


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
