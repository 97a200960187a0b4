"""Engine `runpod`: ComfyUI's graphs on a RunPod endpoint that runs the stock worker-comfyui image.

One job a poster or clip: the graph and its first picture go in, pictures and clips come back inline or by address, in
every shape that workers of the last years give them. Models and LoRAs are those of the endpoint's volume, by name; what
is not there only the job tells. Not covered: money. This engine keeps no journal and no budget, and whoever dies while
it waits pays for the job all the same; so after a submit nothing is tried again by itself. Our own image (CALLSHEET_GPU
endpoint) has all of that.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from callsheet.download import fetch
from callsheet.engines.base import Ability, Asked, Casting
from callsheet.engines.comfyui import graphs, results
from callsheet.engines.comfyui.casting import LTXV, cast
from callsheet.engines.comfyui.first_frame import first_frame
from callsheet.engines.comfyui.outputs import is_memory
from callsheet.engines.comfyui.server_files import Shelf, clip_family, known_family
from callsheet.engines.graphs.node import Graph
from callsheet.engines.graphs.parts import Lora
from callsheet.errors import (
    AnswerUnknown,
    CallsheetError,
    DownloadFailed,
    EngineError,
    EngineUnable,
    FileMissing,
    JobFailed,
    NoImages,
    OutOfMemory,
    ProviderError,
    SettingMissing,
)
from callsheet.models import Family
from callsheet.recipes import ClipRecipe, EngineId, LoraUse, PosterRecipe
from callsheet.runpod.client import (
    Api,
    Control,
    JobsClient,
    JobState,
    JobStatus,
    Picture,
    Policy,
    Watch,
    failure,
    pictures,
    warnings,
)
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

ENGINE = "runpod"
POSTER_S, CLIP_S = 900.0, 3600.0
"""That a job may work, cold start of its models included."""
QUEUE_S = 3600.0
_BEGUN, _DONE = 0.1, 0.95
"""Shares that are told: a worker says nothing of its steps."""
_FETCHES = 3
_MOST = 32
"""Files of one job: nodes of others may save some too."""
_FIRST = "first_frame.png"
_NO_LORA = re.compile(r"lora_name[^;]{0,80}not in", re.IGNORECASE)


class StockEngine:
    """`jobs` opens the endpoint's queue; None where the key or the endpoint is not configured."""

    def __init__(
        self, jobs: Callable[[], JobsClient] | None, allowed: frozenset[tuple[str, int]] = frozenset(),
        poll_s: float = 2.0,
    ) -> None:
        self._jobs = jobs
        self._allowed = allowed
        self._poll_s = poll_s

    @classmethod
    def of(cls, settings: Settings) -> StockEngine:
        key, endpoint = settings.runpod_api_key, settings.comfyui_endpoint
        if key is None or endpoint is None:
            return cls(None)
        return cls(
            lambda: JobsClient(Api(settings.runpod_jobs, key), endpoint, Control(Api(settings.runpod_api, key))),
            settings.allowed_hosts,
        )

    @property
    def id(self) -> EngineId:
        return EngineId(name=ENGINE, version=1)

    @property
    def has_mouths(self) -> bool:
        return False

    @property
    def loads_files(self) -> bool:
        """The endpoint's volume has them by name."""
        return False

    def able(self) -> Ability:
        """Whether key and endpoint are configured. Whether a worker comes only a paid job can tell."""
        if self._jobs is None:
            return Ability(False, "no endpoint of worker-comfyui is configured",
                           "set RUNPOD_API_KEY and CALLSHEET_COMFYUI_ENDPOINT")
        return Ability(True)

    def cast(self, asked: Asked) -> Casting:
        """FLUX for posters, Wan or LTX-Video for clips. Raises WrongFamily naming the file, EngineUnable."""
        return cast(asked, ENGINE)

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster. Raises NoImages, JobFailed, OutOfMemory, FileMissing, EngineUnable and other ProviderErrors."""
        shelf, uses = Shelf(None, ENGINE), graphs.slots(recipe.loras)
        loras = _named(shelf, uses, Family.FLUX, room)
        graph = graphs.poster(recipe, list(zip(uses, loras, strict=True)), shelf)(graphs.folder(recipe))
        status, files = self._made(graph, None, recipe, POSTER_S, room)
        stills = [path for path in files if not results.is_clip(path)]
        if not stills:
            raise NoImages(detail=f"job {status.id} gave a clip where a poster should be")
        with _paid():
            return _with(results.poster(stills[-1], recipe, room, ENGINE, {}), warnings(status))

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip. Raises what paint raises, and MediaUnreadable when the recipe's first frame is no picture."""
        shelf, uses = Shelf(None, ENGINE), graphs.slots(recipe.loras)
        loras = _named(shelf, uses, clip_family(recipe.engine.model), room)
        first = first_frame(recipe, room)
        graph = graphs.clip(recipe, loras, _FIRST if first else "", shelf)(graphs.folder(recipe))
        status, files = self._made(graph, first, recipe, CLIP_S, room)
        clips = [path for path in files if results.is_clip(path)]
        if len(clips) != 1:
            raise NoImages(detail=f"job {status.id} gave {len(clips)} clips among {len(files)} files",
                           remedy="let the endpoint run worker-comfyui 5.8 or later: its ComfyUI saves clips")
        words, stills = warnings(status), [path for path in files if path not in clips]
        if not stills:
            words.append("the worker gave no last frame: it is taken from the encoded clip")
            stills = [results.last_of(clips[0], room.path("last_of_clip.png"), recipe.label or "a clip")]
        with _paid():
            return _with(results.clip(clips[0], stills[-1], recipe, room, ENGINE, {}), words)

    def _made(
        self, graph: Graph, first: Path | None, recipe: PosterRecipe | ClipRecipe, limit_s: float, room: Room
    ) -> tuple[JobStatus, list[Path]]:
        """The job's end, and its files in order."""
        if self._jobs is None:
            raise SettingMissing(subject="an endpoint of worker-comfyui",
                                 variable="RUNPOD_API_KEY and CALLSHEET_COMFYUI_ENDPOINT")
        what = f"the {recipe.stage} {recipe.label}".strip()
        job = _job_input(graph, first)
        status = asyncio.run(_done(self._jobs(), job, limit_s, self._poll_s, room, what))
        with _explained(what, graph):
            if (error := failure(status, limit_s)) is not None:
                raise error
            found = pictures(status)
            if len(found) > _MOST:
                raise NoImages(detail=f"job {status.id} gave {len(found)} files, and its graph saves two")
            return status, [self._here(each, n, room) for n, each in enumerate(found, 1)]

    def _here(self, picture: Picture, number: int, room: Room) -> Path:
        if picture.data is not None:
            path = room.path(f"from_worker_{number}")
            path.write_bytes(picture.data)
            return path
        assert picture.url is not None
        for left in range(_FETCHES - 1, -1, -1):
            with contextlib.suppress(DownloadFailed) if left else contextlib.nullcontext():
                return fetch(picture.url, room.folder, f"image_{number}", allowed=self._allowed)
        raise AssertionError("unreachable")


