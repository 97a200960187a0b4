"""What belongs to an actor rather than to a film: the LoRA, the poster, the takes.

Recipes of these are equal in every order of the same quality, so they are made once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from callsheet.fallback import DRAWN, settled
from callsheet.models import Actor, Order, Poster, Scene, SourceFile, TakeSpec
from callsheet.presets import GENERATE
from callsheet.prompts import negative_prompt, poster_prompt, take_prompt
from callsheet.recipe import Ref, canonical, digest
from callsheet.recipes import Choices, LoraUse, PosterRecipe, TakeRecipe, TrainCompleteRecipe

TAKE_SECONDS = 5


def seed_for(seed: int, *what: object) -> int:
    """A seed of its own for each thing made, from an order's or an actor's."""
    return int(digest(canonical([seed, *map(str, what)]))[:8], 16)


def digest_of(file: SourceFile) -> str:
    """The digest of an admitted file. Raises ValueError for one that is not."""
    if file.sha256 is None:
        raise ValueError(f"{file.path} is not admitted: its digest is not known")
    return file.sha256


def lora_use(actor: Actor) -> LoraUse:
    """An actor's slot in the LoRA stack."""
    return LoraUse(
        role="character",
        name=actor.id,
        display_name=actor.display_name,
        sha256=digest_of(actor.lora),
        strength=actor.lora_strength,
        file=train_complete(actor).ref(),
        file_name=_file_name(actor.lora.path),
    )


def style_use(asked: Poster, choices: Choices) -> LoraUse:
    """The style's slot. An engine that loads files gets the file, another one the name alone."""
    file = choices.style
    return LoraUse(
        role="style",
        name=asked.style_lora_name,
        strength=asked.style_lora_strength,
        sha256=digest_of(file) if file else None,
        file=style_complete(asked, file).ref() if file else None,
        file_name=_file_name(file.path if file else asked.style_lora_name),
    )


def _file_name(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def trained(order: Order, choices: Choices) -> tuple[TrainCompleteRecipe, ...]:
    """Every LoRA file of the order, each once."""
    styles = [style_complete(order.poster, choices.style)] if order.poster and choices.style else []
    return (*(train_complete(actor) for actor in order.cast), *styles)


def style_complete(asked: Poster, file: SourceFile) -> TrainCompleteRecipe:
    """The recipe that the style's LoRA has to pass first."""
    return TrainCompleteRecipe(label=asked.style_lora_name, path=file.path, sha256=digest_of(file))


def train_complete(actor: Actor) -> TrainCompleteRecipe:
    """The recipe that an actor's LoRA has to pass first."""
    return TrainCompleteRecipe(
        label=actor.display_name,
        path=actor.lora.path,
        sha256=digest_of(actor.lora),
        base_model=actor.base_model,
    )


def poster(order: Order, actor: Actor, choices: Choices) -> PosterRecipe:
    """The poster of one actor of the order, or what stands in for it."""
    return settled_poster(order, actor, choices)[1]


def settled_poster(order: Order, actor: Actor, choices: Choices) -> tuple[PosterRecipe, PosterRecipe]:
    """The poster that is asked, and the one that is planned."""
    return settled(lambda asked, chosen: _poster(asked, actor, chosen), order, choices)


def _poster(order: Order, actor: Actor, choices: Choices) -> PosterRecipe:
    asked = order.poster or Poster()
    return PosterRecipe(
        label=actor.display_name,
        engine=choices.posters,
        prompt=poster_prompt(actor, asked.background),
        negative=actor.sheet.negative,
        width=asked.width,
        height=asked.height,
        steps=asked.steps,
        sampler_name=asked.sampler_name,
        scheduler_name=asked.scheduler_name,
        flux_guidance=asked.flux_guidance,
        loras=(style_use(asked, choices), lora_use(actor)),
        seed=seed_for(actor.seed, "poster", actor.id),
    )


def first_picture(order: Order, actor: Actor, choices: Choices) -> Ref | None:
    """What an actor's clips start from: the poster, where the order has one."""
    return poster(order, actor, choices).ref() if order.poster else None


def settled_take(
    order: Order, actor: Actor, number: int, spec: TakeSpec, choices: Choices
) -> tuple[TakeRecipe, TakeRecipe]:
    """One base clip of an actor: the one that is asked, and the one that is planned."""
    return settled(lambda asked, chosen: _take(asked, actor, number, spec, chosen), order, choices)


def _take(order: Order, actor: Actor, number: int, spec: TakeSpec, choices: Choices) -> TakeRecipe:
    """Square, so that films of every format share it."""
    profile = GENERATE[order.quality]
    px = order.generate.px or profile.px
    return TakeRecipe(
        label=f"{actor.display_name} take {number}: {spec.emotion} {spec.angle}",
        engine=choices.clips,
        scene=f"{actor.display_name}, {spec.emotion}, {spec.angle.replace('_', ' ')}",
        prompt=take_prompt(actor, spec),
        negative=negative_prompt((actor,)),
        width=px,
        height=px,
        num_frames=TAKE_SECONDS * 24,
        steps=clip_steps(order, choices),
        cfg=clip_cfg(order, choices),
        loras=clip_loras((actor,), choices),
        first_frame=first_picture(order, actor, choices),
        emotion=spec.emotion,
        angle=spec.angle,
        intensity=spec.intensity,
        margin=margin(order, choices),
        seed=seed_for(actor.seed, "take", actor.id, spec.emotion, spec.angle, spec.intensity),
    )


def clip_loras(actors: Sequence[Actor], choices: Choices) -> tuple[LoraUse, ...]:
    """The slots of a clip: those that its model can load."""
    return tuple(lora_use(actor) for actor in actors if actor.id not in choices.unloaded)


def clip_steps(order: Order, choices: Choices) -> int:
    """What the order says, else the model's own default, else the tier's."""
    return order.generate.steps or choices.clip_steps or GENERATE[order.quality].steps


def clip_cfg(order: Order, choices: Choices) -> float:
    """What the order says, else the model's own default, else the tier's."""
    for cfg in (order.generate.cfg, choices.clip_cfg):
        if cfg is not None:
            return cfg
    return GENERATE[order.quality].cfg


def margin(order: Order, choices: Choices) -> bool:
    """Whether a drawn clip is lettered; for an engine that does not draw it would change nothing."""
    return order.generate.margin and choices.clips.name == DRAWN


def nearest_take(scene: Scene, takes: tuple[TakeSpec, ...]) -> int:
    """Index of the take closest to what a scene asks for: emotion first, then angle, then intensity."""
    def distance(spec: TakeSpec) -> float:
        return (
            4.0 * (spec.emotion != scene.emotion)
            + 2.0 * (spec.angle != scene.angle)
            + abs(spec.intensity - scene.intensity)
        )

    return min(range(len(takes)), key=lambda n: distance(takes[n]))
