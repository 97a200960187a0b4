"""lipsync_only and video_render: a still picture whose mouth follows a voice, as recipes.

Both sync the picture at 24 fps, so that a quick preview and the full render of the same voice share that work. From
quality standard upwards faces are restored after it and a picture smaller than its video is enlarged, where engines for
that are there. Pure: what was found in the files comes in with `Inputs`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from callsheet import keys
from callsheet.cues import shifted
from callsheet.errors import RequestInvalid
from callsheet.jobs.inputs import Inputs, TalkEngines
from callsheet.jobs.requests import LipsyncOnly, VideoRender
from callsheet.models import CaptionMode, Format
from callsheet.presets import ENCODE, GENERATION_RATE, Quality
from callsheet.recipe import Recipe
from callsheet.recipes import (
    ConformRecipe,
    DeliveredFile,
    EncodeSettings,
    LipsyncRecipe,
    MixRecipe,
    PlacedEffect,
    PlacedVoice,
    RestoreRecipe,
    UploadRecipe,
    UpscaleRecipe,
)

LONGEST_SIDE = 1920
"""Pixels: a lip-synced picture keeps its size up to this."""

SPEAKER = "voice"


@dataclass(frozen=True)
class Pictures:
    """The moving picture before it is brought to the video's size and rate."""

    lipsync: LipsyncRecipe
    restore: tuple[RestoreRecipe, ...] = ()
    """At most one."""
    upscale: tuple[UpscaleRecipe, ...] = ()
    """At most one."""

    def recipes(self) -> tuple[Recipe, ...]:
        """In the order of work."""
        return (self.lipsync, *self.restore, *self.upscale)


@dataclass(frozen=True)
class Talk:
    """Everything that makes one talking picture."""

    request: LipsyncOnly | VideoRender
    job_id: str
    pictures: Pictures
    conform: ConformRecipe
    mix: MixRecipe
    upload: UploadRecipe

    def recipes(self) -> tuple[Recipe, ...]:
        return (*self.pictures.recipes(), self.conform, self.mix, self.upload)

    @property
    def lipsync(self) -> LipsyncRecipe:
        return self.pictures.lipsync

    @property
    def restore(self) -> tuple[RestoreRecipe, ...]:
        """At most one."""
        return self.pictures.restore

    @property
    def upscale(self) -> tuple[UpscaleRecipe, ...]:
        """At most one."""
        return self.pictures.upscale

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        if isinstance(self.request, LipsyncOnly):
            return {"video": urls[keys.lipsync(self.job_id)]}
        return {"video": urls[keys.video(self.job_id)], "thumbnail": urls[keys.thumbnail(self.job_id)]}

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """`quality` is the word that was asked."""
        if isinstance(self.request, LipsyncOnly):
            return {"quality": self.request.quality, "job_id": self.job_id}
        asked = self.request.format
        return {
            "job_id": self.job_id,
            "quality": self.request.quality,
            "duration": round(self.mix.seconds, 3),
            "format": {"width": asked.width, "height": asked.height, "fps": _number(asked.fps)},
        }


def lipsync_only(request: LipsyncOnly, inputs: Inputs, engines: TalkEngines) -> Talk:
    """The picture in its own size, at 24 fps, with the voice. Raises RequestInvalid."""
    job_id = request.named(inputs.files)
    size = Format(**_synced_size(inputs), fps=GENERATION_RATE)
    pictures = _pictures(request, inputs, engines, size)
    conform = _conform(request, pictures, inputs.frames("audio", size.fps), size)
    mix = _mix(request, conform, inputs)
    files = (DeliveredFile(source=mix.ref(), key=keys.lipsync(job_id)),)
    return Talk(request, job_id, pictures, conform, mix, _upload(request, engines, files))


def video_render(request: VideoRender, inputs: Inputs, engines: TalkEngines) -> Talk:
    """The film: as long as its voice. Raises RequestInvalid for what would begin after its end."""
    job_id = request.named(inputs.files)
    size = request.format.format
    pictures = _pictures(request, inputs, engines, size)
    frames = inputs.frames("audio", size.fps)
    seconds = float(frames / size.fps)
    _refuse_late(request, seconds)
    conform = _conform(request, pictures, frames, size).model_copy(
        update={"cues": shifted(request.captions, 0.0, seconds), "style": request.caption_style}
        if request.captions else {}
    )
    mix = _mix(request, conform, inputs).model_copy(update={
        "music": inputs.ref("music_url") if request.music_url else None,
        "ambience": inputs.ref("ambience_url") if request.ambience_url else None,
        "effects": tuple(
            PlacedEffect(audio=inputs.ref(f"sfx_tracks[{n}].url"), start=track.start_time, volume=track.volume)
            for n, track in enumerate(request.sfx_tracks)
        ),
        "ducking": request.ducking_config,
    })
    files = (
        DeliveredFile(source=mix.ref(), key=keys.video(job_id)),
        DeliveredFile(source=mix.ref("thumbnail"), key=keys.thumbnail(job_id)),
    )
    return Talk(request, job_id, pictures, conform, mix, _upload(request, engines, files))


