"""Finding file names in a server's list: with or without suffix and folder, and what is near to one that is not there.

    find("ava", ("people/ava.safetensors", "eva.safetensors"))      ("people/ava.safetensors",)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePosixPath

SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
"""What files of models end in."""
_NEAR, _LIKENESS = 3, 0.6


def is_file(name: object) -> bool:
    """Whether a value is the name of a model's file."""
    return isinstance(name, str) and name.lower().endswith(SUFFIXES)


def find(name: str, choices: Iterable[str]) -> tuple[str, ...]:
    """Choices that mean `name`: itself, else those that are the same but for folder and suffix; more than one where
    several folders have it, none where it is not there."""
    there = tuple(choices)
    if name in there:
        return (name,)
    return tuple(each for each in there if _stem(each) == _stem(name)) or tuple(
        each for each in there if PurePosixPath(_stem(each)).name == _stem(name)
    )


def near(name: str, choices: Iterable[str]) -> tuple[str, ...]:
    """At most 3 choices that look like `name`, nearest first."""
    by_stem: dict[str, list[str]] = {}
    for each in choices:
        by_stem.setdefault(PurePosixPath(_stem(each)).name.lower(), []).append(each)
    stems = difflib.get_close_matches(PurePosixPath(_stem(name)).name.lower(), by_stem, _NEAR, _LIKENESS)
    return tuple(each for stem in stems for each in by_stem[stem])[:_NEAR]


def _stem(name: str) -> str:
    """Folders with /, without a model's suffix."""
    plain = name.replace("\\", "/")
    for suffix in SUFFIXES:
        if plain.lower().endswith(suffix):
            return plain[: -len(suffix)]
    return plain
