"""The fonts of captions: which one draws which letter, how wide it is, and the folder that libass reads.

Three fonts come with the package: Noto Sans (Latin, Greek, Cyrillic, Devanagari), Noto Sans Arabic and Noto
Sans Devanagari. Other scripts are looked for among the system's fonts. libass is told the font of every
letter, and gets its file: what is measured here is what is drawn. Colour emoji are not covered: libass draws
outlines alone.
"""

from __future__ import annotations

import struct
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from callsheet.graphemes import clusters, columns_of

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FONT = "Noto Sans"

_MEASURED_AT = 200
"""Pixels an em: more than most captions are drawn with."""
_FIRST_SHAPED = "\u0590"
"""From Hebrew on, a word may be wider or narrower than its letters."""
_LEADING = 1.6
"""Most ems from line to line: Arabic fonts have room for marks upon marks, which few texts have."""
_STYLES = ("Bold", "Regular", "Book", "Roman", "Medium")
"""Of a system's fonts, the best first: captions are bold."""
_MOST = 400
"""Fonts of the system that are looked into."""


class Height(NamedTuple):
    """Of letters in ems, from their common line up and down."""

    ascent: float
    descent: float

    @property
    def whole(self) -> float:
        return self.ascent + self.descent


@dataclass(frozen=True)
class Face:
    """One font file, upright and of ordinary width."""

    path: Path
    name: str
    """What libass finds it by: a full name where a system's font of the same family could be taken instead."""

    @cached_property
    def height(self) -> Height:
        """Of a line of text, by the font's own figures."""
        ascent, descent = self._font.getmetrics()
        return Height(ascent / _MEASURED_AT, descent / _MEASURED_AT)

    @cached_property
    def box(self) -> Height:
        """Of a line as libass lays it out, which is also what ASS calls the font's size: the figures for Windows."""
        data = self.path.read_bytes()
        at = int.from_bytes(data[12:16]) if data[:4] == b"ttcf" else 0              # the first of a collection
        tables = {data[n:n + 4]: int.from_bytes(data[n + 8:n + 12])
                  for n in range(at + 12, at + 12 + 16 * int.from_bytes(data[at + 4:at + 6]), 16)}
        windows = tables.get(b"OS/2")
        if windows is None:
            return self.height
        ascent, descent = struct.unpack(">HH", data[windows + 74:windows + 78])
        em, = struct.unpack(">H", data[tables[b"head"] + 18:tables[b"head"] + 20])
        return Height(ascent / em, descent / em) if ascent + descent else self.height

    def draws(self, cluster: str) -> bool:
        """Whether it has all of a letter; what has no ink of its own always counts as drawn."""
        return all(_inkless(c) or self._has(c) for c in cluster)

    @lru_cache(maxsize=4096)                           # noqa: B019  a face lives as long as the process
    def width(self, text: str) -> float:
        """Width in ems.

        Scripts whose letters join are shaped where Pillow can (it needs the system's libfribidi). Elsewhere
        their letters are measured one by one, which gives too much and never too little.
        """
        if max(text, default="") < _FIRST_SHAPED:
            return sum(self._advance(c) for c in text if columns_of(c))
        return float(self._font.getlength(text)) / _MEASURED_AT

    @lru_cache(maxsize=4096)                           # noqa: B019
    def _advance(self, character: str) -> float:
        return float(self._font.getlength(character)) / _MEASURED_AT

    @lru_cache(maxsize=4096)                           # noqa: B019
    def _has(self, character: str) -> bool:
        return self._ink(character) != self._missing

    @cached_property
    def _missing(self) -> tuple[tuple[int, int], bytes]:
        return self._ink("\uffff")

    def _ink(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self._unshaped.getmask(character)
        return mask.size, bytes(mask)

    @cached_property
    def _font(self) -> FreeTypeFont:
        from PIL import ImageFont

        return ImageFont.truetype(str(self.path), _MEASURED_AT)

    @cached_property
    def _unshaped(self) -> FreeTypeFont:
        from PIL import ImageFont

        return ImageFont.truetype(str(self.path), 24, layout_engine=ImageFont.Layout.BASIC)


class Typesetter:
    """Chooses the face of every letter, and measures with it. It is the wrapping.Ruler of captions."""

    def width(self, text: str) -> float:
        """Width of a line in ems. What no font has is a box, at most one em wide."""
        return sum(
            face.width(run) if face.draws(run) else sum(1.0 for c in run if columns_of(c)) for face, run in runs(text)
        )

    def height(self, line: str) -> float:
        """From one line to the next in ems: that of its tallest face, or a little less where that is very tall."""
        return min(_tallest(face.height for face, _ in runs(line)).whole, _LEADING)

    def middle(self, line: str) -> float:
        """How far below the top of its `height` libass's middle of a line is, in ems."""
        own, box = (_tallest(heights) for heights in zip(*((f.height, f.box) for f, _ in runs(line)), strict=True))
        return self.height(line) * own.ascent / own.whole + (box.descent - box.ascent) / 2


@lru_cache(maxsize=1024)
def runs(text: str) -> Sequence[tuple[Face, str]]:
    """The text in pieces of one face each, in order. Spaces and punctuation stay with the face before them."""
    found: list[tuple[Face, str]] = []
    for cluster in clusters(text):
        face = _face(cluster, found[-1][0] if found else bundled()[0])
        if found and found[-1][0] == face:
            found[-1] = (face, found[-1][1] + cluster)
        else:
            found.append((face, cluster))
    return found


def undrawn(texts: Iterable[str]) -> str:
    """The characters that neither the bundled fonts nor the system's have, sorted: they are drawn as boxes."""
    lacking = {
        c for text in texts for face, run in runs(text) if not face.draws(run)
        for c in run if not face.draws(c)
    }
    return "".join(sorted(lacking))


def gather(texts: Iterable[str], folder: Path) -> Path:
    """Make `folder`, with links to the files of all fonts that draw `texts`, for libass as `fontsdir`."""
    folder.mkdir()
    faces = dict.fromkeys([bundled()[0], *(face for text in texts for face, _ in runs(text))])
    for n, face in enumerate(faces):
        (folder / f"{n}{face.path.suffix}").symlink_to(face.path)
    return folder


@cache
def bundled() -> tuple[Face, ...]:
    """The faces that come with the package; the first is the default."""
    return tuple(
        Face(_upright(f"fontpkg_noto_sans{script.lower().replace(' ', '_')}"), f"{FONT}{script} Regular")
        for script in ("", " Arabic", " Devanagari")
    )


def _upright(package: str) -> Path:
    """The upright font of a package. Raises ModuleNotFoundError."""
    found = find_spec(package)
    files = [
        file for folder in (found.submodule_search_locations if found else None) or ()
        for file in sorted((Path(folder) / "files").glob("*.ttf")) if "Italic" not in file.name
    ]
    if not files:
        raise ModuleNotFoundError(f"no font in {package}", name=package)
    return files[0].absolute()


@lru_cache(maxsize=4096)
def system_face(cluster: str) -> Face | None:
    """The system's best font with all of a letter."""
    return next((face for face in _system_faces() if face.draws(cluster)), None)


def _tallest(heights: Iterable[Height]) -> Height:
    ascents, descents = zip(*heights, strict=True)
    return Height(max(ascents), max(descents))


def _face(cluster: str, before: Face) -> Face:
    if all(map(_inkless, cluster)) or (not _is_lettered(cluster) and before.draws(cluster)):
        return before
    for face in bundled():
        if face.draws(cluster):
            return face
    return system_face(cluster) or bundled()[0]


def _is_lettered(cluster: str) -> bool:
    return unicodedata.category(cluster[0])[0] == "L"


def _inkless(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"


@cache
def _system_faces() -> tuple[Face, ...]:
    """Upright text faces of this machine, sans serif and bold ones first; bitmap fonts are left out."""
    from PIL import ImageFont

    files = [file for folder in _font_folders() if folder.is_dir() for file in folder.rglob("*")
             if file.suffix.lower() in (".ttf", ".otf", ".ttc", ".otc")]
    found: list[tuple[tuple[bool, int, str, str], Face]] = []
    for file in sorted(files, key=lambda file: ("sans" not in file.name.lower(), str(file)))[:_MOST]:
        try:
            family, style = ImageFont.truetype(str(file), 24).getname()
        except OSError:
            continue
        if family and style in _STYLES and not set(family) & set("{}\\,;"):
            rank = ("Sans" not in family, _STYLES.index(style), family, str(file))
            found.append((rank, Face(file.absolute(), family)))
    return tuple(face for _, face in sorted(found, key=lambda pair: pair[0]))


def _font_folders() -> Sequence[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"
    return Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts", home / ".local/share/fonts"
