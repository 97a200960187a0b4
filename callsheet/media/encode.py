"""The one way callsheet encodes pictures: H.264 whose clips can be joined packet by packet.

Covers x264's options, the MP4's clock and the colour tags. Clips with equal settings, size and rate get the
same parameter sets (avcC) whatever they show, so splice.py may copy between them. Knows nothing of what is
drawn, and nothing of sound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from callsheet.recipes import EncodeSettings

THREADS = 8
"""x264's result depends on its number of threads: a fixed one gives equal bytes on every machine."""

BT709 = 1
"""ITU-T H.273 code point of bt709 primaries, transfer and matrix alike."""

UNTAGGED = 2
"""H.273 code point of a matrix that nobody has told."""

HD_HEIGHT = 720
"""Lines from which on untagged pictures are taken for bt709, as players do; below it they are bt601."""

SCALER = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
"""accurate_rnd also makes the scaler give equal bytes on every processor."""

_PRESET_REFERENCES = {"slower": 8, "veryslow": 16, "placebo": 16}
_LEVEL_5_2_MACROBLOCKS = 184_320
_MIN_TIMESCALE = 10_000
_QUICK = "subme=2,trellis=0,me=dia"
_SEARCHING_PRESETS = ("medium", "slow", "slower", "veryslow", "placebo")
"""Presets that search so much longer than `_QUICK` that it is worth a zone."""
_PIXELS_PER_SECOND = 400_000
"""Slower than any preset on a single old core; only a time-out is made of it."""


def timescale(fps: Fraction) -> int:
    """Ticks a second of an MP4's clock, such that a frame lasts a whole number of them."""
    scale = fps.numerator
    while scale < _MIN_TIMESCALE:
        scale *= 2
    return scale


def ticks(fps: Fraction) -> int:
    """Ticks of `timescale(fps)` that one frame lasts."""
    return int(timescale(fps) / fps)


def encode_timeout_s(frames: int, width: int, height: int) -> float:
    """Seconds after which an encode of so many frames has certainly hung."""
    return 600.0 + frames * width * height / _PIXELS_PER_SECOND


@dataclass(frozen=True)
class Zone:
    """Frames `first` to `end` (excluded) that get bits instead of search: half the time at the same quality.

    Worth it where motion search finds little, in transitions, and where frames are only material for one.
    The parameter sets stay those of the preset.
    """

    first: int
    end: int
    bits: float
    """Times the bits that the rest gets."""


WINDOW_BITS = 1.15
"""A transition in the film: measured, as good as the preset's own search (docs/benchmarks.md)."""

MATERIAL_BITS = 1.5
"""Frames that are mixed into a transition and encoded again: their own loss should not show."""


def x264_options(
    encode: EncodeSettings, width: int, height: int, fps: Fraction, key_frames: Iterable[int] = (0,),
    zones: Iterable[Zone] = (),
) -> dict[str, str | int | None]:
    """Output options, by name without the dash; None is an option without a value.

    `key_frames` are frame indices that become IDR frames; GOPs are closed, so a clip may be cut there.
    """
    options: dict[str, str | int | None] = {
        "c:v": "libx264",
        "crf": encode.crf,
        "preset": encode.preset,
        "pix_fmt": "yuv420p",
        "threads": THREADS,
        "flags:v": "+cgop",
        "forced-idr": 1,
        "force_key_frames": "expr:" + "+".join(f"eq(n,{index})" for index in sorted({0, *key_frames})),
        "x264-params": "stitchable=1" + _zoned(encode.preset, zones),
        "fps_mode": "passthrough",
        "video_track_timescale": timescale(fps),
        "movflags": "+faststart",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "map_chapters": -1,
        "an": None,
        "format": "mp4",
    }
    references = _LEVEL_5_2_MACROBLOCKS // (-(-width // 16) * -(-height // 16))
    if references < _PRESET_REFERENCES.get(encode.preset, 0):     # else the level passes what players decode
        options["refs"] = max(1, references)
    if encode.max_kbit is not None:
        options["maxrate"] = f"{encode.max_kbit}k"
        options["bufsize"] = f"{2 * encode.max_kbit}k"
    return options


def _zoned(preset: str, zones: Iterable[Zone]) -> str:
    if preset not in _SEARCHING_PRESETS:
        return ""
    words = [f"{zone.first},{zone.end - 1},b={zone.bits:g},{_QUICK}" for zone in zones if zone.first < zone.end]
    return ":zones=" + "/".join(words) if words else ""


def tagged(stream: Any) -> Any:
    """A filter stream as 4:2:0 with square pixels, tagged bt709 limited range.

    The tags go through `setparams`: newer ffmpegs drop `-color_primaries` and `-color_trc` silently.
    """
    return (
        stream.filter("format", "yuv420p")
        .filter("setsar", "1")
        .filter("setparams", range="tv", color_primaries="bt709", color_trc="bt709", colorspace="bt709")
    )
