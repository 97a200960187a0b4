"""Which models an order gets where ComfyUI's graphs make it: FLUX for posters, Wan or LTX-Video for clips. Pure.

Clips start from a picture, so that LoRAs of other families need not be loaded for them. AnimateDiff and posters of
other models would need nodes that a server does not come with: the engine diffusers makes those.
"""

from __future__ import annotations

from callsheet.base_models import BaseModel, base_model
from callsheet.engines.base import Asked, Casting
from callsheet.errors import EngineUnable, WrongFamily
from callsheet.models import Family

POSTERS = ("flux1-dev",)
CLIPS = ("wan2.2-ti2v-5b", "wan2.2-i2v-a14b")
LTXV = "ltx-video-2b"
"""Loads no LoRA that callsheet knows a family of."""


def cast(asked: Asked, engine: str) -> Casting:
    """The 5B of Wan unless the order names another. Raises WrongFamily naming the file, EngineUnable."""
    poster = _poster(asked, engine) if asked.poster_model else ""
    if not asked.clips:
        return Casting(poster=poster)
    if asked.clip_model.strip().lower() in (LTXV, "ltxv"):
        return Casting(poster=poster, clips=LTXV, unloaded=_unloaded(asked, None))
    model = _known(asked.clip_model, CLIPS, engine, "clips") if asked.clip_model else base_model(CLIPS[0])
    return Casting(poster=poster, clips=model.name, unloaded=_unloaded(asked, model.family), steps=model.steps,
                   cfg=model.cfg)


def _poster(asked: Asked, engine: str) -> str:
    model = _known(asked.poster_model, POSTERS, engine, "posters")
    for file, family in asked.families.items():
        if family not in (None, model.family):
            raise WrongFamily(path=file, found=family, wanted=model.family,
                              remedy=f"train it on {model.family}, or let the engine diffusers make the posters")
    return model.name


def _known(name: str, models: tuple[str, ...], engine: str, what: str) -> BaseModel:
    try:
        model = base_model(name)
    except KeyError:
        model = None
    if model is None or model.name not in models:
        there = ", ".join(models if what == "posters" else (*models, LTXV))
        raise EngineUnable(
            engine=engine, what=f"{what} with {name}", detail=f"its graphs are for {there}",
            remedy=f"choose {there}, or the engine diffusers" if model else f"choose {there}")
    return model


def _unloaded(asked: Asked, loaded: Family | None) -> frozenset[str]:
    """Those that the clip model cannot load: a picture carries them, or nothing does."""
    others = {file: family for file, family in asked.families.items()
              if loaded is None or family not in (None, loaded)}
    if others and not asked.pictured:
        file, family = next(iter(others.items()))
        raise WrongFamily(path=file, found=family or "yet unknown", wanted=loaded or LTXV,
                          remedy="let the clip start from a picture (posters, takes, an image), or take LoRAs of one "
                                 "family")
    return frozenset(others)
