"""Burned captions as a viewer meets them: whether they fit, leave the picture free and stay long enough.

Computed from the layout that they are drawn with (wrapping.py), so nothing has to be read off the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from callsheet.cues import visible_lines
from callsheet.graphemes import columns
from callsheet.media.fonts import Typesetter
from callsheet.models import CaptionStyle, Cue
from callsheet.wrapping import fitted

LARGEST_SHARE = 0.4
"""Of the picture's height; captions that take more hide what is shown."""

FASTEST = 32.0
"""Columns a second: about twice what most people read (a wide character is two columns)."""

SHORTEST_S = 0.3

_BOX = 0.9
_REFERENCE_SIDE = 1080
_STROKES = 3.0
"""Stroke and shadow below and above the letters, in stroke widths."""
_OVERLAP_S = 0.02

REMEDIES: Mapping[str, str] = MappingProxyType({
    "do not fit 90 % of the picture": "use a smaller font_size, or part the text into more cues",
    f"cover more than {LARGEST_SHARE * 100:.0f} % of the picture's height": "use a smaller font_size, or shorter lines",
    "are too short to be read": "shorten the line, slow the voice down, or part the cue differently",
    "overlap in time": "let each cue end before the next one starts",
})
"""Every complaint, and what helps."""

NO_FIT, TOO_MUCH, TOO_SHORT, OVERLAP = REMEDIES


@dataclass(frozen=True)
class Block:
    """One cue as it is drawn."""

    cue: Cue
    top: float
    """Share of the picture's height, as `bottom`, with stroke and shadow."""
    bottom: float
    shrunk: bool
    """Whether it had to be drawn smaller than asked, and does not fit otherwise."""


def blocks(cues: Iterable[Cue], style: CaptionStyle, width: int, height: int) -> list[Block]:
    """Where each cue that shows anything is drawn in a picture of `width` x `height` pixels."""
    ruler, scale = Typesetter(), min(width, height) / _REFERENCE_SIDE
    em = style.font_size * scale
    laid = []
    for cue in cues:
        shown = visible_lines(cue.text)
        if not shown:
            continue
        lines, size = fitted(shown, em, ruler, width * _BOX, height * _BOX)
        half = sum(map(ruler.height, lines)) * size / 2
        edge = height * (1 - _BOX) / 2 + half
        centre = min(max(style.position_y * height, edge), height - edge)
        half += style.stroke_width * scale * _STROKES
        laid.append(Block(cue, (centre - half) / height, (centre + half) / height, size < em * 0.999))
    return laid


def complaints(laid: Sequence[Block]) -> Iterator[tuple[str, Cue]]:
    """What is wrong with which cue, in the words of `REMEDIES`."""
    before = 0.0
    for block in sorted(laid, key=lambda block: (block.cue.start, block.cue.end)):
        cue = block.cue
        seconds = cue.end - cue.start
        if block.shrunk:
            yield NO_FIT, cue
        elif block.bottom - block.top > LARGEST_SHARE:
            yield TOO_MUCH, cue
        if seconds < SHORTEST_S or sum(map(columns, visible_lines(cue.text))) > FASTEST * seconds:
            yield TOO_SHORT, cue
        if cue.start < before - _OVERLAP_S:
            yield OVERLAP, cue
        before = max(before, cue.end)