def _pictures(request: LipsyncOnly | VideoRender, inputs: Inputs, engines: TalkEngines, size: Format) -> Pictures:
    lipsync = _lipsync(request, inputs, engines)
    if request.tier is Quality.DRAFT:
        return Pictures(lipsync)
    restore: tuple[RestoreRecipe, ...] = ()
    if engines.restore is not None:
        restore = (RestoreRecipe(label=request.title, engine=engines.restore, clip=lipsync.ref()),)
    synced = _synced_size(inputs)
    wanted = max(Fraction(size.width, synced["width"]), Fraction(size.height, synced["height"]))
    if engines.upscale is None or wanted <= 1:
        return Pictures(lipsync, restore)
    upscale = UpscaleRecipe(
        label=request.title, engine=engines.upscale, clip=(*restore, lipsync)[0].ref(),
        factor=min(4, max(2, math.ceil(wanted))),
    )
    return Pictures(lipsync, restore, (upscale,))


def _lipsync(request: LipsyncOnly | VideoRender, inputs: Inputs, engines: TalkEngines) -> LipsyncRecipe:
    return LipsyncRecipe(
        label=request.title,
        engine=engines.lipsync,
        clip=inputs.ref("image"),
        voices=(PlacedVoice(audio=inputs.ref("audio"), speaker=SPEAKER, start=0.0),),
        quality=request.tier,
    )


def _conform(
    request: LipsyncOnly | VideoRender, pictures: Pictures, frames: int, size: Format
) -> ConformRecipe:
    return ConformRecipe(
        label=request.title,
        clip=pictures.recipes()[-1].ref(),
        width=size.width,
        height=size.height,
        fps=size.fps,
        frames=frames,
        encode=_encode(request.tier),
    )


def _encode(tier: Quality) -> EncodeSettings:
    """These jobs have their own format, so the tier's bit rate is no cap."""
    return EncodeSettings(crf=ENCODE[tier].crf, preset=ENCODE[tier].preset)


def _mix(request: LipsyncOnly | VideoRender, conform: ConformRecipe, inputs: Inputs) -> MixRecipe:
    """The conformed clip is the reel: there is nothing to splice."""
    return MixRecipe(
        label=request.title,
        reel=conform.ref(),
        seconds=round(float(conform.frames / conform.fps), 6),
        voices=(PlacedVoice(audio=inputs.ref("audio"), speaker=SPEAKER, start=0.0),),
        captions=CaptionMode.OFF,                     # burned ones are in the picture already
    )


def _upload(
    request: LipsyncOnly | VideoRender, engines: TalkEngines, files: tuple[DeliveredFile, ...]
) -> UploadRecipe:
    return UploadRecipe(label=request.title, destination=engines.destination, files=files)


def _refuse_late(request: VideoRender, seconds: float) -> None:
    starts = {f"captions[{n}].start": cue.start for n, cue in enumerate(request.captions)}
    starts |= {f"sfx_tracks[{n}].start_time": track.start_time for n, track in enumerate(request.sfx_tracks)}
    for path, start in starts.items():
        if start >= seconds:
            raise RequestInvalid(
                field=f"input.{path}", detail=f"{start:g} s is after the end: the audio lasts {seconds:.2f} s",
                remedy="let it start earlier, or remove it",
            )


def _synced_size(inputs: Inputs) -> dict[str, int]:
    """Even sides of the lip-synced picture, the longer one at most 1920 pixels."""
    width, height = inputs.found("image")["width"], inputs.found("image")["height"]
    shrink = min(1.0, LONGEST_SIDE / max(width, height))
    return {"width": max(16, 2 * round(width * shrink / 2)), "height": max(16, 2 * round(height * shrink / 2))}


def _number(fps: Fraction) -> int | float:
    return fps.numerator if fps.denominator == 1 else round(float(fps), 3)
