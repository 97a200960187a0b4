"""What a server made, as our artifacts: a true JPEG, a clip of exactly what was asked, its last frame.

Everything is looked at before it is believed: pictures are decoded and clips probed. Pictures are encoded again and
clips' words are left out, because a server writes the whole graph, prompts and names included, into both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from callsheet.engines.frames import PICTURES, fitted, read_picture, write_poster, write_still
from callsheet.errors import EngineError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_VIDEO, Command, local_input, run
from callsheet.media.probe import Facts, probe
from callsheet.recipes import ClipRecipe, PosterRecipe
from callsheet.store.base import Outcome, Room

_CRF = 14
_THREADS = 2


def poster(made: Path, recipe: PosterRecipe, room: Room, engine: str, facts: Mapping[str, Any]) -> Outcome:
    """Files: main, a JPEG of exactly width x height."""
    image = _still(made, engine, recipe.label or "a poster")
    warnings = [f"{recipe.engine.model} takes no negative prompt"] if recipe.negative else []
    if image.size != (recipe.width, recipe.height):
        warnings.append(f"the server made {image.width}x{image.height}: fitted to {recipe.width}x{recipe.height}")
    path = room.path("poster.jpg")
    write_poster(fitted(image, recipe.width, recipe.height), path)
    return Outcome(files={"main": path}, facts={"width": recipe.width, "height": recipe.height, **facts},
                   made_by=engine, warnings=tuple(warnings))


def clip(
    made: Path, last: Path, recipe: ClipRecipe, room: Room, engine: str, facts: Mapping[str, Any]
) -> Outcome:
    """Files: main, last_frame. Raises EngineError when it has another number of frames, or is no clip at all."""
    what = recipe.label or "a clip"
    try:
        found = probe(made, strange=True)
    except MediaUnreadable as error:
        raise EngineError(engine=engine, what=what, detail=f"what came cannot be read: {error.facts['detail']}"
                          ) from error
    if found.frames != recipe.num_frames:
        raise EngineError(engine=engine, what=what,
                          detail=f"{found.frames} frames came instead of {recipe.num_frames}")
    main, still = room.path("clip.mp4"), room.path("last_frame.png")
    run(_as_it_is(made, main, what) if _as_asked(found, recipe) else _encoded(made, recipe, main, what))
    write_still(fitted(_still(last, engine, f"the last frame of {what}"), recipe.width, recipe.height), still)
    return Outcome(
        files={"main": main, "last_frame": still},
        facts={
            "frames": recipe.num_frames, "fps": str(recipe.fps), "duration": float(recipe.num_frames / recipe.fps),
            "width": recipe.width, "height": recipe.height, **facts,
        },
        made_by=engine,
    )


def last_of(made: Path, target: Path, what: str) -> Path:
    """The last frame of a clip as a PNG."""
    run(Command(
        arguments=(*HOSTILE_VIDEO, "-i", local_input(made), "-map", "0:v:0", "-update", "1", "-compression_level", "1",
                   "-f", "image2", "-c:v", "png", str(target.resolve())),
        what=f"take the last frame of {what}",
    ))
    return target


def is_clip(path: Path) -> bool:
    """Whether a file is a moving picture: by what is in it, never by its name."""
    try:
        with Image.open(path, formats=(*PICTURES, "GIF")) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:                                 # each of Pillow's formats breaks in its own ways
        return True


def _still(path: Path, engine: str, what: str) -> Image.Image:
    try:
        return read_picture(path)
    except MediaUnreadable as error:
        raise EngineError(engine=engine, what=what, detail=f"what came is no picture: {error.facts['detail']}"
                          ) from error


def _as_asked(found: Facts, recipe: ClipRecipe) -> bool:
    return (found.video_codec, found.pixel_format, found.width, found.height, found.fps) == (
        "h264", "yuv420p", recipe.width, recipe.height, recipe.fps)


def _as_it_is(made: Path, target: Path, what: str) -> Command:
    """The server's own frames, without its sound and words."""
    return Command(
        arguments=(*HOSTILE_VIDEO, "-i", local_input(made), "-map", "0:v:0", "-c:v", "copy", *_PLAIN,
                   str(target.resolve())),
        what=f"take over {what}",
    )


def _encoded(made: Path, recipe: ClipRecipe, target: Path, what: str) -> Command:
    """The same frames at the rate, in the size and the codec of our contract."""
    size = f"{recipe.width}:{recipe.height}"
    tags = "range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    return Command(
        arguments=(
            *HOSTILE_VIDEO, "-i", local_input(made), "-map", "0:v:0",
            "-vf",
            f"scale={size}:force_original_aspect_ratio=increase:out_color_matrix=bt709:out_range=limited:"
            f"flags=lanczos+accurate_rnd+bitexact,crop={size},setsar=1,format=yuv420p,setparams={tags},"
            f"settb=expr=1/({recipe.fps}),setpts=N",
            "-r", str(recipe.fps), "-frames:v", str(recipe.num_frames),
            "-c:v", "libx264", "-preset", "veryfast", "-crf", str(_CRF), "-pix_fmt", "yuv420p",
            "-threads", str(_THREADS), "-x264-params", "cpu-independent=1", *_PLAIN, str(target.resolve()),
        ),
        what=f"encode {what}",
    )


_PLAIN = ("-an", "-sn", "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact",
          "-movflags", "+faststart")
"""No sound, no words, no dates: bytes repeat."""
