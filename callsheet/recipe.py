"""Recipes: everything that determines a result, and the fingerprint that names it before it is made.

A recipe's inputs are `Ref`s to other recipes or digests of files, so the whole plan of a film is known
before anything runs. Raise a recipe class's `version` when its stage's code changes the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from callsheet.units import Frozen, Sha256


class Stage(StrEnum):
    """One word a stage, the same in flows, tasks, domain, tests and store keys. In order of work."""

    TRAIN_COMPLETE = "train_complete"
    INTAKE = "intake"
    SPEECH = "speech"
    ALIGN = "align"
    POSTER = "poster"
    TAKES = "takes"
    SEGMENTS = "segments"
    LIPSYNC = "lipsync"
    RESTORE = "restore"
    UPSCALE = "upscale"
    CONFORM = "conform"
    SPLICE = "splice"
    MIX = "mix"
    CHECK = "check"
    UPLOAD = "upload"

    @property
    def needs_gpu(self) -> bool:
        """Whether the stage belongs to the shoot, the GPU half."""
        return self in (Stage.POSTER, Stage.TAKES, Stage.SEGMENTS, Stage.LIPSYNC, Stage.RESTORE,
                        Stage.UPSCALE)


class Ref(Frozen):
    """One artifact of another recipe's record."""

    stage: Stage
    fingerprint: Sha256
    name: str = "main"
    """Which of the record's artifacts."""


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, floats as Python prints them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(text: str) -> str:
    """sha256 of a text, as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


class Recipe(Frozen):
    """Base of all recipes. Two equal recipes give the same result."""

    stage: ClassVar[Stage]
    version: ClassVar[int] = 1
    hints: ClassVar[frozenset[str]] = frozenset({"label"})
    """Fields that determine nothing: words for people, and where a file may be found."""

    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that came later: at their default they are not part of the fingerprint, so what was made before counts."""

    label: str = ""
    """What a person calls it, such as `scene 2, segment 1`. Not part of the fingerprint."""

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over stage, version and every determining field."""
        unsaid = {name: True for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        fields = self.model_dump(mode="json", exclude=_hints_in(self) | unsaid)
        return digest(canonical({"stage": self.stage, "version": self.version, "inputs": fields}))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, and so with a fingerprint of its own: pydantic would take the known one along."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("fingerprint", None)
        return copied

    def ref(self, name: str = "main") -> Ref:
        """A reference to one of this recipe's artifacts, for another recipe's inputs."""
        return Ref(stage=self.stage, fingerprint=self.fingerprint, name=name)

    def refs(self) -> tuple[Ref, ...]:
        """Every artifact this recipe is made from, in field order, once each."""
        return tuple(dict.fromkeys(_refs_in(self)))


def _hints_in(value: BaseModel) -> dict[Any, Any]:
    """What pydantic's `exclude` wants: the hints of a value, and of the values in its tuples."""
    hints: dict[Any, Any] = dict.fromkeys(getattr(type(value), "hints", ()), True)
    for name in type(value).model_fields:
        held = getattr(value, name)
        if name not in hints and isinstance(held, tuple):
            inside = {n: _hints_in(item) for n, item in enumerate(held) if isinstance(item, BaseModel)}
            hints |= {name: {n: some for n, some in inside.items() if some}} if any(inside.values()) else {}
    return hints


def _refs_in(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name not in getattr(type(value), "hints", ()):
                yield from _refs_in(getattr(value, name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _refs_in(item)
