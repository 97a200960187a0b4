"""A raw clip or still at the delivery's size and rate, in its one and only encode.

Frame i shows the source at time i/fps, to a millisecond; the last picture is held when the source ends
early. A picture of about the right shape fills the frame; any other is shown whole before a blurred, darker
copy of itself. Captions are burned here where they are burned. A clip that is all this already passes through:
its packets are copied. Sound is dropped; high dynamic range is not tone-mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from callsheet.errors import MediaError, MediaUnreadable, SceneTooShort
from callsheet.media.encode import (
    BT709,
    HD_HEIGHT,
    MATERIAL_BITS,
    SCALER,
    UNTAGGED,
    Zone,
    encode_timeout_s,
    tagged,
    x264_options,
)
from callsheet.media.ffmpeg import HOSTILE_VIDEO, Command, ffmpeg_version, keywords, local_input, run
from callsheet.media.packets import copier, inspect
from callsheet.media.recognise import own_sets
from callsheet.media.upright import mirrored, transparent
from callsheet.models import CaptionStyle
from callsheet.recipes import ConformRecipe
from callsheet.store.base import Outcome, Room

COVER_TOLERANCE = Fraction(2, 100)
"""Shapes that differ by less are filled by cropping the edges; nothing else is ever cut off."""

_CLOCK = 1_000_000
_JITTER_US = 1000
"""Millisecond clocks (Matroska) round a frame's time up by half a millisecond: it still counts as on time."""
_FILL_SHRINK = 16
_FILL_LIGHT = 0.45


@dataclass(frozen=True)
class Picture:
    """What a source looks like once it is turned upright."""

    aspect: Fraction
    """Width by height as displayed, after rotation and with its pixels' own shape."""
    fps: Fraction
    """0 for a still."""
    has_alpha: bool
    seconds: float
    """Of the pictures; 0 for a still."""
    rotation: int = 0
    """Degrees by which it was turned to be upright."""
    mirrored: bool = False
    untagged_hd: bool = False
    """Whether its matrix is untold, and bt709 as of all high definition; ffmpeg would take it for bt601."""


def look(path: Path) -> Picture:
    """Decode the first picture of a clip or still. Raises MediaUnreadable."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MediaUnreadable(path=path.name, kind="a clip or picture", detail="it has no pictures")
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            pixels = stream.sample_aspect_ratio or Fraction(1)
            aspect = Fraction(frame.width, frame.height) * (pixels if pixels > 0 else 1)
            length = (stream.duration or 0) * stream.time_base if stream.time_base else Fraction(0)
            if not length and container.duration:
                length = Fraction(container.duration, av.time_base)
            still = container.format.name.endswith("_pipe") or container.format.name == "image2"
            return Picture(
                aspect=1 / aspect if frame.rotation % 180 else aspect,
                fps=Fraction(0) if still else Fraction(stream.average_rate or 0),
                has_alpha=transparent(frame),
                seconds=0.0 if still else float(length),
                rotation=frame.rotation % 360,
                mirrored=mirrored(frame),
                untagged_hd=(
                    not still and int(frame.colorspace) == UNTAGGED and "yuv" in frame.format.name
                    and min(frame.width, frame.height) >= HD_HEIGHT
                ),
            )
    except StopIteration:
        raise MediaUnreadable(path=path.name, kind="a clip or picture", detail="it has no pictures") from None
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaUnreadable(path=path.name, kind="a clip or picture", detail=str(error)[:200]) from error


def conform(recipe: ConformRecipe, room: Room) -> Outcome:
    """Bring one clip or still to the recipe's size, rate and length, with its captions.

    Artifact main: MP4 of exactly `frames` frames that may be cut at `head` and `frames - tail`. Facts:
    frames, fps, width, height, duration in seconds, avcc (digest of the parameter sets), held (frames at
    the end that repeat the last picture), frames_encoded, passed_through (whether its packets were copied,
    because it is all this already) and the reason. Raises MediaUnreadable, SceneTooShort, MediaError.
    """
    if recipe.head + recipe.tail > recipe.frames:
        raise SceneTooShort(
            scene=f"of {recipe.label or 'the clip'}", seconds=f"{float(recipe.frames / recipe.fps):.3f}",
            needed=f"{float((recipe.head + recipe.tail) / recipe.fps):.3f}", reason="transitions",
        )
    source, target = room.fetch(recipe.clip), room.path("conformed.mp4")
    picture = look(source)
    obstacle = _obstacle(recipe, source, picture)
    if obstacle:
        subtitles, fonts = _captions(recipe, room)
        room.progress(0.1, "conforming")
        run(conform_command(recipe, source, target, subtitles, fonts, picture))
    else:
        _pass_through(recipe, source, target)
    held = recipe.frames - ceil(picture.seconds * recipe.fps - Fraction(1, 1000)) if picture.seconds else 0
    made = {
        "held": max(0, held), "frames_encoded": recipe.frames if obstacle else 0, "passed_through": not obstacle,
        "reason": obstacle or "it is conformed already",
    }
    return Outcome(files={"main": target}, facts={**_checked(recipe, target), **made},
                   made_by=f"ffmpeg {ffmpeg_version()}", warnings=_unwritten(recipe))


def _obstacle(recipe: ConformRecipe, source: Path, picture: Picture) -> str:
    """Why the source has to be encoded; empty when it is exactly what the recipe asks."""
    if recipe.cues:
        return "captions are burned into it"
    if not picture.fps:
        return "it is a still picture"
    if picture.rotation or picture.mirrored or picture.aspect != Fraction(recipe.width, recipe.height):
        return "its picture has another shape, or is to be turned"
    try:
        table = inspect(source, recipe.fps, "it")
    except MediaError as error:
        return str(error.facts["detail"])
    if (table.width, table.height) != (recipe.width, recipe.height):
        return f"it is {table.width}x{table.height}"
    if table.frames != recipe.frames:
        return f"it has {table.frames} frames, not {recipe.frames}"
    missing = set(_cuts(recipe)) - table.cuts
    if missing:
        return f"it cannot be cut before its frame {min(missing)}"
    if table.avcc != own_sets(recipe.encode, recipe.width, recipe.height, recipe.fps):
        return "it was encoded with other settings"
    return ""


def _pass_through(recipe: ConformRecipe, source: Path, target: Path) -> None:
    """Its pictures alone, packet by packet: a sound or a stranger's metadata goes no further."""
    delay = inspect(source, recipe.fps, "the clip").delay
    with copier(target, source, recipe.fps, delay) as out:
        out.copy(source, 0, recipe.frames, recipe.label or "the clip")


