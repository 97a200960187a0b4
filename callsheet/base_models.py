"""The base models that real engines load: family, weights, the model's own defaults, and what comes next when one is
too large.

    base_model("flux1-dev-fp8").family   Family.FLUX

Values only. Names are what orders say and what recipes record; weights.py knows the files behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from callsheet.models import Family
from callsheet.units import Frozen


class BaseModel(Frozen):
    """A model that makes pictures or clips."""

    name: str
    kind: Literal["picture", "clip"]
    family: Family
    """Of the LoRAs it loads."""
    weights: tuple[str, ...]
    """Names in weights.CATALOGUE, all of them needed by the library pipelines."""
    extras: tuple[str, ...] = ()
    """Further names, for work that not every clip needs."""
    follows: bool = False
    """Whether it makes a clip after another clip's frames."""
    controlled: bool = False
    """Whether its clips keep to control pictures, with the `extras`."""
    gib: float = Field(gt=0)
    """Of everything that is loaded, in bf16 and in GiB of GPU memory, without what the work itself takes."""
    aliases: tuple[str, ...] = ()
    from_picture: bool = False
    """Whether its clips start from a picture."""
    steps: int | None = None
    """Its own default, which beats the tier's."""
    cfg: float | None = None
    smaller: str = ""
    """A model of the same family that takes less memory; empty: there is none."""


MODELS: tuple[BaseModel, ...] = (
    BaseModel(name="flux1-dev", aliases=("flux1-dev-fp8",), kind="picture", family=Family.FLUX, weights=("flux-dev",),
              gib=31.4),
    BaseModel(name="sdxl-base-1.0", kind="picture", family=Family.SDXL, weights=("sdxl",), gib=6.5),
    BaseModel(name="sd15", kind="picture", family=Family.SD15, weights=("sd15",), gib=2.0),
    BaseModel(name="wan2.2-i2v-a14b", kind="clip", family=Family.WAN, weights=("wan-14b",), gib=64.0,
              from_picture=True, cfg=3.5, smaller="wan2.2-ti2v-5b"),
    BaseModel(name="wan2.2-ti2v-5b", kind="clip", family=Family.WAN, weights=("wan-5b",), gib=20.6,
              from_picture=True, cfg=5.0, follows=True),
    BaseModel(name="animatediff-sdxl", kind="clip", family=Family.SDXL, weights=("sdxl", "motion-sdxl"), gib=7.4,
              steps=50, cfg=12.0),
    BaseModel(name="animatediff-sd15", kind="clip", family=Family.SD15, weights=("sd15", "motion-sd15"), gib=3.7,
              steps=50, cfg=12.0, extras=("control-sd15",), follows=True, controlled=True),
)
"""Best first within a family and kind. Sizes are reckoned from the parts' parameters in bf16, none was measured."""


def base_model(name: str) -> BaseModel:
    """Of that name or alias. Raises KeyError."""
    word = name.strip().lower()
    for each in MODELS:
        if word in (each.name, *each.aliases):
            return each
    raise KeyError(name)


def models_of(kind: str, families: Iterable[Family] = tuple(Family)) -> tuple[BaseModel, ...]:
    """Those of a kind whose LoRAs are of one of the families, best first."""
    wanted = frozenset(families)
    return tuple(each for each in MODELS if each.kind == kind and each.family in wanted)
