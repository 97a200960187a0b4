"""What a job's request names, brought here: files fetched and taken into the store, LoRAs looked up by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from callsheet import download
from callsheet.jobs.base import Request
from callsheet.jobs.inputs import Inputs
from callsheet.lora.inspect import find_lora
from callsheet.models import SourceFile
from callsheet.store.base import private_folder, sha256_of
from tasks import policy
from tasks.direct import is_direct, side_by_side
from tasks.intake import intake
from tasks.run import current

AnyJob = TypeVar("AnyJob", bound=Request)

_KEPT = "inbox:"


@dataclass(frozen=True)
class Inbox:
    """Where a request's files lie while its job runs."""

    folder: Path
    local: bool
    """Whether the request may name files of this machine: only one that was given here, by hand."""

    def keep(self, request: AnyJob) -> AnyJob:
        """The request with the bytes in it put aside: a flow's parameters are stored, and must be small."""
        aside = {}
        for n, (path, text) in enumerate(request.sources().items()):
            if self.local and download.existing(text) is not None:
                continue
            if (data := download.inline_bytes(text, f"input.{path}")) is not None:
                (self.folder / f"kept{n}").write_bytes(data)
                aside[path] = f"{_KEPT}kept{n}"
        return request.with_sources(aside) if aside else request

    def kept(self, text: str) -> Path | None:
        """The file that a text of `keep` stands for; a text that only looks like one stands for nothing."""
        name = text.removeprefix(_KEPT)
        known = text.startswith(_KEPT) and name.removeprefix("kept").isdecimal()
        return path if known and (path := self.folder / name).is_file() else None


_INBOX: ContextVar[Inbox | None] = ContextVar("callsheet_inbox", default=None)


@contextmanager
def inbox(local: bool = False) -> Iterator[Inbox]:
    """A folder for the files of one request. Whoever has no own gets one in which local files are refused."""
    open_now = _INBOX.get()
    if open_now is not None:
        yield open_now
        return
    with private_folder() as folder:
        token = _INBOX.set(Inbox(folder, local))
        try:
            yield Inbox(folder, local)
        finally:
            _INBOX.reset(token)


@task(
    name="fetch",
    task_run_name="fetch: {field}",
    tags=[policy.network.kind],
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=policy.network.retries,
    retry_delay_seconds=list(policy.network.pauses_s),
    retry_jitter_factor=policy.network.jitter,
    retry_condition_fn=policy.worth_retrying,
)
def fetch(field: str, source: str, box: Inbox) -> SourceFile:
    """Bring one file here. Raises AddressRefused, DownloadFailed, FileMissing, RequestInvalid."""
    path = box.kept(source) or download.fetch(
        source, box.folder, f"input.{field}", local=box.local, allowed=current().settings.allowed_hosts
    )
    return SourceFile(path=str(path), sha256=sha256_of(path))


def taken_in(request: Request) -> Inputs:
    """Every file of the request: fetched, checked and in the store. Call it inside an inbox."""
    box = _INBOX.get()
    assert box is not None, "no inbox is open"
    inputs = Inputs(_fetched(request.sources(), box))
    records = intake.each(inputs.recipes())
    return Inputs(inputs.files, {record.fingerprint: record.facts for record in records})


def _fetched(sources: Mapping[str, str], box: Inbox) -> dict[str, SourceFile]:
    """Every source, side by side, by the path of its field."""
    if is_direct():
        found = side_by_side(list(sources), lambda path: fetch.fn(path, sources[path], box), policy.network)
        return dict(zip(sources, found, strict=True))
    futures = {path: fetch.submit(path, text, box) for path, text in sources.items()}
    for future in futures.values():
        future.wait()
    return {path: future.result() for path, future in futures.items()}


def loras(request: Request) -> tuple[SourceFile, ...]:
    """The LoRA of each character, by name from the folders of CALLSHEET_LORAS; with its digest.

    Where local files are allowed, also a path or s3:// URL. Raises FileMissing saying where it looked.
    """
    box = _INBOX.get()
    return tuple(_lora(name, box is not None and box.local) for name in request.characters_named)


def _lora(name: str, local: bool) -> SourceFile:
    run = current()
    folders: Sequence[Path] = run.settings.loras
    if local and name.startswith("s3://"):
        path = name
    elif local and Path(name).is_absolute():
        path = str(find_lora(Path(name).name, [Path(name).parent]))
    else:
        path = str(find_lora(name, [Path.cwd(), *folders] if local else folders))
    return SourceFile(path=path, sha256=run.sources.digest(path, f"LoRA {name}"))
