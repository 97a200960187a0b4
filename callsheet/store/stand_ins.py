"""What stands in for what: one log for each recipe that was asked and failed, the same for every run and machine.

A log lies at `{stage}/instead/{fingerprint}/{n}.json`, by the fingerprint of what was asked; its n-th entry is the
n-th thing that was tried in its place, put if absent. Nothing in it is a result: what was made has its own recipe and
its own record. Which entries a run follows is tasks/fallback.py's matter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from callsheet.errors import StoreCorrupt
from callsheet.recipe import Stage
from callsheet.recipes import Instead
from callsheet.store.base import Store
from callsheet.store.numbered import NumberedLog
from callsheet.units import Frozen


class StandIn(Frozen):
    """One thing that was tried in place of another."""

    schema_version: int = 1
    at: datetime
    instead: Instead


class StandIns:
    """The logs of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def known(self, stages: Sequence[Stage]) -> frozenset[str]:
        """Fingerprints of everything asked of these stages for which something stood in at any time."""
        return frozenset(
            key.removeprefix(_folder(stage)).partition("/")[0]
            for stage in stages for key in self.store.names(_folder(stage))
        )

    def log(self, stage: Stage, fingerprint: str) -> tuple[StandIn, ...]:
        """Everything that was tried in its place, the latest last. Raises StoreCorrupt."""
        log = self._log(stage, fingerprint)
        return tuple(self._read(log, number) for number in range(1, log.newest() + 1))

    def add(self, stage: Stage, fingerprint: str, entry: StandIn, number: int) -> StandIn:
        """Write entry `number`, counted from 1; the entry that is there now, which may be another run's."""
        log = self._log(stage, fingerprint)
        if log.put(number, entry.model_dump_json(indent=1).encode()):
            return entry
        return self._read(log, number)

    def _log(self, stage: Stage, fingerprint: str) -> NumberedLog:
        return NumberedLog(self.store, f"{_folder(stage)}{fingerprint}/")

    def _read(self, log: NumberedLog, number: int) -> StandIn:
        try:
            return StandIn.model_validate(json.loads(log.read(number)))
        except ValueError as error:
            raise StoreCorrupt(key=log.key(number), url=self.store.url, detail="not a readable entry") from error


def _folder(stage: Stage) -> str:
    return f"{stage}/instead/"
