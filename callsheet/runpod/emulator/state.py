"""The emulator's memory: rows in SQLite, written through at each `save`, so that a killed emulator finds them again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from callsheet.runpod.emulator.privacy import close_file, close_folder
from callsheet.runpod.emulator.rows import Endpoint, Job, Life, Pod, Row, Template, Volume, Worker

R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """All rows of one kind, in the order they were first saved."""

    def __init__(self, database: sqlite3.Connection, of: type[R]) -> None:
        self._database, self._of = database, of
        found = database.execute("SELECT body FROM rows WHERE kind = ? ORDER BY number", (of.kind,))
        self._rows = {row.id: row for row in (of.model_validate_json(body) for (body,) in found)}

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, id_: str) -> R | None:
        return self._rows.get(id_)

    def save(self, row: R) -> R:
        """Keep it as it is now."""
        self._rows[row.id] = row
        self._database.execute(
            "INSERT INTO rows(kind, id, body) VALUES (?, ?, ?) "
            "ON CONFLICT(kind, id) DO UPDATE SET body = excluded.body",
            (self._of.kind, row.id, row.model_dump_json()),
        )
        return row

    def drop(self, id_: str) -> None:
        self._rows.pop(id_, None)
        self._database.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (self._of.kind, id_))


class State:
    """The tables, and single facts by name."""

    def __init__(self, path: Path) -> None:
        close_folder(path.parent)
        close_file(path)
        for beside in path.parent.glob(f"{path.name}-*"):          # new ones get the database's own mode
            beside.chmod(0o600)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")        # a killed process loses nothing; a power cut may
        self._database.execute("CREATE TABLE IF NOT EXISTS rows("
                               "number INTEGER PRIMARY KEY, kind TEXT, id TEXT, body TEXT, UNIQUE(kind, id))")
        self._database.execute("CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value TEXT)")
        self.jobs = Table(self._database, Job)
        self.workers = Table(self._database, Worker)
        self.endpoints = Table(self._database, Endpoint)
        self.pods = Table(self._database, Pod)
        self.templates = Table(self._database, Template)
        self.volumes = Table(self._database, Volume)
        self.lives = Table(self._database, Life)

    def fact(self, name: str) -> str | None:
        found = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def note(self, name: str, value: str) -> None:
        self._database.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
                               (name, value))

    def close(self) -> None:
        self._database.close()
