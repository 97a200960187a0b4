"""Files from outside, checked before anything is made of them.

Sounds must decode from end to end; pictures are decoded under a pixel limit and written anew, so that no
decoder behind this point ever sees a stranger's bytes; clips must have frames that decode.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT, HOSTILE_VIDEO, Command, local_input, reader, run
from callsheet.media.probe import Facts, probe
from callsheet.recipes import IntakeRecipe
from callsheet.store.base import Outcome, Room

MAX_PICTURE_PIXELS = 50_000_000
_PICTURES = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""By Pillow's names: others would start programs for a stranger's file, as EPS does."""
MAX_SECONDS = 4 * 3600
_CHECK_RATE = 8000
_DRIFT_S = 0.2
_ESTIMATED = (".mp3", ".aac", ".adts")
"""Their length is not in the file: players guess it from the bit rate."""


def intake(recipe: IntakeRecipe, room: Room, path: Path) -> Outcome:
    """Check one file. Files: main. Facts: what was found. Raises MediaUnreadable."""
    if recipe.kind == "picture":
        return _picture(path, room)
    return _stream(path, recipe.kind)


def _stream(path: Path, kind: str) -> Outcome:
    facts = _known(path, kind)
    if not (facts.has_audio if kind == "audio" else facts.has_video):
        raise MediaUnreadable(path=path.name, kind=kind, detail=f"there is no {kind} in it")
    if facts.duration > MAX_SECONDS:
        raise MediaUnreadable(path=path.name, kind=kind, detail=f"longer than {MAX_SECONDS // 3600} hours")
    try:
        decoded = _heard(path) if kind == "audio" else _seen(path, facts)
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind=kind, detail=error.facts["detail"]) from error
    said = facts.audio_duration if kind == "audio" else facts.duration
    if decoded <= 0 or (said and abs(decoded - said) > _DRIFT_S and path.suffix.lower() not in _ESTIMATED):
        detail = f"{decoded:.2f} s of it decode, though it says {said:.2f} s"
        raise MediaUnreadable(path=path.name, kind=kind, detail=detail)
    return Outcome(files={"main": path}, facts={"duration": decoded}, made_by="user")


def _known(path: Path, kind: str) -> Facts:
    """Facts of a file whose format is one of those allowed: probing by itself would follow a playlist."""
    try:
        run(Command((*HOSTILE_VIDEO, "-i", local_input(path), "-t", "0", "-f", "null", "-"), "open a file"))
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind=kind, detail=error.facts["detail"]) from error
    return probe(path)


def _heard(path: Path) -> float:
    """Seconds of sound that decode."""
    raw = ("-map", "0:a:0", "-f", "s16le", "-ac", "1", "-ar", str(_CHECK_RATE), "pipe:1")
    count = 0
    with reader(Command((*HOSTILE_INPUT, "-xerror", "-i", local_input(path), *raw), "check a sound")) as pipe:
        while block := pipe.read(1 << 20):
            count += len(block)
    return count / 2 / _CHECK_RATE


def _seen(path: Path, facts: Facts) -> float:
    """Seconds of picture, once all of it has decoded."""
    whole = ("-xerror", "-i", local_input(path), "-map", "0:v:0", "-f", "null", "-")
    run(Command((*HOSTILE_VIDEO, *whole), "check a clip"))
    return float(facts.frames / facts.fps) if facts.fps else 0.0


def _picture(path: Path, room: Room) -> Outcome:
    target = room.path("picture.png")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")            # Pillow warns of decompression bombs
            with Image.open(path, formats=_PICTURES) as picture:
                if picture.width * picture.height > MAX_PICTURE_PIXELS:
                    raise ValueError(f"{picture.width}x{picture.height} is too large")
                upright = ImageOps.exif_transpose(picture)
                size = upright.size
                upright.convert("RGB").save(target)
    except Exception as error:                        # each of Pillow's formats breaks in its own ways
        raise MediaUnreadable(path=path.name, kind="picture", detail=str(error)[:200]) from error
    return Outcome(files={"main": target}, facts={"width": size[0], "height": size[1]}, made_by="user")
