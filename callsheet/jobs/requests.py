"""What can be asked of a single job: one frozen model a job type, with the sources' names, defaults and ranges.

Covers fields and what they mean to each other. Files are named by texts (`Source`): what a text may be, and where
its bytes come from, is download.py's matter; what becomes of a request is in the modules beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from callsheet.jobs.base import Character, Job, JobRate, Request, Seed, Side, Source, Tier
from callsheet.jobs.frames import Frames
from callsheet.models import DEFAULT_TAKES, CaptionStyle, Cue, Ducking, Format, Poster, TakeSpec
from callsheet.presets import MAX_SEGMENT_FRAMES, Door, Quality, quality_from
from callsheet.units import Frozen, Pixels, Seconds, Slug, Volume
from callsheet.words import Mistaken


class LipsyncOnly(Job):
    """A still picture whose mouth follows a voice."""

    job_type: Literal["lipsync_only"] = "lipsync_only"
    image: Source
    audio: Source
    quality: Literal["fast", "standard", "high"] = "standard"

    def sources(self) -> dict[str, str]:
        return {"image": self.image, "audio": self.audio}

    @property
    def tier(self) -> Quality:
        return quality_from(self.quality, Door.STUDIO_LIPSYNC)


class SfxTrack(Frozen):
    """A sound at a moment of the video."""

    url: Source
    start_time: Seconds = 0.0
    volume: Volume = 1.0


class JobCaptionStyle(CaptionStyle):
    """How captions are drawn; its colours are checked before anything is made."""

    @field_validator("color", "stroke_color", "highlight_color")
    @classmethod
    def _known_colour(cls, value: str) -> str:
        from PIL import ImageColor

        if value.strip().lower() in ImageColor.colormap or re.fullmatch(r"#[0-9a-fA-F]{6}", value.strip()):
            return value
        raise Mistaken("is no colour", "use a CSS colour name such as white, or #rrggbb")


class RenderFormat(Frozen):
    """Size and rate of the video; portrait by default."""

    width: Pixels = 1080
    height: Pixels = 1920
    fps: JobRate = Fraction(30)

    @property
    def format(self) -> Format:
        return Format(width=self.width, height=self.height, fps=self.fps)


class VideoRender(Job):
    """A talking picture with music, ambience, effects and captions in it."""

    job_type: Literal["video_render"] = "video_render"
    image: Source
    audio: Source
    music_url: Source | None = None
    ambience_url: Source | None = None
    sfx_tracks: tuple[SfxTrack, ...] = Field((), max_length=100)
    captions: tuple[Cue, ...] = Field((), max_length=500)
    caption_style: JobCaptionStyle = JobCaptionStyle()
    format: RenderFormat = RenderFormat()
    quality: Tier = "standard"
    ducking_config: Ducking = Ducking()

    def sources(self) -> dict[str, str]:
        beds = {"music_url": self.music_url, "ambience_url": self.ambience_url}
        return {
            "image": self.image,
            "audio": self.audio,
            **{path: text for path, text in beds.items() if text is not None},
            **{f"sfx_tracks[{n}].url": track.url for n, track in enumerate(self.sfx_tracks)},
        }

    @property
    def tier(self) -> Quality:
        return Quality(self.quality)


class PersonaBuild(Request):
    """Base clips of a persona, from one picture of it. Made once: asking again finds them."""

    job_type: Literal["persona_build"] = "persona_build"
    persona_id: Slug
    primary_image: Source
    archetype: str = Field("", max_length=200)
    """A word or two for the prompt, such as `hero`."""
    takes_to_generate: tuple[TakeSpec, ...] = Field(DEFAULT_TAKES, min_length=1, max_length=64)
    quality: Tier = "standard"

    def sources(self) -> dict[str, str]:
        return {"primary_image": self.primary_image}

    @property
    def title(self) -> str:
        return f"{self.job_type} {self.persona_id}"

    @property
    def tier(self) -> Quality:
        return Quality(self.quality)


class PosterFrame(Job, Poster):
    """A poster frame of one actor; the picture's own fields are those of models.Poster."""

    job_type: Literal["poster_frame"] = "poster_frame"
    actor_id: Slug
    character_lora_name: Character
    custom_actor_description: str = Field("", max_length=2000)
    user_id: Slug | None = None
    character_lora_strength: float = Field(0.7, ge=0, le=2)
    seed: Seed = None
    """None is the seed of an order without one, so that a film's poster and this one are the same."""

    @property
    def title(self) -> str:
        return f"{self.job_type} {self.actor_id}"

    @property
    def characters_named(self) -> tuple[str, ...]:
        return (self.character_lora_name,)


