"""Set one key in the mappings of a YAML list, and leave every other character, comment and quote as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from callsheet.textdata import yaml_tree


@dataclass
class _Pair:
    """A key of a row and where its value stands, as indices into the text."""

    key_start: int
    column: int
    start: int = 0
    end: int = 0
    block: bool = False


@dataclass
class _RowPlace:
    flow: bool
    pairs: dict[str, _Pair] = field(default_factory=dict)


def set_in_rows(text: str, key: str, value_for: Callable[[Mapping[str, str]], str | None]) -> str:
    """The text with `key` set in each row for which `value_for` answers a value.

    `text` is a list of mappings that yaml_tree accepts; the caller compares the trees before and after.
    """
    rows = [row for row in yaml_tree(text) if isinstance(row, dict)]
    edits = []
    for row, place in zip(rows, _places(text), strict=True):
        value = value_for(row)
        if value is not None and row.get(key) != value:
            edits.append(_edit(text, place, key, value))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _edit(text: str, place: _RowPlace, key: str, value: str) -> tuple[int, int, str]:
    quoted = json.dumps(value, ensure_ascii=False)     # a JSON string is a YAML string
    pair = place.pairs.get(key)
    if pair:
        gap = "" if text[pair.start - 1 : pair.start].isspace() else " "
        return pair.start, pair.end, f"{gap}{quoted}" + ("\n" if pair.block else "")
    pairs = list(place.pairs.values())
    before = pairs[min(1, len(pairs) - 1)]             # after the id, which mostly comes first
    end = ", " if place.flow else "\n" + " " * before.column
    return before.key_start, before.key_start, f"{key}: {quoted}{end}"


def _places(text: str) -> list[_RowPlace]:
    import yaml

    rows: list[_RowPlace] = []
    depth, key = 0, ""
    event: Any
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        kind = type(event).__name__
        opens, closes = kind.endswith(("MappingStartEvent", "SequenceStartEvent")), kind.endswith(
            ("MappingEndEvent", "SequenceEndEvent"))
        depth -= closes
        if depth == 1 and kind == "MappingStartEvent":
            rows.append(_RowPlace(bool(event.flow_style)))
        elif depth == 2 and (kind == "ScalarEvent" or opens or closes):
            key = _place(rows[-1], key, event, opens, closes)
        depth += opens
    return rows


def _place(row: _RowPlace, key: str, event: Any, opens: bool, closes: bool) -> str:
    """Note a key or the value of `key`; returns the key that still waits for its value."""
    if not key:
        row.pairs[event.value] = _Pair(event.start_mark.index, event.start_mark.column)
        return str(event.value)
    pair = row.pairs[key]
    if not closes:
        pair.start = event.start_mark.index
    pair.end = event.end_mark.index
    pair.block = getattr(event, "style", None) in ("|", ">")
    return key if opens else ""