def conform_command(
    recipe: ConformRecipe, source: Path, target: Path, subtitles: Path | None, fonts: Path | None, picture: Picture
) -> Command:
    """The command that conforms `source`. Pure: all it needs to know of the source is in `picture`."""
    import ffmpeg

    stream = ffmpeg.input(local_input(source), **keywords(HOSTILE_VIDEO))["v:0"]
    stream = stream.filter("settb", f"1/{_CLOCK}").filter("setpts", f"PTS-STARTPTS-{_JITTER_US}")
    if picture.untagged_hd:
        stream = stream.filter("setparams", colorspace="bt709")
    if picture.has_alpha:                             # what is transparent becomes black, not its hidden colour
        stream = stream.filter("premultiply", inplace=1)
    if picture.fps > recipe.fps:                      # fewer frames to scale
        stream = _fitted(_timed(stream, recipe), recipe, picture)
    else:
        stream = _timed(_fitted(stream, recipe, picture), recipe)
    stream = stream.filter("tpad", stop=-1, stop_mode="clone").filter("trim", end_frame=recipe.frames)
    if subtitles is not None:
        faces = {"fontsdir": str(fonts)} if fonts is not None else {}
        stream = stream.filter("ass", filename=str(subtitles), **faces)
    options = x264_options(
        recipe.encode, recipe.width, recipe.height, recipe.fps, _cuts(recipe), zones=_material(recipe))
    arguments = ffmpeg.get_args(tagged(stream).output(local_input(target), **options))
    return Command(
        tuple(arguments), what=f"conform {recipe.label or source.name}",
        timeout_s=encode_timeout_s(recipe.frames, recipe.width, recipe.height),
    )


def _material(recipe: ConformRecipe) -> tuple[Zone, ...]:
    """The windows: splice mixes them with the neighbour's and encodes them again."""
    return (
        Zone(0, recipe.head, MATERIAL_BITS), Zone(recipe.frames - recipe.tail, recipe.frames, MATERIAL_BITS))


def _cuts(recipe: ConformRecipe) -> tuple[int, ...]:
    """Frames that have to be key frames."""
    return tuple(sorted({0, recipe.head, recipe.frames - recipe.tail} - {recipe.frames}))


