"""One vocabulary of qualities, formats and takes, with every source system's words as aliases.

A `Quality` is three profiles: how pictures are generated, how they are delivered, how they are encoded.
Precedence, highest first: an explicit field of the order, its `format`, the tier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType

GENERATION_RATE = Fraction(24)
"""Frames a second of every raw clip."""

MAX_SEGMENT_FRAMES = 120
"""A raw clip never has more: five seconds at 24 fps."""


class Quality(StrEnum):
    """The five tiers, cheapest first."""

    DRAFT = "draft"
    STANDARD = "standard"
    HIGH = "high"
    PREMIUM = "premium"
    CINEMATIC = "cinematic"


class TransitionKind(StrEnum):
    """How one scene becomes the next. A cut has no frames of its own."""

    CUT = "cut"
    FADE = "fade"
    CROSSFADE = "crossfade"
    WIPE = "wipe"
    SLIDE = "slide"
    ZOOM = "zoom"
    DISSOLVE = "dissolve"


@dataclass(frozen=True)
class GenerateProfile:
    """What an engine is asked for when nothing else is said."""

    steps: int
    px: int
    """Side of the square with the same area as the generated picture, in pixels."""
    cfg: float


@dataclass(frozen=True)
class DeliverProfile:
    """Landscape size in pixels, frames a second, and the bit rate cap of the tier's own delivery."""

    width: int
    height: int
    fps: Fraction
    kbit: int | None


@dataclass(frozen=True)
class EncodeProfile:
    """x264's constant rate factor and preset."""

    crf: int
    preset: str


GENERATE: Mapping[Quality, GenerateProfile] = MappingProxyType({
    Quality.DRAFT: GenerateProfile(20, 512, 7.0),
    Quality.STANDARD: GenerateProfile(30, 768, 7.5),
    Quality.HIGH: GenerateProfile(40, 1024, 8.0),
    Quality.PREMIUM: GenerateProfile(50, 1024, 8.5),
    Quality.CINEMATIC: GenerateProfile(50, 1024, 8.5),
})

DELIVER: Mapping[Quality, DeliverProfile] = MappingProxyType({
    Quality.DRAFT: DeliverProfile(854, 480, Fraction(24), 1500),
    Quality.STANDARD: DeliverProfile(1280, 720, Fraction(30), 3000),
    Quality.HIGH: DeliverProfile(1920, 1080, Fraction(30), 6000),
    Quality.PREMIUM: DeliverProfile(3840, 2160, Fraction(60), 15000),
    Quality.CINEMATIC: DeliverProfile(3840, 2160, Fraction(60), None),
})

ENCODE: Mapping[Quality, EncodeProfile] = MappingProxyType({
    Quality.DRAFT: EncodeProfile(28, "ultrafast"),
    Quality.STANDARD: EncodeProfile(23, "medium"),
    Quality.HIGH: EncodeProfile(20, "medium"),
    Quality.PREMIUM: EncodeProfile(18, "slow"),
    Quality.CINEMATIC: EncodeProfile(15, "veryslow"),
})

class Platform(StrEnum):
    """Where a film will be heard: each normalises to a loudness of its own."""

    YOUTUBE = "youtube"
    TIKTOK = "tiktok"
    REELS = "reels"
    PODCAST = "podcast"
    EBU_R128 = "ebu_r128"


@dataclass(frozen=True)
class LoudnessTarget:
    """Integrated loudness in LUFS and highest true peak in dBTP of a finished film."""

    lufs: float
    true_peak_dbtp: float


LOUDNESS: Mapping[Platform, LoudnessTarget] = MappingProxyType({
    Platform.YOUTUBE: LoudnessTarget(-14.0, -1.0),
    Platform.TIKTOK: LoudnessTarget(-14.0, -1.0),
    Platform.REELS: LoudnessTarget(-14.0, -1.0),
    Platform.PODCAST: LoudnessTarget(-16.0, -1.0),
    Platform.EBU_R128: LoudnessTarget(-23.0, -1.0),
})
DEFAULT_PLATFORM = Platform.YOUTUBE


POSTER_STEPS = 22
POSTER_FLUX_GUIDANCE = 6.5
"""FLUX's own defaults for a poster; a model family's defaults beat the tier's."""


class Door(StrEnum):
    """Where a word came from: each source system's words are aliases at its own door only."""

    OWN = "own"
    STUDIO_LIPSYNC = "studio_lipsync"
    STUDIO = "studio"
    SEGMENTS = "segments"
    FRAMES = "frames"


_ALIASES: Mapping[Door, Mapping[str, Quality]] = MappingProxyType({
    Door.STUDIO_LIPSYNC: {"fast": Quality.DRAFT, "high": Quality.PREMIUM},
    Door.SEGMENTS: {"fast": Quality.DRAFT, "ultra": Quality.PREMIUM},
})

SEGMENTS_SIZE: Mapping[Quality, int] = MappingProxyType({
    Quality.DRAFT: 512, Quality.STANDARD: 768, Quality.HIGH: 1024, Quality.PREMIUM: 1024,
})
"""The square delivery of the segments door, pixels a side, always at 24 fps."""


def quality_from(word: str, door: Door = Door.OWN) -> Quality:
    """The tier that `word` means at `door`; upper case is the same word.

    Raises ValueError naming the words that door knows.
    """
    aliases = _ALIASES.get(door, {})
    lowered = word.strip().lower()
    if lowered in aliases:
        return aliases[lowered]
    try:
        return Quality(lowered)
    except ValueError:
        known = ", ".join([*(q.value for q in Quality), *aliases])
        raise ValueError(f"{word!r} is no quality; one of {known}") from None


ORIENTATIONS = ("landscape", "portrait", "square")


def delivery_size(quality: Quality, orientation: str) -> tuple[int, int]:
    """Width and height in pixels of the tier's own delivery, turned to `orientation`."""
    profile = DELIVER[quality]
    if orientation == "portrait":
        return profile.height, profile.width
    if orientation == "square":
        return profile.height, profile.height
    return profile.width, profile.height


def generation_size(px: int, width: int, height: int, multiple: int = 16) -> tuple[int, int]:
    """Width and height in pixels with about px*px pixels and the delivery's aspect ratio.

    Both are multiples of `multiple`, as image models want them.
    """
    aspect = width / height

    def fit(side: float) -> int:
        return max(multiple, round(side / multiple) * multiple)

    return fit(px * aspect**0.5), fit(px / aspect**0.5)
