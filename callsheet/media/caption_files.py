"""Caption files from outside (SRT, WebVTT, ASS) as cues: text and times, and nothing of their markup.

What a stranger wrote stays text. Tags, styles, positions, comments and drawings are left out.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from pydantic import ValidationError

from callsheet.cues import visible_lines
from callsheet.errors import InputError
from callsheet.models import Cue
from callsheet.textdata import read_text, readable, require

FORMATS = {".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ass"}
MAX_CUES = 50_000
_TEXT = str.maketrans({"\\": "\ue000", "{": "\ue001", "}": "\ue002"})
_BACK = str.maketrans({"\ue000": "\\", "\ue001": "{", "\ue002": "}"})
"""Characters that pysubs2 takes for ASS markup in every format, kept apart where they are text."""
_SRT_PLAIN = re.compile(r"\\(?![^{}\n]*\})")
"""A backslash outside braces: in SRT `{\an8}` is a tag that players know, `C:\new` is text."""
_VTT_TAG = re.compile(r"<[^<>\n]*>")
_LONGEST = 500
_VTT_START = re.compile(rb"(?:\xef\xbb\xbf)?WEBVTT(?:\s|$)")


def read_captions(path: Path) -> tuple[Cue, ...]:
    """The cues of a caption file in order of time. What begins with WEBVTT is that, whatever its name.

    Raises FileMissing, FileUnreadable, ManifestInvalid for text that is not UTF-8, and InputError for what is no
    caption file, for one that shows nothing, and for a cue that is too long or ends before it starts.
    """
    import pysubs2

    kind = "vtt" if _begins_as_vtt(path) else FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(detail=f"{path} is no caption file", remedy=f"use one of {', '.join(FORMATS)}")
    text = read_text(path, "captions").replace("\r\n", "\n").replace("\r", "\n")
    try:
        if kind == "vtt":
            text = text.translate(_TEXT)
        elif kind == "srt":
            text = _SRT_PLAIN.sub(lambda found: found[0].translate(_TEXT), text)
        events = pysubs2.SSAFile.from_string(text, format_=kind).events
    except (pysubs2.Pysubs2Error, ValueError, KeyError, IndexError, OverflowError) as error:
        detail = f"{path} cannot be read as {kind.upper()} ({str(error)[:100]})"
        raise InputError(detail=detail, remedy="check that it plays, or save it anew") from error
    if len(events) > MAX_CUES:
        raise InputError(detail=f"{path} has {len(events)} captions", remedy=f"cut it to {MAX_CUES} at most")
    spoken = [event for event in events if event.is_text]
    cues = [_cue(path, event.plaintext, event.start, event.end, kind) for event in sorted(spoken)]
    found = tuple(cue for cue in cues if cue is not None)
    if not found:
        raise InputError(detail=f"{path} has no captions", remedy="check that it is the right file")
    return found


def _begins_as_vtt(path: Path) -> bool:
    require(path, "captions")
    with readable(path), path.open("rb") as file:
        return _VTT_START.match(file.read(16)) is not None


def _cue(path: Path, plain: str, start_ms: int, end_ms: int, kind: str) -> Cue | None:
    """None for a cue that shows nothing."""
    plain = html.unescape(_VTT_TAG.sub("", plain)) if kind == "vtt" else plain
    text = "\n".join(visible_lines(plain.translate(_BACK) if kind != "ass" else plain))
    if not text or start_ms == end_ms:
        return None
    at = f"{path}: the caption at {start_ms / 1000:.3f} s"
    if end_ms < start_ms:
        raise InputError(detail=f"{at} ends before it starts", remedy="correct its times")
    if len(text) > _LONGEST:
        raise InputError(detail=f"{at} has {len(text)} characters", remedy=f"split it: at most {_LONGEST} a caption")
    try:
        return Cue(text=text, start=start_ms / 1000, end=end_ms / 1000)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        raise InputError(detail=f"{at}: {why}", remedy="correct it") from error
