"""Actor manifests: every row checked before anything starts, then one order an actor.

Covers rows against each other (ids, casts, job ids) and the list of every problem. Cells are read by
manifest_columns.py, files by manifest_table.py, orders made by orders.py; manifest_write.py writes results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callsheet.errors import InputError, ManifestInvalid, Problem
from callsheet.manifest_columns import COLUMNS, Mistake, position, read_cells
from callsheet.manifest_table import Table, read_table
from callsheet.manifest_write import check_writable, results_csv, write_back, write_results
from callsheet.models import Actor, Order
from callsheet.orders import MAX_CAST, ActorWords, Disk, Reader
from callsheet.words import meant

SHOWN = 20
"""Ids that a message lists."""

__all__ = ["Manifest", "Row", "check_writable", "read_manifest", "results_csv", "write_back", "write_results"]


@dataclass(frozen=True)
class Row:
    """One actor of a manifest: an order, or why it waits."""

    number: int
    """As an editor shows it: the line in a CSV file, else the position counted from 1."""
    actor_id: str
    order: Order | None
    waiting: str
    """Why the actor is taken another time; empty when there is an order."""


@dataclass(frozen=True)
class Manifest:
    """A manifest without a mistake."""

    path: Path
    rows: tuple[Row, ...]

    @property
    def orders(self) -> tuple[Order, ...]:
        """Of the rows that do not wait, in the file's order."""
        return tuple(row.order for row in self.rows if row.order is not None)

    @property
    def waiting(self) -> tuple[Row, ...]:
        """Rows whose training, or whose partner's, has not finished."""
        return tuple(row for row in self.rows if row.order is None)

    def row(self, actor_id: str) -> Row | None:
        """The row of an actor, None when it is not in the manifest."""
        return next((row for row in self.rows if row.actor_id == actor_id), None)

    def taken(self, only: Sequence[str]) -> tuple[Row, ...]:
        """The rows of these actors, in the file's order; all of them when `only` is empty.

        Raises InputError for an id without a row.
        """
        ids = [row.actor_id for row in self.rows]
        unknown = sorted(set(only) - set(ids))
        if unknown:
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            raise InputError(detail=f"{self.path} has no actor {', '.join(unknown)}",
                             remedy=f"choose of {', '.join(ids[:SHOWN])}{more}")
        return tuple(row for row in self.rows if not only or row.actor_id in only)


def read_manifest(path: Path, trained: Mapping[str, str] | None = None) -> Manifest:
    """Read and check a whole manifest.

    `trained` tells of actors whose training has just finished, id -> LoRA file (empty: the row's own): for them
    this beats the row's status and LoRA. Raises FileMissing, FileUnreadable, or ManifestInvalid with every problem of
    the file and of the scripts it names, in the file's order.
    """
    table = read_table(path)
    if "id" not in table.frame.columns:
        missing = Problem(str(path), "column id", "", "is missing", "add a column id with each actor's id")
        raise ManifestInvalid([*(problem for _, problem in table.problems), missing])
    return _Reading(path, table, trained or {}).manifest()


class _Draft:
    """A row while it is read."""

    def __init__(self, number: int, reader: Reader) -> None:
        self.number, self.reader = number, reader
        self.words: ActorWords = reader.actor()

    @property
    def id(self) -> str:
        return self.words.actor.id

    @property
    def named(self) -> bool:
        return "id" in self.reader.values


class _Reading:
    """One pass over a manifest, collecting problems."""

    def __init__(self, path: Path, table: Table, trained: Mapping[str, str]) -> None:
        self.path, self.table, self.trained = path, table, trained
        self.disk = Disk()
        self.drafts: list[_Draft] = []
        self.by_id: dict[str, _Draft] = {}

    def manifest(self) -> Manifest:
        names = list(self.table.frame.columns)
        texts = self.table.frame.to_numpy().tolist()
        for number, cells in zip(self.table.numbers, texts, strict=True):
            self._draft(number, dict(zip(names, cells, strict=True)))
        self._unique_jobs()
        rows = [self._row(draft) for draft in self.drafts]
        problems = self._problems()
        if problems:
            raise ManifestInvalid(problems)
        return Manifest(self.path, tuple(rows))

    def _draft(self, number: int, cells: Mapping[str, str]) -> None:
        again = self._id_again(cells.get("id", ""))
        values, mistakes = read_cells({**cells, "id": ""} if again else cells)
        if again:
            mistakes.append(again)
        elif not cells.get("id", "").strip():
            mistakes.append(Mistake("id", "is missing", "write the actor's id"))
        finished = self.trained.get(values.get("id", ""))
        if finished is not None:
            told, wrong = read_cells({"lora": finished, "status": "trained"})
            values |= told
            mistakes += wrong
        draft = _Draft(number, Reader(values, mistakes, self.path.parent, self.disk))
        self.drafts.append(draft)
        if not again:
            self.by_id[_folded(cells.get("id", ""))] = draft

    def _id_again(self, text: str) -> Mistake | None:
        """Two ids that differ by case or space alone would meet in one folder or one mind."""
        first = self.by_id.get(_folded(text)) if text.strip() else None
        if first is None:
            return None
        message = f"is the id of row {first.number} too (case and spaces aside)"
        return Mistake("id", message, "give each actor an id of its own", text)

    def _unique_jobs(self) -> None:
        first: dict[str, int] = {}
        for draft in self.drafts:
            job = draft.reader.values.get("job_id")
            if job and first.setdefault(job, draft.number) != draft.number:
                draft.reader.tell("job_id", f"is the job_id of row {first[job]} too",
                                  "give each film its own, or leave it empty", job)

    def _row(self, draft: _Draft) -> Row:
        cast = [draft.words.actor]
        waiting = draft.words.waiting
        for who in draft.reader.values.get("with", ()):
            partner = self._partner(draft, who, cast)
            if partner:
                cast.append(partner.words.actor)
                waiting = waiting or (f"{who} is in its cast: {partner.words.waiting}" if partner.words.waiting else "")
        order = draft.reader.order(cast)
        return Row(draft.number, draft.id, None if waiting else order, waiting)

    def _partner(self, draft: _Draft, who: str, cast: list[Actor]) -> _Draft | None:
        partner = self.by_id.get(who)
        if partner is None or not partner.named:
            ids = [name for name in self.by_id if name != draft.id]
            draft.reader.tell("with", "names nobody of this manifest", meant(who, ids, "write the id of another row"),
                              who)
            return None
        if partner.words.actor in cast:
            draft.reader.tell("with", "is in the cast already", "name each actor once", who)
            return None
        if len(cast) == MAX_CAST:
            draft.reader.tell("with", f"makes a cast of over {MAX_CAST}", "name fewer actors", who)
            return None
        return partner

    def _problems(self) -> list[Problem]:
        """All of them in the file's order, each once: many rows may name one script."""
        found = [(number, -1, problem) for number, problem in self.table.problems]
        for draft in self.drafts:
            for mistake in draft.reader.mistakes:
                where = f"row {draft.number}, column {mistake.column}"
                problem = Problem(str(self.path), where, mistake.value, mistake.message, mistake.remedy)
                found.append((draft.number, position(mistake.column), problem))
            found += [(draft.number, len(COLUMNS), problem) for problem in draft.reader.problems]
        return list(dict.fromkeys(problem for *_, problem in sorted(found, key=lambda entry: entry[:2])))


def _folded(text: Any) -> str:
    return "".join(str(text).split()).casefold()
