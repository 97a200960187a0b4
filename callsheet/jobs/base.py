"""What all requests share: the kinds of their fields, the files they name, and how a request is named itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints

from callsheet.models import SourceFile
from callsheet.persona import digest_of
from callsheet.recipe import canonical, digest
from callsheet.units import Frozen, Rate, Slug
from callsheet.words import Mistaken

MAX_INLINE_CHARS = 48 << 20
"""Longest text that can hold a file: base64 of 36 MB."""

MAX_SEED = 2**32 - 1


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value     # a form's empty field


def _rate(value: Any) -> Any:
    """Only what a fraction can be made of: `1/0` and infinity are told, not raised."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", value):
        value = float(value)
    whole = isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}(/0*[1-9][0-9]{0,5})?", value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not (whole or number or isinstance(value, Fraction)):
        raise Mistaken("is no rate", "write frames a second, such as 30, 29.97 or 30000/1001")
    return value


Source = Annotated[str, StringConstraints(min_length=1, max_length=MAX_INLINE_CHARS)]
"""A file: http(s) URL, data-URI or base64; on the command line also a path."""

Tier = Literal["draft", "standard", "high", "premium", "cinematic"]
JobRate = Annotated[Rate, BeforeValidator(_rate)]
Seed = Annotated[int | None, Field(ge=0, le=MAX_SEED), BeforeValidator(_empty_is_none)]
Character = Annotated[str, StringConstraints(min_length=1, max_length=500)]
"""Name of a LoRA, with or without .safetensors; on the command line also a path."""

Side = Annotated[int, Field(ge=64, le=4096, multiple_of=2)]
"""Pixels of a generated picture's side."""


class Request(Frozen):
    """What all requests share."""

    job_type: str

    def sources(self) -> dict[str, str]:
        """The files it names: path of the field, such as `sfx_tracks[0].url` -> text."""
        return {}

    @property
    def characters_named(self) -> tuple[str, ...]:
        """The LoRAs it names, in their order."""
        return ()

    @property
    def title(self) -> str:
        """What people call this run."""
        return self.job_type

    def with_sources(self, texts: Mapping[str, str]) -> Self:
        """The same request with other texts in the named source fields."""
        fields = self.model_dump(mode="json")
        for path, text in texts.items():
            *way, last = (int(p) if p.isdigit() else p for p in re.findall(r"\w+", path))
            inside: Any = fields
            for step in way:
                inside = inside[step]
            inside[last] = text
        return self.model_validate(fields)

    def settled(self, roll: Callable[[], int]) -> Self:
        """The same request with what is left to chance decided by `roll`, which gives a seed."""
        return self

    def fingerprint(self, files: Mapping[str, SourceFile]) -> str:
        """Names the request; digests stand for the files, so that it does not matter how they came."""
        by_digest = self.with_sources({path: digest_of(files[path]) for path in self.sources()})
        return digest(canonical(by_digest.model_dump(mode="json")))


class Job(Request):
    """A request whose results lie under its own id."""

    job_id: Slug | None = None
    """Names the delivery keys; None takes the fingerprint of the request."""

    @property
    def title(self) -> str:
        return " ".join(filter(None, (self.job_type, self.job_id)))

    def named(self, files: Mapping[str, SourceFile]) -> str:
        """The id that was given, else the fingerprint."""
        return self.job_id or self.fingerprint(files)
