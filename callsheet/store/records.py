"""What was made: one log per recipe, and the right to make it.

A recipe's log lies at `{stage}/records/{fingerprint}/{n}.json`. Its entries are claims, results and failures;
each is put if absent as number n+1, so n is a fencing token: whoever lost the race, or whose lease ran out and
was taken over, cannot write his result. The newest result is the record. A record holds as long as its files
are there and its inputs are the ones it was made from; so a refreshed stage makes its followers stale, and
only if its bytes changed.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from callsheet.errors import NotInStore, StoreCorrupt
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.store.base import Artifact, Store
from callsheet.store.claims import Claimed, is_gone, log_of
from callsheet.store.entries import ENTRY, Claim, Entry, Failure, Record

__all__ = ["Claim", "Claimed", "Failure", "Record", "Records"]

LEASE_S = 60.0
PATIENCE_S = 600.0
"""How long a finished result waits for a store that fails."""


def _input_key(ref: Ref) -> str:
    return f"{ref.stage}/{ref.fingerprint}/{ref.name}"


class Records:
    """The logs of a store. Thread safe; every method asks the store anew."""

    def __init__(
        self,
        store: Store,
        checks: Mapping[Stage, Callable[[Record], str]] | None = None,
        clock: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.store = store
        self.checks = checks or {}
        """What else a stage's record needs to hold: empty, or the reason why it does not."""
        self.clock = clock
        self.lease_s = lease_s
        self.patience_s = patience_s

    # ---- reading

    def find(self, stage: Stage, fingerprint: str) -> Record | None:
        """The newest result, whether or not it still holds."""
        return next((e for _, e in self._newest_first(stage, fingerprint) if isinstance(e, Record)), None)

    def failure(self, recipe: Recipe) -> Failure | None:
        """How the last attempt failed; None when the newest entry is something else."""
        entry = next(self._newest_first(recipe.stage, recipe.fingerprint), (0, None))[1]
        return entry if isinstance(entry, Failure) else None

    def current(self, recipe: Recipe, since: datetime | None = None) -> Record | None:
        """The record that holds, at least as new as `since`; None when the recipe is to make."""
        record = self.find(recipe.stage, recipe.fingerprint)
        return None if record is None or self._stale(record, recipe, since) else record

    def why_to_make(self, recipe: Recipe, since: datetime | None = None) -> str:
        """Empty when it is made already, else the reason in a few words."""
        record = self.find(recipe.stage, recipe.fingerprint)
        return "new: nothing was made with these settings yet" if record is None else self._stale(record, recipe, since)

    def open(self, ref: Ref, folder: Path) -> Path:
        """Local path of an artifact's bytes, checked. Raises NotInStore, StoreCorrupt."""
        return self.store.fetch(self._artifact(ref), folder)

    def facts(self, ref: Ref) -> Mapping[str, Any]:
        """What is recorded about the record that `ref` points into. Raises NotInStore."""
        return self._record(ref).facts

    def made_at(self, ref: Ref) -> datetime:
        """When the record that `ref` points into was made. Raises NotInStore."""
        return self._record(ref).made_at

    def link(self, ref: Ref) -> str:
        """A URL for people."""
        return self.store.link(self._artifact(ref).key)

    def _record(self, ref: Ref) -> Record:
        record = self.find(ref.stage, ref.fingerprint)
        if record is None:
            raise NotInStore(key=_input_key(ref), url=self.store.url)
        return record

    def _artifact(self, ref: Ref) -> Artifact:
        record = self._record(ref)
        if ref.name not in record.artifacts:
            raise NotInStore(key=_input_key(ref), url=self.store.url)
        return record.artifacts[ref.name]

    def _stale(self, record: Record, recipe: Recipe, since: datetime | None) -> str:
        if since is not None and record.made_at < since:
            return "to be made anew, as asked"
        for name, artifact in record.artifacts.items():
            if self.store.size(artifact.key) != artifact.size:
                return f"its file {name} is gone"
        if record.inputs != self.inputs(recipe):
            return "an input was made anew"
        check = self.checks.get(record.stage)
        return check(record) if check else ""

    def inputs(self, recipe: Recipe) -> dict[str, str]:
        """`stage/fingerprint/name` of each input that is made -> digest of its newest bytes."""
        found = {}
        for ref in recipe.refs():
            record = self.find(ref.stage, ref.fingerprint)
            if record is not None and ref.name in record.artifacts:
                found[_input_key(ref)] = record.artifacts[ref.name].sha256
        return found

    def _newest_first(self, stage: Stage, fingerprint: str) -> Iterator[tuple[int, Entry]]:
        for key in reversed(self.store.names(log_of(stage, fingerprint))):
            try:
                yield int(key[-11:-5]), ENTRY.validate_python(json.loads(self.store.read(key)))
            except ValueError as error:
                raise StoreCorrupt(key=key, url=self.store.url, detail="not a readable entry") from error

    # ---- the right to make

    @contextmanager
    def claimed(
        self, recipe: Recipe, since: datetime | None = None, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[Claimed | Record]:
        """The right to make `recipe`, renewed until the block ends; or the record, if somebody else made it.

        Waits while somebody else holds the right, and calls `waiting` all the while, which may raise to end that. A
        holder on this machine whose process is gone is taken over at once, others when their lease has run out.
        """
        pause = 0.05
        while True:
            record = self.current(recipe, since)
            if record is not None:
                yield record
                return
            claim = self._try_claim(recipe)
            if claim is not None:
                break
            waiting()
            time.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 1.5, 2.0)
        with claim:
            yield claim

    def _try_claim(self, recipe: Recipe) -> Claimed | None:
        number, newest = next(self._newest_first(recipe.stage, recipe.fingerprint), (0, None))
        if isinstance(newest, Claim) and newest.until > self.clock() and not is_gone(newest.owner):
            return None
        claim = Claimed(self, recipe, number)
        return claim if claim.append(claim.lease()) else None