async def _done(
    client: JobsClient, job: Mapping[str, Any], limit_s: float, poll_s: float, room: Room, what: str
) -> JobStatus:
    """The end of a job, submitted once. What progress raises cancels it."""
    share = 0.0

    def tell(status: JobStatus) -> None:
        nonlocal share
        waiting = status.state is JobState.IN_QUEUE
        share = share if waiting else _BEGUN                  # a worker may die, and the job is in the queue again
        room.progress(share, "in the endpoint's queue" if waiting else "at work on the endpoint")

    policy = Policy.covering(limit_s, QUEUE_S)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(client.api)
        if client.control is not None:
            await stack.enter_async_context(client.control)
        room.progress(0.0, "sent to the endpoint")
        job_id = await _submitted(client, job, policy, what)
        try:
            with _explained(what):
                status = await client.wait(job_id, on_status=tell, poll_s=poll_s, watch=Watch.covering(policy))
        except BaseException:
            await _cancel(client, job_id)
            raise
        room.progress(_DONE, "made")
        return status


async def _submitted(client: JobsClient, job: Mapping[str, Any], policy: Policy, what: str) -> str:
    """The job's id. After a lost answer nobody knows whether it is paid; after any other error it is not."""
    try:
        return await client.submit(job, policy)
    except AnswerUnknown as error:
        raise _unasked(error, what) from error


async def _cancel(client: JobsClient, job_id: str) -> None:
    """Spending stops, whatever else goes wrong."""
    with contextlib.suppress(ProviderError):
        await asyncio.shield(client.cancel(job_id))


def _job_input(graph: Graph, first: Path | None) -> Mapping[str, Any]:
    job: dict[str, Any] = {"workflow": graph.as_json()}
    if first is not None:
        job["images"] = [{"name": _FIRST, "image": base64.b64encode(first.read_bytes()).decode()}]
    return job


def _named(shelf: Shelf, uses: Sequence[LoraUse], family: Family | None, room: Room) -> list[Lora]:
    if family is None and uses:
        raise EngineUnable(engine=ENGINE, what=f"{LTXV} with LoRAs", detail="none that callsheet knows fits it",
                           remedy="choose wan2.2-ti2v-5b, or let clips start from a poster")
    for use in uses:
        assert family is not None
        known_family(use, room, family)
    return [shelf.lora(use) for use in uses]


@contextlib.contextmanager
def _explained(what: str, graph: Graph | None = None) -> Iterator[None]:
    """Errors after a submit as what they mean. None is tried again unasked, since that would be paid again."""
    try:
        yield
    except (ProviderError, DownloadFailed) as error:
        meant = _meant(error, graph, what) if graph and isinstance(error, JobFailed) else None
        if meant is None and error.retryable:
            meant = _unasked(error, what)
        if meant is None:
            raise
        raise meant from error


@contextlib.contextmanager
def _paid() -> Iterator[None]:
    """What came is not what was asked. Another engine may try; this one is not asked, and paid, for the same again."""
    try:
        yield
    except EngineError as error:
        if not error.retryable:
            raise
        raise NoImages(detail=str(error.facts.get("detail", error.what))) from error


def _meant(error: JobFailed, graph: Graph, what: str) -> CallsheetError | None:
    """A worker's words as an error of ours, where they are known."""
    words = str(error.facts.get("detail", ""))
    if is_memory(words):
        return OutOfMemory(engine=ENGINE, what=what, detail=words)
    if not _NO_LORA.search(words):
        return None
    node = next((node for node in graph.nodes.values() if str(node.inputs.get("lora_name", "\0")) in words), None)
    return FileMissing(path=str(node.inputs["lora_name"]) if node else "a LoRA",
                       what=f"the endpoint does not have the {node.title if node else 'LoRA'}",
                       remedy="copy it to models/loras of the endpoint's volume")


def _unasked(error: ProviderError | DownloadFailed, what: str) -> EngineUnable:
    return EngineUnable(
        engine=ENGINE, what=what, detail=error.what,
        remedy="see the endpoint's queue before running again: this engine keeps no journal of what is paid")


def _with(outcome: Outcome, words: Sequence[str]) -> Outcome:
    return Outcome(files=outcome.files, facts=outcome.facts, made_by=outcome.made_by,
                   warnings=(*outcome.warnings, *words))
