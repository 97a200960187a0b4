"""The right to make one recipe: a lease that is renewed, and what is written when the work ends."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from callsheet.errors import Fenced, StoreError, as_ours
from callsheet.recipe import Recipe, Stage
from callsheet.store.base import Artifact, Outcome, Store, media_type_of, sha256_of
from callsheet.store.entries import Claim, Entry, Failure, Record
from callsheet.store.numbered import NumberedLog

if TYPE_CHECKING:
    from callsheet.store.records import Records

T = TypeVar("T")


class Claimed:
    """The right to make one recipe. Publish or fail exactly once."""

    def __init__(self, records: Records, recipe: Recipe, number: int) -> None:
        self.records = records
        self.recipe = recipe
        self.owner = new_owner()
        self.inputs = records.inputs(recipe)
        """As they are when the work begins: one that is made anew meanwhile makes this result stale."""
        self._number = number
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._lost = False
        self._until = self.lease().until
        self._started = time.monotonic()
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Claimed:
        self._renewer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and not self._done.is_set():
            self.fail(error)
        self._done.set()

    def lease(self) -> Claim:
        return Claim(owner=self.owner, until=self.records.clock() + self.records.lease_s)

    def check(self) -> None:
        """Raises Fenced when the lease is over: somebody else may be making it by now, so our work is in vain."""
        if self._lost or self.records.clock() > self._until:
            raise Fenced(key=self._key)

    def append(self, entry: Entry) -> bool:
        """Write the next entry of the log; False when somebody else's is there. Raises StoreError."""
        with self._lock:
            data = entry.model_dump_json(indent=1).encode()
            log = NumberedLog(self.records.store, log_of(self.recipe.stage, self.recipe.fingerprint))
            while not log.put(self._number + 1, data):
                if not self._is_our_lease(log.read(self._number + 1)):
                    self._lost = True
                    return False
                self._number += 1                     # a renewal whose answer was lost
            self._number += 1
            if isinstance(entry, Claim):
                self._until = entry.until
            return True

    def _is_our_lease(self, data: bytes) -> bool:
        there = json.loads(data)
        return isinstance(there, dict) and (there.get("kind"), there.get("owner")) == ("claim", self.owner)

    @property
    def _key(self) -> str:
        return f"{self.recipe.stage}/{self.recipe.fingerprint}"

    def publish(self, outcome: Outcome) -> Record:
        """File the outcome under the recipe: files first, then the record.

        A store that fails is asked again while the claim is renewed: what was made is too dear to lose.
        Raises Fenced, StoreError after a long outage.
        """
        stage = self.recipe.stage
        artifacts = {
            name: self._surely(lambda path=path: _put_file(self.records.store, stage, path))  # type: ignore[misc]
            for name, path in outcome.files.items()
        }
        record = Record(
            stage=stage,
            fingerprint=self.recipe.fingerprint,
            recipe=self.recipe.model_dump(mode="json"),
            artifacts=artifacts,
            facts=dict(outcome.facts),
            inputs=self.inputs,
            made_by=outcome.made_by,
            warnings=outcome.warnings,
            seconds=round(time.monotonic() - self._started, 3),
            made_at=datetime.fromtimestamp(self.records.clock(), UTC),
            owner=self.owner,
        )
        written = self._surely(lambda: self.append(record))
        self._done.set()
        if not written:
            raise Fenced(key=self._key)
        return record

    def fail(self, error: BaseException) -> None:
        """Write down why there is no result, which releases the claim; if even that fails, the lease runs out."""
        self._done.set()
        ours = as_ours(error)
        at = datetime.fromtimestamp(self.records.clock(), UTC)
        with contextlib.suppress(StoreError):
            self.append(Failure(
                owner=self.owner, at=at, code=ours.code, message=ours.what, remedy=ours.fix, retryable=ours.retryable,
            ))

    def _surely(self, write: Callable[[], T]) -> T:
        pause, end = 0.1, time.monotonic() + self.records.patience_s
        while True:
            try:
                return write()
            except StoreError as error:
                if not error.retryable or time.monotonic() > end:
                    raise
            time.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, 10.0)

    def _renew(self) -> None:
        wait = self.records.lease_s / 3
        while not self._done.wait(wait):
            try:
                if not self.append(self.lease()):
                    return                            # fenced: publish will find out
                wait = self.records.lease_s / 3
            except StoreError:
                wait = self.records.lease_s / 20      # the lease still holds for a while: ask again soon


def log_of(stage: Stage, fingerprint: str) -> str:
    """Where a recipe's log lies."""
    return f"{stage}/records/{fingerprint}/"


def _put_file(store: Store, stage: Stage, path: Path) -> Artifact:
    sha256 = sha256_of(path)
    artifact = Artifact(
        key=f"{stage}/files/{sha256}{path.suffix}",
        sha256=sha256,
        size=path.stat().st_size,
        media_type=media_type_of(path.name),
    )
    store.put_if_absent(artifact.key, path)
    return artifact


def new_owner() -> str:
    """Names this claim: machine, process, the process's start, and a number of its own."""
    return f"{socket.gethostname()}/{os.getpid()}/{_process_start(os.getpid())}/{uuid.uuid4().hex[:12]}"


def is_gone(owner: str) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    host, pid, start, _ = owner.split("/")
    return host == socket.gethostname() and _process_start(int(pid)) != start


def _process_start(pid: int) -> str:
    """Start time of a process in clock ticks since boot, empty when there is none. Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
