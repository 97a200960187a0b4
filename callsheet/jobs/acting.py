"""poster_frame, segment and animation: trained characters in a picture, a raw clip, a short film with speech.

Each LoRA has been found and has its digest when it comes here, as the character's actor. A poster and an animation
are orders, so the chain's own plan makes their recipes and a film of the same actor shares them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from callsheet import keys, persona
from callsheet.dialogue import parse_dialogue
from callsheet.errors import RequestInvalid
from callsheet.film import Film
from callsheet.jobs.inputs import ClipEngines, Inputs
from callsheet.jobs.requests import Animation, PosterFrame, Segment, Shot
from callsheet.keys import SLUG
from callsheet.models import Actor, CaptionMode, Captions, Format, Generate, Order, Poster, Scene, SourceFile
from callsheet.presets import GENERATE, GENERATION_RATE, Quality
from callsheet.prompts import negative_prompt, segment_prompt
from callsheet.recipes import Choices, DeliveredFile, PosterRecipe, SegmentRecipe, UploadRecipe

ANIMATION_TIER = Quality.HIGH
"""How an animation is encoded; its steps, guidance and size are fields of the request."""

Found = Sequence[SourceFile]
"""The LoRAs of a request with their digests, in the order of its `characters_named`."""


@dataclass(frozen=True)
class PosterJob:
    request: PosterFrame
    job_id: str
    poster: PosterRecipe
    upload: UploadRecipe

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        return {"thumbnail_image_url": urls[self.upload.files[0].key]}

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]:
        asked = self.request
        return {"job_id": self.job_id, "actor_id": asked.actor_id, "width": asked.width, "height": asked.height,
                "seed": asked.seed or 0}


@dataclass(frozen=True)
class SegmentJob:
    request: Segment
    job_id: str
    segment: SegmentRecipe
    upload: UploadRecipe

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        return {"video": urls[keys.segment(self.job_id)]}

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]:
        made = self.segment
        return {"job_id": self.job_id, "quality": self.request.quality} | _clip_facts(
            self.request, made.num_frames, made.width, made.height
        )


@dataclass(frozen=True)
class AnimationJob:
    request: Animation
    film: Film

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        job_id = self.film.job_id
        return {"video": urls[keys.video(job_id)], "thumbnail": urls[keys.thumbnail(job_id)]}

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """`num_frames` is what was made: more than was asked where the dialogue lasts longer."""
        asked = self.request
        return {"job_id": self.film.job_id} | _clip_facts(asked, self.film.timeline.frames, asked.width, asked.height)


def _clip_facts(request: Shot, frames: int, width: int, height: int) -> dict[str, Any]:
    return {
        "characters": list(map(actor_id_of, request.characters_named)),
        "seed": request.seed,
        "num_frames": frames,
        "width": width,
        "height": height,
        "fps": int(GENERATION_RATE),
        "duration": round(float(frames / GENERATION_RATE), 3),
    }


# ---- poster_frame


def poster_order(request: PosterFrame, found: Found) -> Order:
    """An order whose poster is the one that is asked for. Its scene is never shot."""
    actor = Actor(
        id=request.actor_id,
        lora=found[0],
        lora_strength=request.character_lora_strength,
        description=request.custom_actor_description,
        seed=request.seed or 0,
        user_id=request.user_id,
    )
    picture = Poster(**{name: getattr(request, name) for name in Poster.model_fields})
    scene = Scene(prompt=request.title)
    return Order(title=request.title, cast=(actor,), scenes=(scene,), poster=picture)


def poster_frame(request: PosterFrame, order: Order, choices: Choices) -> PosterJob:
    """The poster of such an order, and where it is delivered."""
    actor = order.cast[0]
    recipe = persona.poster(order, actor, choices)
    key = keys.poster(actor.id, actor.user_id, recipe.fingerprint)
    upload = UploadRecipe(
        label=request.title, destination=choices.destination, files=(DeliveredFile(source=recipe.ref(), key=key),)
    )
    return PosterJob(request, request.job_id or recipe.fingerprint, recipe, upload)


# ---- segment


def segment(request: Segment, actors: Sequence[Actor], inputs: Inputs, engines: ClipEngines) -> SegmentJob:
    """One raw clip. `request` is settled, so that it has a seed."""
    profile = GENERATE[request.tier]
    negative = ", ".join(filter(None, (negative_prompt(actors), request.negative_prompt)))
    recipe = SegmentRecipe(
        label=request.title,
        engine=engines.clips,
        scene=request.prompt,
        prompt=segment_prompt(_scene(request), actors),
        negative=negative,
        width=request.width or profile.px,
        height=request.height or profile.px,
        num_frames=request.num_frames,
        steps=request.num_inference_steps or engines.steps or profile.steps,
        cfg=next(cfg for cfg in (request.guidance_scale, engines.cfg, profile.cfg) if cfg is not None),
        loras=tuple(persona.lora_use(actor) for actor in actors if actor.id not in engines.unloaded),
        first_frame=inputs.ref("image") if request.image else None,
        follows=inputs.ref("video") if request.video else None,
        control=inputs.ref("control") if request.control else None,
        freedom=request.freedom,
        emotion=request.emotion,
        angle=request.angle,
        intensity=request.intensity,
        seed=_settled(request),
    )
    job_id = request.job_id or recipe.fingerprint
    upload = UploadRecipe(
        label=request.title,
        destination=engines.destination,
        files=(DeliveredFile(source=recipe.ref(), key=keys.segment(job_id)),),
    )
    return SegmentJob(request, job_id, recipe, upload)


def _scene(request: Segment) -> Scene:
    """For the words only: a segment is not a scene, and may be shorter than one."""
    return Scene(prompt=request.prompt, emotion=request.emotion, angle=request.angle, intensity=request.intensity)


# ---- animation


def animation_order(request: Animation, found: Found) -> Order:
    """A film of one scene without poster and takes: it starts from its words. Raises DialogueInvalid."""
    actors = cast(request, found)
    return Order(
        title=request.title,
        cast=actors,
        scenes=(Scene(
            prompt=request.prompt,
            seconds=float(request.num_frames / GENERATION_RATE),
            lines=parse_dialogue(request.dialogue_text, actors),
        ),),
        captions=Captions(mode=CaptionMode.OFF),
        quality=ANIMATION_TIER,
        format=Format(width=request.width, height=request.height, fps=GENERATION_RATE),
        takes=(),
        poster=None,
        generate=Generate(
            steps=request.num_inference_steps,
            cfg=request.guidance_scale,
            px=round(sqrt(request.width * request.height)),
        ),
        seed=_settled(request),
        job_id=request.job_id,
    )


# ---- characters


def actor_id_of(name: str) -> str:
    """The id that a LoRA's name or path stands for. Raises RequestInvalid when nothing is left of it."""
    stem = re.split(r"[/\\]", name)[-1].removesuffix(".safetensors").lower()
    made = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64]
    if not SLUG.fullmatch(made):
        raise RequestInvalid(
            field="input.characters", detail=f"{name[:60]!r} is no name", remedy="give the name of a LoRA file"
        )
    return made


def cast(request: Shot, found: Found) -> tuple[Actor, ...]:
    """The actors of a request, equally strong. Raises RequestInvalid for one that is named twice."""
    actors = tuple(
        Actor(id=actor_id_of(name), lora=file)
        for name, file in zip(request.characters_named, found, strict=True)
    )
    ids = [actor.id for actor in actors]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice:
        raise RequestInvalid(field="input.characters", detail=f"{twice} is there twice", remedy="name each one once")
    return actors


def _settled(request: Shot) -> int:
    if request.seed is None:
        raise ValueError("the request is not settled: it has no seed")
    return request.seed
