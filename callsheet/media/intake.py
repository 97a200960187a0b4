"""Files from outside, checked before anything is made of them.

Sounds must decode from end to end; pictures are decoded under a pixel limit and written anew, so that no
decoder behind this point ever sees a stranger's bytes; clips must have frames that decode.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, run
from callsheet.media.probe import probe
from callsheet.recipes import IntakeRecipe
from callsheet.store.base import Outcome, Room

MAX_PICTURE_PIXELS = 50_000_000
MAX_SECONDS = 4 * 3600


def intake(recipe: IntakeRecipe, room: Room, path: Path) -> Outcome:
    """Check one file. Files: main. Facts: what was found. Raises MediaUnreadable."""
    if recipe.kind == "picture":
        return _picture(path, room)
    return _stream(path, recipe.kind)


def _stream(path: Path, kind: str) -> Outcome:
    facts = probe(path)
    wanted = facts.has_audio if kind == "audio" else facts.has_video
    if not wanted:
        raise MediaUnreadable(path=path.name, kind=kind, detail=f"there is no {kind} in it")
    if facts.duration > MAX_SECONDS:
        raise MediaUnreadable(path=path.name, kind=kind, detail=f"longer than {MAX_SECONDS // 3600} hours")
    stream = "0:a:0" if kind == "audio" else "0:v:0"
    try:
        run(Command((*HOSTILE_INPUT, "-xerror", "-i", local_input(path), "-map", stream, "-f", "null", "-"), "check"))
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind=kind, detail=error.facts["detail"]) from error
    return Outcome(files={"main": path}, facts={"duration": facts.duration}, made_by="user")


def _picture(path: Path, room: Room) -> Outcome:
    target = room.path("picture.png")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")            # Pillow warns of decompression bombs
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PICTURE_PIXELS:
                    raise ValueError(f"{picture.width}x{picture.height} is too large")
                upright = ImageOps.exif_transpose(picture)
                size = upright.size
                upright.convert("RGB").save(target)
    except (OSError, ValueError, Warning, SyntaxError) as error:
        raise MediaUnreadable(path=path.name, kind="picture", detail=str(error)[:200]) from error
    return Outcome(files={"main": target}, facts={"width": size[0], "height": size[1]}, made_by="user")
