"""frames: prompts become a video, a scene each, that nobody in particular acts in.

Covers the request with the source system's names and defaults, the order it stands for, and the reply. The chain's own
plan makes the order's recipes, so transitions, sizes and what stands in for what failed are those of any film. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints, model_validator

from callsheet import keys
from callsheet.fallback import DRAWN
from callsheet.film import Film
from callsheet.jobs.base import Job, JobRate, Seed, Side, Tier
from callsheet.models import Actor, CaptionMode, Captions, Format, Generate, Order, Poster, Scene, TakeSpec, Transition
from callsheet.presets import DELIVER, GENERATE, GENERATION_RATE, MAX_SEGMENT_FRAMES, Quality, TransitionKind
from callsheet.words import Mistaken, word_of

CLIP_S = float(MAX_SEGMENT_FRAMES / GENERATION_RATE)
"""What one clip holds at most."""

Prompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value          # what follows sees no JSON any more


class Frames(Job):
    """A video of prompts, in their order. Size and rate that are None are the tier's."""

    job_type: Literal["frames"] = "frames"
    prompts: Annotated[tuple[Prompt, ...], BeforeValidator(_listed)] = Field(
        min_length=1, max_length=500, validation_alias=AliasChoices("prompts", "prompt")
    )
    """One or a list; a single one is a list of one."""
    video_type: Literal["multi_frame"] = "multi_frame"
    """There is no other type; the source's calls name it."""
    quality: word_of(Tier) = "high"  # type: ignore[valid-type]
    transition: word_of(Literal["fade", "crossfade", "wipe", "slide", "zoom", "dissolve"]) = (  # type: ignore[valid-type]
        "crossfade"
    )
    duration_per_frame: float = Field(3.0, ge=0.2, le=CLIP_S, allow_inf_nan=False)
    """Seconds of each scene. With half a transition at each joined end it fits into one clip."""
    use_ai_generation: bool = True
    """False draws placeholders, which needs no model."""
    engine: str = Field("auto", min_length=1, max_length=40)
    """Which engine generates; `auto` takes the best that is able."""
    model: str = Field("", max_length=80)
    """Base model of the clips, such as `animatediff-sd15`; empty leaves it to the engine."""
    num_inference_steps: int = Field(20, ge=1, le=200)
    guidance_scale: float = Field(7.5, ge=1, le=20)
    width: Side | None = None
    height: Side | None = None
    fps: JobRate | None = None
    seed: Seed = None
    """None is random; the reply tells which it was."""

    @model_validator(mode="after")
    def _fits_into_clips(self) -> Self:
        joined = min(2, len(self.prompts) - 1)        # ends of the scene that has most of them
        handles = joined * Transition().seconds / 2
        longest, shortest = CLIP_S - handles, handles + float(2 / self.format.fps)
        if joined and self.duration_per_frame < shortest:
            raise Mistaken(
                f"duration_per_frame {self.duration_per_frame:g} is under {shortest:.3g}: transitions take "
                f"{handles:g} s of it", "use more seconds a scene",
            )
        if self.duration_per_frame > longest:
            raise Mistaken(
                f"duration_per_frame {self.duration_per_frame:g} is over {longest:g}: a clip holds {CLIP_S:g} s, "
                f"transitions included", f"use at most {longest:g}",
            )
        return self

    @model_validator(mode="after")
    def _one_switch(self) -> Self:
        if self.use_ai_generation and self.engine == DRAWN:
            raise Mistaken(f"engine {DRAWN} generates nothing", "set use_ai_generation to false, or name another one")
        if not self.use_ai_generation and (self.engine not in ("auto", DRAWN) or self.model):
            raise Mistaken("engine or model is given, and use_ai_generation is false", "leave one of them out")
        return self

    def settled(self, roll: Callable[[], int]) -> Self:
        return self if self.seed is not None else self.model_copy(update={"seed": roll()})

    @property
    def tier(self) -> Quality:
        return Quality(self.quality)

    @property
    def format(self) -> Format:
        """What is delivered."""
        tier = DELIVER[self.tier]
        return Format(width=self.width or tier.width, height=self.height or tier.height, fps=self.fps or tier.fps)


class Unacted(Order):
    """An order without a cast: its scenes start from their words, and there is nobody for a poster or takes."""

    cast: tuple[Actor, ...] = Field((), max_length=0)
    poster: Poster | None = None
    takes: tuple[TakeSpec, ...] = ()
    captions: Captions = Captions(mode=CaptionMode.OFF)


def frames_order(request: Frames) -> Order:
    """The order that a settled request stands for. No more pixels are generated than are delivered."""
    if request.seed is None:
        raise ValueError("the request is not settled: it has no seed")
    transition = Transition(kind=TransitionKind(request.transition))
    size = request.format
    return Unacted(
        title=request.title,
        scenes=tuple(
            Scene(prompt=prompt, seconds=request.duration_per_frame, transition=transition)
            for prompt in request.prompts
        ),
        quality=request.tier,
        format=size,
        generate=Generate(
            engine=request.engine if request.use_ai_generation else DRAWN,
            model=request.model,
            steps=request.num_inference_steps,
            cfg=request.guidance_scale,
            px=min(GENERATE[request.tier].px, isqrt(size.width * size.height)),
        ),
        seed=request.seed,
        job_id=request.job_id,
    )


@dataclass(frozen=True)
class Maker:
    """Who really made the clips of a prompt."""

    engine: str
    model: str = ""


@dataclass(frozen=True)
class FramesJob:
    request: Frames
    film: Film
    makers: Sequence[Maker]
    """One a prompt."""

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        job_id = self.film.job_id
        return {"video": urls[keys.video(job_id)], "thumbnail": urls[keys.thumbnail(job_id)]}

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """`engines` has who made each prompt's pictures, which is not what was asked where something stands in."""
        asked, time = self.request, self.film.timeline
        fps = time.fps
        return {
            "job_id": self.film.job_id,
            "quality": asked.quality,
            "transition": asked.transition,
            "frames": time.frames,
            "duration": round(time.seconds, 3),
            "width": asked.format.width,
            "height": asked.format.height,
            "fps": fps.numerator if fps.denominator == 1 else round(float(fps), 3),
            "seed": asked.seed,
            "engines": [
                {"prompt": prompt, "engine": maker.engine, "model": maker.model}
                for prompt, maker in zip(asked.prompts, self.makers, strict=True)
            ],
        }
