"""What every upscaler does alike: a clip in, frames enlarged by a network, a clip out. Knows no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from callsheet.errors import EngineUnable
from callsheet.faces.footage import Picture, encode_command, frames_of
from callsheet.media.ffmpeg import writer
from callsheet.media.probe import probe
from callsheet.recipes import UpscaleRecipe
from callsheet.store.base import Outcome, Room

Enlarge = Callable[[Iterator[bytes], Picture], Iterator[bytes]]
"""Raw frames of that size -> raw frames whose sides are `factor` times as long, in order."""

_CRF = 14
_LARGEST = 8192


def enlarge_clip(recipe: UpscaleRecipe, room: Room, engine: str, enlarge: Enlarge) -> Outcome:
    """Files: main, as many frames at the same rate, sides `factor` times as long.

    Raises EngineUnable for a result of more than 8192 pixels a side, MediaUnreadable for a clip that is none.
    """
    main, done, clip = room.path("upscale.mp4"), 0, room.fetch(recipe.clip)
    expected = probe(clip).frames
    with frames_of(clip) as (small, frames):
        picture = enlarged(small, recipe.factor, engine)
        with writer(encode_command(picture, _CRF, main, f"encode {recipe.label or 'an enlarged clip'}")) as pipe:
            for raw in enlarge(frames, small):
                pipe.write(raw)
                done += 1
                room.progress(min(done / expected, 1.0) if expected else 0.0, f"frame {done}")
    return Outcome(
        files={"main": main},
        facts={**picture.facts(done), "factor": recipe.factor},
        made_by=engine,
    )


def enlarged(small: Picture, factor: int, engine: str) -> Picture:
    """Size and rate of the result. Raises EngineUnable for one that no player shows."""
    width, height = factor * small.width, factor * small.height
    if max(width, height) > _LARGEST:
        raise EngineUnable(
            engine=engine, what="larger pictures", detail=f"{width}x{height} is larger than {_LARGEST} pixels",
            remedy="ask for a smaller delivery, or set upscale to off",
        )
    return Picture(width, height, small.fps, small.pixel_aspect)


def reduced(large: np.ndarray, width: int, height: int) -> Image.Image:
    """RGB pixels as a picture of that size; a network enlarges by its own factor, and what is too large is reduced."""
    made = Image.fromarray(large)
    return made if made.size == (width, height) else made.resize((width, height), Image.Resampling.LANCZOS)
