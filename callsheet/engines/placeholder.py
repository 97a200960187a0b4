"""The placeholder engine: drawn posters and clips, anywhere, in seconds, without a model or a network.

Everything in a recipe shows: who (looks.py), how (acting.py), where (backdrop.py), and the settings in small print
(margin.py). The same recipe gives the same bytes. Clips are animatics, drawn faster than they are encoded
(bench/placeholder.py measures it). Not covered: anything that looks like a photograph.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from fractions import Fraction
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from callsheet.engines.base import Ability, Asked, Casting
from callsheet.engines.drawing.lettering import missing
from callsheet.engines.drawing.planes import Frame
from callsheet.engines.drawing.poster import draw_poster
from callsheet.engines.drawing.stage import ClipStage
from callsheet.errors import MediaUnreadable
from callsheet.media.ffmpeg import Command, writer
from callsheet.recipes import ClipRecipe, EngineId, LoraUse, PosterRecipe
from callsheet.store.base import Outcome, Room, no_show

_CRF = 14
_THREADS = 2
_PIPE_BYTES = 1 << 20
_TELL_EVERY = 12
_SHOW_EVERY = 48


class PlaceholderEngine:
    """Draws posters and clips. Able everywhere."""

    @property
    def id(self) -> EngineId:
        return EngineId(name="placeholder", version=2)

    @property
    def has_mouths(self) -> bool:
        """It drew them, so it knows where they are."""
        return True

    @property
    def loads_files(self) -> bool:
        """It draws whoever a LoRA's digest stands for."""
        return False

    def able(self) -> Ability:
        """Always: it needs nothing but ffmpeg."""
        return Ability(True)

    def cast(self, asked: Asked) -> Casting:
        """It draws every family and every model alike, and says which was asked."""
        return Casting(poster=asked.poster_model)

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster. Files: main, a JPEG (quality 90, full colour resolution) of exactly width x height."""
        path = room.path("poster.jpg")
        draw_poster(recipe).save(path, "JPEG", quality=90, subsampling=0)
        room.progress(1.0, "poster drawn")
        return Outcome(
            files={"main": path},
            facts={"width": recipe.width, "height": recipe.height},
            made_by=self.id.name,
            warnings=_unwritable(*_names(recipe.loras)),
        )

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip of exactly num_frames. Files: main (H.264, MP4), last_frame (PNG), mouths (JSON, faces/base.py).

        Raises MediaUnreadable when the recipe's first frame is no picture, MediaError when ffmpeg fails.
        """
        main, last, mouths = room.path("clip.mp4"), room.path("last_frame.png"), room.path("mouths.json")
        first = _picture(room.fetch(recipe.first_frame)) if recipe.first_frame else None
        tracks: dict[str, list[list[float]]] = {use.name: [] for use in recipe.loras if use.role == "character"}
        frame: Frame | None = None
        what = f"encode {recipe.label or 'a clip'}"
        with writer(encode_command(recipe.width, recipe.height, recipe.fps, _CRF, main, what)) as pipe:
            _widen(pipe)
            stage = ClipStage(recipe, first)
            for n in range(recipe.num_frames):
                frame, seen = stage.frame(recipe.start_frame + n)
                for plane in frame.raw():
                    pipe.write(plane)
                for who, (x, y, width) in seen.items():
                    tracks[who].append([round(x, 2), round(y, 2), round(width, 2)])
                if n % _TELL_EVERY == 0:
                    room.progress(n / recipe.num_frames, f"frame {n} of {recipe.num_frames}")
                if n % _SHOW_EVERY == 0 and room.show is not no_show:
                    frame.rgb().save(room.path("preview.jpg"), "JPEG")
                    room.show(room.path("preview.jpg"), f"frame {n} of {recipe.num_frames}")
            assert frame is not None  # a recipe has at least one frame
            pipe.close()                              # the encoder finishes meanwhile
            frame.rgb().save(last, "PNG", compress_level=1)
        mouths.write_text(json.dumps({"fps": float(recipe.fps), "mouths": tracks}))
        return Outcome(
            files={"main": main, "last_frame": last, "mouths": mouths},
            facts={
                "frames": recipe.num_frames,
                "fps": str(recipe.fps),
                "duration": float(recipe.num_frames / recipe.fps),
                "width": recipe.width,
                "height": recipe.height,
            },
            made_by=self.id.name,
            warnings=_unwritable(recipe.scene, *_names(recipe.loras)),
        )


def encode_command(width: int, height: int, fps: Fraction, crf: int, target: Path, what: str) -> Command:
    """ffmpeg's arguments for raw frames from a pipe. Threads, dates and what depends on the processor are fixed, so
    that bytes repeat.
    """
    return Command(
        arguments=(
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            f"{width}x{height}",
            "-r",
            str(fps),
            "-i",
            "pipe:0",
            "-vf",
            "setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            str(crf),
            "-pix_fmt",
            "yuv420p",
            "-threads",
            str(_THREADS),
            "-x264-params",
            "cpu-independent=1",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-map_metadata",
            "-1",
            "-movflags",
            "+faststart",
            str(target.resolve()),
        ),
        what=what,
    )


def _widen(pipe: IO[bytes]) -> None:
    """A pipe that holds about a frame, where the system allows it: the drawing then seldom waits for ffmpeg."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):            # a system with little left for pipes: slower, else the same
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise MediaUnreadable(path=path.name, kind="a picture", detail=str(error)[:200]) from error


def _names(loras: tuple[LoraUse, ...]) -> list[str]:
    return [use.display_name or use.name for use in loras if use.role == "character"]


def _unwritable(*texts: str) -> tuple[str, ...]:
    letters = missing(" ".join(texts))
    return (f"Noto Sans has no letters for {letters!r}: they are drawn as boxes",) if letters else ()
