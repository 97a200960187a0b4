"""What was made: one log per recipe, and the right to make it.

A recipe's log lies at `{stage}/records/{fingerprint}/{n}.json`. Its entries are claims, results and failures;
each is put if absent as number n+1, so n is a fencing token: whoever lost the race, or whose lease ran out and
was taken over, cannot write his result. The newest result is the record. A record holds as long as its files
are there and its inputs are the ones it was made from; so a refreshed stage makes its followers stale, and
only if its bytes changed.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from callsheet.errors import CallsheetError, Fenced, NotInStore, StoreCorrupt
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.store.base import Artifact, Outcome, Store, media_type_of, sha256_of
from callsheet.units import Frozen, Sha256

SCHEMA = 1
"""Version of the entries below. A later release reads every earlier one."""

LEASE_S = 60.0


class Claim(Frozen):
    """Somebody is making it until `until`, in seconds since the epoch."""

    kind: Literal["claim"] = "claim"
    schema_version: int = SCHEMA
    owner: str
    until: float


class Failure(Frozen):
    """An attempt ended without a result; the claim before it is released."""

    kind: Literal["failure"] = "failure"
    schema_version: int = SCHEMA
    owner: str
    at: datetime
    code: str
    message: str
    remedy: str
    retryable: bool


class Record(Frozen):
    """A result: files, what is known about them, and what they were made from and by."""

    kind: Literal["record"] = "record"
    schema_version: int = SCHEMA
    stage: Stage
    fingerprint: Sha256
    recipe: dict[str, Any]
    artifacts: dict[str, Artifact]
    facts: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, Sha256] = Field(default_factory=dict)
    """`stage/fingerprint/name` of each input -> digest of the bytes it had."""
    made_by: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    made_at: datetime
    owner: str = ""

    def artifact(self, name: str = "main") -> Artifact:
        return self.artifacts[name]


Entry = Annotated[Claim | Failure | Record, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Claim | Failure | Record] = TypeAdapter(Entry)


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
    ) -> None:
        self.store = store
        self.checks = checks or {}
        """What else a stage's record needs to hold: empty, or the reason why it does not."""
        self.clock = clock
        self.lease_s = lease_s

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
        return "never made" if record is None else self._stale(record, recipe, since)

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

    def _newest_first(self, stage: Stage, fingerprint: str) -> Iterator[tuple[int, Claim | Failure | Record]]:
        for key in reversed(self.store.names(_prefix(stage, fingerprint))):
            try:
                yield int(key[-11:-5]), _ENTRY.validate_python(json.loads(self.store.read(key)))
            except ValueError as error:
                raise StoreCorrupt(key=key, url=self.store.url, detail="not a readable entry") from error

    # ---- the right to make

    @contextmanager
    def claimed(self, recipe: Recipe, since: datetime | None = None) -> Iterator[Claimed | Record]:
        """The right to make `recipe`, renewed until the block ends; or the record, if somebody else made it.

        Waits while somebody else holds the right. A holder on this machine whose process is gone is taken
        over at once, others when their lease has run out.
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
            time.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 1.5, 2.0)
        with claim:
            yield claim

    def _try_claim(self, recipe: Recipe) -> Claimed | None:
        number, newest = next(self._newest_first(recipe.stage, recipe.fingerprint), (0, None))
        if isinstance(newest, Claim) and newest.until > self.clock() and not _gone(newest.owner):
            return None
        claim = Claimed(self, recipe, number)
        return claim if claim.append(claim.lease()) else None


class Claimed:
    """The right to make one recipe. Publish or fail exactly once."""

    def __init__(self, records: Records, recipe: Recipe, number: int) -> None:
        self.records = records
        self.recipe = recipe
        self.owner = _owner()
        self.inputs = records.inputs(recipe)
        """As they are when the work begins: one that is made anew meanwhile makes this result stale."""
        self._number = number
        self._lock = threading.Lock()
        self._done = threading.Event()
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

    def append(self, entry: Claim | Failure | Record) -> bool:
        """Write the next entry of the log; False when somebody else's is there."""
        with self._lock:
            key = f"{_prefix(self.recipe.stage, self.recipe.fingerprint)}{self._number + 1:06d}.json"
            text = entry.model_dump_json(indent=1)
            if not self.records.store.put_if_absent(key, text.encode()):
                return False
            self._number += 1
            return True

    def publish(self, outcome: Outcome) -> Record:
        """File the outcome under the recipe: files first, then the record. Raises Fenced."""
        stage = self.recipe.stage
        artifacts = {name: _put_file(self.records.store, stage, path) for name, path in outcome.files.items()}
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
        self._done.set()
        if not self.append(record):
            raise Fenced(key=f"{stage}/{self.recipe.fingerprint}")
        return record

    def fail(self, error: BaseException) -> None:
        """Write down why there is no result, which releases the claim."""
        self._done.set()
        known = error if isinstance(error, CallsheetError) else CallsheetError(detail=repr(error))
        at = datetime.fromtimestamp(self.records.clock(), UTC)
        self.append(Failure(
            owner=self.owner, at=at, code=known.code, message=known.what, remedy=known.fix, retryable=known.retryable,
        ))

    def _renew(self) -> None:
        while not self._done.wait(self.records.lease_s / 3):
            if not self.append(self.lease()):
                return                                # fenced: publish will find out


def _prefix(stage: Stage, fingerprint: str) -> str:
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


def _owner() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{_process_start(os.getpid())}/{uuid.uuid4().hex[:12]}"


def _gone(owner: str) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    host, pid, start, _ = owner.split("/")
    return host == socket.gethostname() and _process_start(int(pid)) != start


def _process_start(pid: int) -> str:
    """Start time of a process in clock ticks since boot, empty when there is none. Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