class Shot(Job):
    """What a segment and an animation share. One character may be given as `character`, as in older requests."""

    prompt: str = Field(min_length=1, max_length=4000)
    characters: tuple[Character, ...] = Field((), max_length=8)
    character: Character | None = None
    seed: Seed = None
    """None is random; the reply tells which it was."""

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.characters and self.character:
            raise Mistaken("characters and character are both given", "keep one of them")
        return self

    @property
    def characters_named(self) -> tuple[str, ...]:
        return self.characters or ((self.character,) if self.character else ())

    def settled(self, roll: Callable[[], int]) -> Self:
        return self if self.seed is not None else self.model_copy(update={"seed": roll()})


FREEDOM = 0.7


class Segment(Shot):
    """One raw clip of at most 120 frames at 24 fps. What is None is the tier's."""

    job_type: Literal["segment"] = "segment"
    image: Source | None = None
    """The picture it starts from."""
    video: Source | None = None
    """A clip whose frames it is made after (video to video), at least as long."""
    control: Source | None = None
    """A clip of control pictures, such as poses, which it keeps to (ControlNet)."""
    freedom: float = Field(FREEDOM, ge=0, le=1)
    """How far it may leave `video`: 0 keeps it, 1 ignores it."""
    negative_prompt: str = Field("", max_length=2000)
    num_frames: int = Field(MAX_SEGMENT_FRAMES, ge=1, le=MAX_SEGMENT_FRAMES)
    width: Side | None = None
    height: Side | None = None
    num_inference_steps: int | None = Field(
        None, ge=1, le=200, validation_alias=AliasChoices("num_inference_steps", "steps")
    )
    guidance_scale: float | None = Field(
        None, ge=0, le=30, validation_alias=AliasChoices("guidance_scale", "guidance", "cfg")
    )
    emotion: Slug = "neutral"
    angle: Slug = "front"
    intensity: float = Field(0.5, ge=0, le=1)
    quality: Literal["fast", "draft", "standard", "high", "ultra", "premium", "cinematic"] = "standard"

    @model_validator(mode="after")
    def _something_to_leave(self) -> Self:
        if self.freedom != FREEDOM and self.video is None:
            raise Mistaken("freedom is given, and no video that it could leave", "give video, or leave freedom out")
        return self

    def sources(self) -> dict[str, str]:
        given = {"image": self.image, "video": self.video, "control": self.control}
        return {name: text for name, text in given.items() if text is not None}

    @property
    def tier(self) -> Quality:
        return quality_from(self.quality, Door.SEGMENTS)


class Animation(Shot):
    """Characters that move and speak, as one short film. It grows with its dialogue, in further segments."""

    job_type: Literal["animation"] = "animation"
    dialogue_text: str = Field("", max_length=20_000)
    """`[S1] Temo: ... [S2] Felfel: ...`; plain text is spoken by the first character."""
    width: Side = 1024
    height: Side = 1024
    num_frames: int = Field(48, ge=5, le=MAX_SEGMENT_FRAMES)
    guidance_scale: float = Field(12.0, ge=0, le=30)
    num_inference_steps: int = Field(50, ge=1, le=200)

    @model_validator(mode="after")
    def _somebody_acts(self) -> Self:
        if not self.characters_named:
            raise Mistaken("names no character", "give characters, or character for a single one")
        return self


AnyRequest = LipsyncOnly | VideoRender | PersonaBuild | PosterFrame | Segment | Animation | Frames

JOBS: Mapping[str, type[AnyRequest]] = MappingProxyType({
    model.model_fields["job_type"].default: model
    for model in (LipsyncOnly, VideoRender, PersonaBuild, PosterFrame, Segment, Animation, Frames)
})
"""Job type -> its request."""
