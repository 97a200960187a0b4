"""Which of our own encode settings give a clip's parameter sets: found by encoding one black frame and comparing.

Nothing in a file says with which preset it was made, and guessing would splice what does not fit.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

from callsheet.media.encode import tagged, x264_options
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.packets import inspect
from callsheet.recipes import EncodeSettings
from callsheet.store.base import private_folder


@cache
def own_sets(encode: EncodeSettings, width: int, height: int, fps: Fraction) -> str:
    """Digest of the parameter sets (avcC) that the encoder gives with these settings. Raises MediaError."""
    with private_folder() as folder:
        target = folder / "black.mp4"
        run(black_command(encode, width, height, fps, target))
        return inspect(target, fps, "a black frame").avcc


def black_command(encode: EncodeSettings, width: int, height: int, fps: Fraction, target: Path) -> Command:
    """Encode one black frame as a clip is conformed."""
    import ffmpeg

    black = ffmpeg.input(f"color=c=black:s={width}x{height}:r={fps}:d=1", format="lavfi").filter("trim", end_frame=1)
    options = x264_options(encode, width, height, fps)
    return Command(tuple(ffmpeg.get_args(tagged(black).output(local_input(target), **options))), "encode a black frame")
