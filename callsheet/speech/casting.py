"""Which of an engine's voices an actor gets when the manifest names none.

An actor id of the form `0001_european_20_female` says gender and age. Pools keep a cast apart: a voice
belongs to one position only, so whoever else is in the cast, two actors never sound the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from callsheet.errors import EngineUnable

ADULT = 18

_GENDER = re.compile(r"(?:^|[_-])(?:(\d{1,3})[_-])?(female|male)(?=[_-]|$)")


@dataclass(frozen=True)
class Traits:
    """What an actor id tells about a voice."""

    gender: Literal["female", "male"] | None = None
    age: int | None = None
    """In years."""

    @property
    def child(self) -> bool:
        return self.age is not None and self.age < ADULT


def traits(actor_id: str) -> Traits:
    """Gender and age in an id, each None where the id does not say."""
    found = _GENDER.search(actor_id)
    if not found:
        return Traits()
    age, gender = found.groups()
    return Traits("female" if gender == "female" else "male", int(age) if age else None)


@dataclass(frozen=True)
class Pools:
    """Voices by position in the cast. No voice is in two places."""

    female: Sequence[str]
    male: Sequence[str]
    young: Sequence[str]
    """For actors below 18 of either gender; an engine without such voices gives its adult ones."""

    def voice(self, engine: str, position: int, actor_id: str) -> str:
        """The voice of one actor. Raises EngineUnable when the cast is larger than the pools."""
        who = traits(actor_id)
        gender = who.gender or ("female", "male")[position % 2]
        pool = self.female if gender == "female" else self.male
        if who.child and self.young:
            pool = self.young
        if not 0 <= position < len(pool):
            raise EngineUnable(
                engine=engine, what=f"a voice for {actor_id}",
                detail=f"it tells {len(pool)} voices apart and this is number {position + 1} of the cast",
                remedy="give this actor a voice by name, or make the cast smaller",
            )
        return pool[position]
