"""The check of a manifest: its rows, and the LoRA of every row that is ready. Only headers of LoRAs are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from callsheet.doors.finding import Finding, Level, Site
from callsheet.errors import CallsheetError, ManifestInvalid
from callsheet.manifest import Manifest, read_manifest
from callsheet.models import Actor, Family

SHOWN = 5
"""Mistakes that are listed one by one."""


def manifest(site: Site) -> Finding:
    """Rows that are ready or wait, and the family of each LoRA. Those in S3 are counted, not fetched."""
    assert site.manifest is not None
    try:
        book = read_manifest(site.manifest)
    except ManifestInvalid as error:
        return Finding("manifest", Level.PROBLEM, "\n".join([error.what, *_some([str(p) for p in error.problems])]),
                       "correct the file: nothing of it runs while it has a mistake")
    said, wrong = _loras(book)
    found = f"{len(book.orders)} ready and {len(book.waiting)} waiting in {book.path}; LoRAs: {said or 'none'}"
    if not wrong:
        return Finding("manifest", Level.OK, found)
    lines = sorted({error.what for error in wrong})
    return Finding("manifest", Level.PROBLEM, "\n".join([found, *_some(lines)]), wrong[0].fix)


def _loras(book: Manifest) -> tuple[str, list[CallsheetError]]:
    """How many of each family in words, and what is wrong with the others."""
    actors = {(actor.lora.path, actor.base_model): actor for order in book.orders for actor in order.cast}
    families: Counter[str] = Counter()
    wrong: list[CallsheetError] = []
    for actor in actors.values():
        try:
            families["in S3" if actor.lora.path.startswith("s3://") else _family(actor)] += 1
        except CallsheetError as error:
            wrong.append(error)
    said = [f"{count} {family}" for family, count in sorted(families.items())]
    return ", ".join([*said, *[f"{len(wrong)} wrong"] * bool(wrong)]), wrong


def _family(actor: Actor) -> Family:
    from callsheet.lora.inspect import find_lora, inspect, require_family

    path = Path(actor.lora.path)
    facts = inspect(find_lora(path.name, [path.parent]))
    if actor.base_model is not None:
        require_family(facts, actor.base_model, path.name)
    return facts.family


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
