"""Which models an order gets, told from its LoRAs' families before anything is loaded. Pure.

Posters: the model that is asked, whose family every character's LoRA must have. Clips: the model that is asked; else
AnimateDiff where all LoRAs are SDXL's, or all SD 1.5's; else Wan, which starts from a picture and so needs no LoRA of
its own. Of Wan's models the 5B is taken: the A14B, which needs a larger card, is for orders that name it.
"""

from __future__ import annotations

from callsheet.base_models import BaseModel, base_model, models_of
from callsheet.engines.base import Asked, Casting
from callsheet.engines.diffusers import samplers
from callsheet.engines.diffusers.loading import ENGINE
from callsheet.errors import EngineUnable, WrongFamily
from callsheet.models import Family

CLIPS_BY_FAMILY = {Family.SDXL: "animatediff-sdxl", Family.SD15: "animatediff-sd15"}
CLIPS = "wan2.2-ti2v-5b"


def cast(asked: Asked) -> Casting:
    """Raises WrongFamily naming the file, EngineUnable for a model that there is not, RequestInvalid for a sampler or
    scheduler that the poster's model does not have.
    """
    poster = _poster(asked) if asked.poster_model else None
    if poster and asked.sampler:
        samplers.check(asked.sampler, asked.scheduler, flows=poster.family is Family.FLUX)
    clips = _clips(asked) if asked.clips else None
    return Casting(
        poster=poster.name if poster else "",
        clips=clips.name if clips else "",
        unloaded=_unloaded(asked, clips) if clips else frozenset(),
        steps=clips.steps if clips else None,
        cfg=clips.cfg if clips else None,
        follows=clips is not None and clips.follows,
        controlled=clips is not None and clips.controlled,
    )


def _poster(asked: Asked) -> BaseModel:
    model = _named(asked.poster_model, "picture")
    for file, family in asked.families.items():
        if family not in (None, model.family):
            fitting = " or ".join(each.name for each in models_of("picture", (family,)))
            train = f"train it on {model.family.value}"
            raise WrongFamily(
                path=file, found=family.value, wanted=model.family.value,
                remedy=f"{train}, or set the poster's model to {fitting}" if fitting
                else f"{train}: no model paints posters with a {family.value} LoRA",
            )
    return model


def _clips(asked: Asked) -> BaseModel:
    if asked.clip_model:
        return _named(asked.clip_model, "clip")
    families = {family for family in asked.families.values() if family is not None}
    if asked.controlled and families <= {Family.SD15}:
        return base_model(CLIPS_BY_FAMILY[Family.SD15])
    return base_model(CLIPS_BY_FAMILY.get(next(iter(families)), CLIPS) if len(families) == 1 else CLIPS)


def _unloaded(asked: Asked, model: BaseModel) -> frozenset[str]:
    """Files of other families: a picture to start from carries what they know, where there is one."""
    others = {file: family for file, family in asked.families.items() if family not in (None, model.family)}
    if others and not (asked.pictured and model.from_picture):
        file, family = next((file, family) for file, family in others.items() if family is not None)
        raise WrongFamily(
            path=file, found=family.value, wanted=model.family.value,
            remedy="let the clip start from a picture (posters, takes, an image), or take LoRAs of one family"
            if model.from_picture else f"set clip_model to {CLIPS_BY_FAMILY.get(family, CLIPS)}, or leave it empty",
        )
    return frozenset(others)


def _named(name: str, kind: str) -> BaseModel:
    known = ", ".join(each.name for each in models_of(kind))
    try:
        model = base_model(name)
    except KeyError:
        model = None
    if model is None or model.kind != kind:
        raise EngineUnable(engine=ENGINE, what=f"a {kind} with the model {name!r}",
                           detail=f"it has no such {kind} model", remedy=f"choose one of {known}")
    return model
