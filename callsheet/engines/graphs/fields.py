"""What a node of a server takes, read from its entry in `/object_info`.

    fields(info["SaveVideo"], {"format": "mp4"})["format.codec"].choices    ("auto", "h264", "av1")

Inputs come in two notations, older lists and newer names of types; some have inputs of their own that depend on what
is chosen. Inputs that grow by need, of which we use none, are known but not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

COMBO = "COMBO"
_CHOICE_WITH_INPUTS = "COMFY_DYNAMICCOMBO_V3"
_GROWING = "COMFY_AUTOGROW_V3"


@dataclass(frozen=True)
class Field:
    """One input of a node."""

    kind: str
    """INT, FLOAT, STRING, BOOLEAN, COMBO, or the type of what has to be linked."""
    required: bool
    choices: tuple[Any, ...] = ()
    """Of a COMBO; may be empty."""
    low: float | None = None
    high: float | None = None
    step: int = 1
    """Of an INT: from `low` on, only each `step`th number means itself."""
    uploaded: bool = False
    """Whether it names a file that clients upload: its choices are then out of date at once."""


def fields(node: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Field]:
    """By name, as far as they exist with the values that are given. Raises ValueError for what is no such entry."""
    try:
        return dict(_fields(node["input"], given, "", True))
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"its inputs cannot be read: {error!r:.120}") from error


def grows(field: Field) -> bool:
    """Whether a client adds inputs called NAME.x to it by need."""
    return field.kind == _GROWING


def outputs(node: Mapping[str, Any]) -> tuple[str, ...]:
    """Types of what comes out."""
    return tuple(COMBO if isinstance(kind, list) else str(kind) for kind in node.get("output") or ())


def _fields(inputs: Mapping[str, Any], given: Mapping[str, Any], head: str, wanted: bool
            ) -> Iterator[tuple[str, Field]]:
    for group in ("required", "optional"):
        required = wanted and group == "required"
        for name, entry in inputs.get(group, {}).items():
            yield from _field(head + name, entry, given, required)


def _field(name: str, entry: list[Any], given: Mapping[str, Any], required: bool) -> Iterator[tuple[str, Field]]:
    kind, options = entry[0], entry[1] if len(entry) > 1 and isinstance(entry[1], Mapping) else {}
    if kind == _CHOICE_WITH_INPUTS:
        yield name, Field(COMBO, required, tuple(option["key"] for option in options["options"]))
        for option in options["options"]:
            if option["key"] == given.get(name):
                yield from _fields(option["inputs"], given, f"{name}.", required)
    elif isinstance(kind, list) or kind == COMBO:
        choices = kind if isinstance(kind, list) else options.get("options", ())
        uploaded = any(options.get(key) for key in ("image_upload", "file_upload", "video_upload", "audio_upload"))
        yield name, Field(COMBO, required, tuple(choices), uploaded=uploaded)
    else:
        step = options.get("step", 1) if kind == "INT" else 1
        yield name, Field(kind, required, low=options.get("min"), high=options.get("max"), step=int(step) or 1)
