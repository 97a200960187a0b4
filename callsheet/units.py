"""Units and ranges: the types that every model is built of.

Times are seconds, sizes are pixels, rates are frames a second as Fractions.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""An id that is safe in a key, a path and a URL."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

Volume = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]
"""Linear gain: 1 leaves the level as it is."""

Seconds = Annotated[float, Field(ge=0, le=4 * 3600, allow_inf_nan=False)]

Pixels = Annotated[int, Field(ge=16, le=7680, multiple_of=2)]


def _as_rate(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):              # 29.97 and 23.976 mean the broadcast rates
        exact = Fraction(value).limit_denominator(1001)
        drop = Fraction(round(value * 1.001) * 1000, 1001)
        return drop if abs(float(drop) - value) < 0.005 and value != round(value) else exact
    try:
        return Fraction(str(value)) if isinstance(value, (int, str)) else value
    except ZeroDivisionError:
        raise ValueError(f"{value} is no rate") from None


Rate = Annotated[
    Fraction,
    BeforeValidator(_as_rate),
    PlainSerializer(str, return_type=str),
    Field(ge=1, le=120),
]
"""Frames a second, exact: 30, '30000/1001' or 29.97."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _known_colour(value: str) -> str:
    from PIL import ImageColor

    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value) and value.lower() not in ImageColor.colormap:
        raise ValueError(f"{value!r} is no colour: write a CSS name or #rrggbb")
    return value


Colour = Annotated[str, AfterValidator(_known_colour)]
"""A CSS colour name, or #rrggbb."""