def _timed(stream: Any, recipe: ConformRecipe) -> Any:
    """Frame i shows the last source frame that began at or before i/fps: times are rounded up."""
    return stream.filter("fps", str(recipe.fps), round="up")


def _fitted(stream: Any, recipe: ConformRecipe, picture: Picture) -> Any:
    """Fill the frame with a picture of about its shape; show any other whole before a fill."""
    width, height = recipe.width, recipe.height
    shape = picture.aspect / Fraction(width, height)
    if abs(shape - 1) < COVER_TOLERANCE:
        return _scaled(stream, *_covering(width, height, shape)).filter("crop", width, height)
    inner_width = width if shape > 1 else _inner(width, width * shape)
    inner_height = height if shape < 1 else _inner(height, height / shape)
    both = stream.split()
    fill = _fill(both[0], width, height, shape)
    whole = _scaled(both[1], inner_width, inner_height)
    return fill.overlay(whole, x=(width - inner_width) // 2, y=(height - inner_height) // 2, format="yuv420")


def _fill(stream: Any, width: int, height: int, shape: Fraction) -> Any:
    """The same picture, covering the frame, blurred and darker: made small, where a blur costs little."""
    small = max(16, width // _FILL_SHRINK // 2 * 2), max(16, height // _FILL_SHRINK // 2 * 2)
    stream = _scaled(stream, *_covering(*small, shape)).filter("crop", *small).filter("gblur", sigma=2)
    stream = stream.filter(
        "lutyuv", y=f"16+(val-16)*{_FILL_LIGHT}",
        u=f"128+(val-128)*{_FILL_LIGHT}", v=f"128+(val-128)*{_FILL_LIGHT}",
    )
    return _scaled(stream, width, height)


def _covering(width: int, height: int, shape: Fraction) -> tuple[int, int]:
    """The least even size of that shape that covers width x height."""
    return (width if shape <= 1 else _even_up(width * shape)), (height if shape >= 1 else _even_up(height / shape))


def _even_up(length: Fraction) -> int:
    return 2 * ceil(length / 2)


def _inner(outer: int, length: Fraction) -> int:
    """`length` such that the margins on both sides are even, as 4:2:0 wants them."""
    return max(2, outer - 4 * round((outer - length) / 4))


def _scaled(stream: Any, width: int, height: int) -> Any:
    scaled = stream.filter("scale", width, height, flags=SCALER, out_color_matrix="bt709", out_range="tv")
    return scaled.filter("format", "yuv420p")


def _captions(recipe: ConformRecipe, room: Room) -> tuple[Path | None, Path | None]:
    """The subtitle file and the folder of its fonts, where there are cues."""
    if not recipe.cues:
        return None, None
    from callsheet.media.captions import gather_fonts, write_ass

    path = room.path("captions.ass")
    write_ass(recipe.cues, recipe.style or CaptionStyle(), recipe.width, recipe.height, path)
    return path, gather_fonts(recipe.cues, room.path("fonts"))


def _unwritten(recipe: ConformRecipe) -> tuple[str, ...]:
    if not recipe.cues:
        return ()
    from callsheet.media.captions import boxes
    from callsheet.media.karaoke import unlit

    dark = unlit(recipe.cues) if recipe.style and recipe.style.karaoke else 0
    told = f"karaoke: no times of words are known for {dark} of {len(recipe.cues)} captions: shown without highlight"
    return (*boxes(recipe.cues), *((told,) if dark else ()))


def _checked(recipe: ConformRecipe, made: Path) -> Mapping[str, Any]:
    """Facts of what was made, once it is what the recipe says. Raises MediaError."""
    table = inspect(made, recipe.fps, "the conformed clip")
    missing = set(_cuts(recipe)) - table.cuts
    wrong = (
        f"{table.frames} frames came out, not {recipe.frames}" if table.frames != recipe.frames
        else f"{table.width}x{table.height} came out" if (table.width, table.height) != (recipe.width, recipe.height)
        else f"no key frame at {sorted(missing)}" if missing
        else f"colour tags {table.colour}" if table.colour != (BT709,) * 3
        else ""
    )
    if wrong:
        raise MediaError(what=f"conform {recipe.label or 'a clip'}", detail=wrong)
    return {
        "frames": table.frames, "fps": str(recipe.fps), "width": table.width, "height": table.height,
        "duration": float(table.frames / recipe.fps), "avcc": table.avcc,
    }
