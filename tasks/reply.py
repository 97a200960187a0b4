"""The answer to a job: opened with its request, told as it ends, whichever way it ends."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from prefect.artifacts import create_markdown_artifact

from callsheet.engines.base import Asked
from callsheet.errors import CallsheetError
from callsheet.faces.choose import DRAWN, best_restorer, quick_upscaler
from callsheet.faces.choose import choose as choose_lipsync
from callsheet.jobs.base import MAX_SEED, Request
from callsheet.jobs.inputs import ClipEngines, TalkEngines
from callsheet.jobs.reply import Reply
from callsheet.models import Actor, Gpu
from callsheet.store.records import Record
from tasks import casting
from tasks.direct import is_direct
from tasks.inputs import inbox
from tasks.run import Run, Seen, running, watching


class Answer(Protocol):
    """A job's recipes, and what its reply says once they are made."""

    def output(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """Delivered files, by `urls` of planned keys."""

    def metadata(self, urls: Mapping[str, str]) -> dict[str, Any]: ...


class Answering:
    """One job while it runs."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._warnings: dict[str, None] = {}
        self._lock = threading.Lock()

    def watch(self, seen: Seen) -> None:
        with self._lock:
            self._warnings |= dict.fromkeys(seen.record.warnings)

    def talk_engines(self) -> TalkEngines:
        """The best engines for a talking picture that are able here. Raises EngineUnable."""
        lipsync = choose_lipsync(settings=self.run.settings)
        return TalkEngines(
            lipsync=lipsync.id,
            restore=None if lipsync.id.name == DRAWN else best_restorer(self.run.settings),
            upscale=quick_upscaler(self.run.settings),
            destination=self.run.delivery.url,
        )

    def clip_engines(
        self, actors: Sequence[Actor] = (), pictured: bool = True, follows: bool = False, controlled: bool = False
    ) -> ClipEngines:
        """The best engine for clips that is able here, and the model for a cast. Raises EngineUnable, WrongFamily.

        Args:
            actors: Whose LoRAs a clip is to show.
            pictured: Whether it starts from a picture.
            follows: Whether it is made after another clip.
            controlled: Whether it keeps to control pictures.
        """
        clips = self.run.clip_engine()
        cast = casting.asked_of(clips, Asked(
            families=casting.Families(actors, self.run), pictured=pictured or follows, follows=follows,
            controlled=controlled,
        ))
        return ClipEngines(
            clips=clips.id.model_copy(update={"model": cast.clips}),
            unloaded=tuple(actor.id for actor in actors if casting.file_of(actor) in cast.unloaded),
            steps=cast.steps,
            cfg=cast.cfg,
            destination=self.run.delivery.url,
        )

    def reply(self, answer: Answer, uploaded: Record, told: Iterable[str] = ()) -> Reply:
        """Success, with the URLs under which `uploaded` delivered. `told`: warnings that no record has."""
        urls = self.run.urls(uploaded)
        reply = Reply(
            success=True,
            output=answer.output(urls),
            metadata=answer.metadata(urls),
            duration_ms=milliseconds_since(self.run.started),
            warnings=tuple(self._warnings | dict.fromkeys(told)),
        )
        _show(reply)
        return reply


@contextmanager
def answering(request: Request) -> Iterator[Answering]:
    """Open store, delivery and inbox for a job. An error goes on, so that the run fails; its reply is shown too."""
    with ExitStack() as stack:
        stack.enter_context(inbox())
        job = Answering(stack.enter_context(running(request.title, gpu=Gpu.HERE)))
        stack.enter_context(watching(job.watch))
        try:
            yield job
        except CallsheetError as error:
            _show(Reply.failed(request, error, milliseconds_since(job.run.started)))
            raise


def random_seed() -> int:
    """For requests that leave the seed to chance."""
    return secrets.randbelow(MAX_SEED + 1)


def milliseconds_since(moment: datetime) -> int:
    """Whole milliseconds from `moment` until now."""
    return round((datetime.now(UTC) - moment).total_seconds() * 1000)


def _show(reply: Reply) -> None:
    """The reply as a page of the run, for whoever started it from the Prefect UI."""
    if is_direct():
        return
    create_markdown_artifact(
        f"```json\n{reply.model_dump_json(indent=1)}\n```",
        key="reply",
        description="success" if reply.error is None else f"{reply.error.code}: {reply.error.message}"[:200],
    )
