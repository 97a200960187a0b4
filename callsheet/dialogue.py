"""Dialogue as it is written, `[S1] Temo: Hello! [S2] Felfel: Hi.`, as lines with speakers.

A name label after a tag picks the character and is not spoken; without one S1 is the first of the cast, S2 the
second. Text without tags is spoken by the first. Knows nothing of files, voices or times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from callsheet.errors import DialogueInvalid
from callsheet.models import Actor, Line
from callsheet.words import meant

_TAG = re.compile(r"\[\s*[sS]([0-9]{1,2})\s*\]")
_LABEL = re.compile(r"\s*(\w[\w .'’-]{0,63}?)\s*:(\s*)")
_LABEL_WORDS = 3
"""More words than this before a colon are speech."""

MAX_LINE = 1000


def find_actor(word: str, cast: Sequence[Actor]) -> Actor | None:
    """Who is meant by a tag's number (S2), an id or a display name, in any case.

    Raises DialogueInvalid for a name that several of the cast share.
    """
    wanted = " ".join(word.split()).casefold()
    tag = re.fullmatch(r"s([1-9][0-9]?)", wanted)
    by_id = [actor for actor in cast if actor.id == wanted]
    found = by_id or [actor for actor in cast if " ".join(actor.name.split()).casefold() == wanted != ""]
    if len(found) > 1:
        ids = ", ".join(actor.id for actor in found)
        raise DialogueInvalid(detail=f"{word} is the name of {ids}", advice="write the id instead of the name")
    if not found and tag and int(tag[1]) <= len(cast):
        return cast[int(tag[1]) - 1]
    return found[0] if found else None


def parse_dialogue(text: str, cast: Sequence[Actor]) -> tuple[Line, ...]:
    """The spoken lines of a text, in order. `cast` has at least one actor; S1 is the first.

    A tag that was labelled keeps its speaker until it is labelled anew. An unknown label after a tag is refused,
    so that a misspelt name is never read aloud. Raises DialogueInvalid.
    """
    lines: list[Line] = []
    voices: dict[int, Actor] = {}
    for number, said in _pieces(text):
        actor, spoken = _speaker(number, said, cast, voices)
        if not spoken:
            raise DialogueInvalid(detail=f"{actor.display_name} says nothing after [S{number}]",
                                  advice="write what is said, or remove the tag")
        if len(spoken) > MAX_LINE:
            raise DialogueInvalid(detail=f"a line of {actor.display_name} has over {MAX_LINE} characters",
                                  advice="split it into several lines")
        lines.append(Line(speaker=actor.id, text=spoken))
    return tuple(lines)


def _pieces(text: str) -> list[tuple[int, str]]:
    """Number of the tag (0 before the first one) and the text after it."""
    parts = _TAG.split(text)
    if any(int(number) == 0 for number in parts[1::2]):
        raise DialogueInvalid(detail="[S0] is no speaker", advice="count from [S1]")
    before = [(0, parts[0])] if parts[0].strip() else []
    return before + [(int(number), said) for number, said in zip(parts[1::2], parts[2::2], strict=True)]


def _speaker(number: int, said: str, cast: Sequence[Actor], voices: dict[int, Actor]) -> tuple[Actor, str]:
    label = _LABEL.match(said)
    if label:
        named = find_actor(label[1], cast)
        if named:
            voices[number] = named
            return named, _spoken(said[label.end():])
        if number and label[2] and len(label[1].split()) <= _LABEL_WORDS:
            _refuse_label(label[1], cast)
    return voices.get(number) or _numbered(number, cast), _spoken(said)


def _spoken(text: str) -> str:
    return " ".join(text.split())


def _numbered(number: int, cast: Sequence[Actor]) -> Actor:
    if not number:
        return cast[0]
    if number > len(cast):
        raise DialogueInvalid(detail=f"[S{number}] speaks, but the cast is {_listed(cast)}",
                              advice=f"use [S1] to [S{len(cast)}], or add an actor to the cast")
    return cast[number - 1]


def _refuse_label(label: str, cast: Sequence[Actor]) -> None:
    names = [name.lower() for actor in cast for name in (actor.id, actor.name) if name]
    advice = meant(label, names, f"name one of them; to have {label!r} spoken, put a name of the cast before it")
    raise DialogueInvalid(detail=f"{label!r} speaks, but the cast is {_listed(cast)}", advice=advice)


def _listed(cast: Sequence[Actor]) -> str:
    return ", ".join(actor.id if actor.name in ("", actor.id) else f"{actor.name} ({actor.id})" for actor in cast)
