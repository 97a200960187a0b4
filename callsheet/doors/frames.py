"""Frames and videos from prompts, for Python: two calls that need no Prefect server.

    from callsheet.doors.frames import frame, frames_to_video

    picture = frame("a lighthouse at dawn", quality="draft")         H x W x 3, uint8, BGR as OpenCV has it
    made = frames_to_video(["a lighthouse", "its keeper"], use_ai_generation=False)
    made["file_path"], made["metadata"]

Both go through the stages and the store of a `frames` job, so what is made already is not made again. Not covered:
renting machines; the work is done in this process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from callsheet.errors import MediaError, RequestInvalid
from callsheet.fallback import DRAWN
from callsheet.jobs.frames import Frames
from callsheet.jobs.reading import read_request
from callsheet.presets import GENERATION_RATE
from callsheet.recipe import Recipe, Stage
from callsheet.store.base import Progress, no_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


def frame(
    prompt: str,
    frame_index: int = 0,
    *,
    quality: str = "high",
    width: int | None = None,
    height: int | None = None,
    steps: int = 20,
    guidance: float = 7.5,
    seed: int = 0,
    engine: str = "auto",
    model: str = "",
    progress: Progress = no_progress,
) -> NDArray[np.uint8]:
    """One frame as an array, height x width x 3, uint8, in BGR order.

    It is the frame of the clip that a video of this prompt alone, three seconds with the same fields, begins with, in
    the size of the quality's tier.

    Args:
        prompt: What is seen.
        frame_index: Which of the clip's frames, from 0 to 71 at 24 a second.
        quality: A tier, in any case.
        width: Pixels; None is the tier's.
        height: Pixels; None is the tier's.
        steps: Denoising steps.
        guidance: How closely the prompt is followed, 1 to 20.
        seed: The same one gives the same frame.
        engine: Which engine makes it; `auto` takes the best that generates, `placeholder` draws.
        model: Base model; empty leaves it to the engine.
        progress: Told how far the work is. What it raises ends the work within one step.

    Raises RequestInvalid naming a wrong field, NoImageModels where nothing that generates is able here, EngineError.
    """
    from flows.frames import clips
    from tasks.direct import logger
    from tasks.fallback import drawn_for_want, fallbacks, insist_on_generated
    from tasks.run import current

    request = _request(
        prompts=[prompt], quality=quality, width=width, height=height, num_inference_steps=steps,
        guidance_scale=guidance, seed=seed, engine=engine, model=model, use_ai_generation=engine != DRAWN,
    )
    _check_index(frame_index, request)
    with _here(request.title, progress):
        film = clips(request)
        insist_on_generated(film)
        for told in (*map(str, fallbacks(film)), *drawn_for_want(film)):       # an array has no place for it
            logger().warning("%s", told)
        with tempfile.TemporaryDirectory(prefix="callsheet-frame-") as folder:
            clip = current().records.open(film.segments[0].ref(), Path(folder))
            picture = _picture(clip, frame_index)
    return _bgr(picture, request.format.width, request.format.height)


def frames_to_video(
    prompts: str | Sequence[str], *, progress: Progress = no_progress, **fields: Any
) -> dict[str, Any]:
    """A video of prompts: `{"file_path": Path, "metadata": {...}}`.

    Args:
        prompts: One, or a list in the order of play.
        progress: Told how far the work is. What it raises ends the work within one step.
        fields: As a `frames` job has them (docs/jobs.md): quality, transition, duration_per_frame, use_ai_generation,
            num_inference_steps, guidance_scale, seed, and so on.

    Raises RequestInvalid naming a wrong field, NoImageModels where nothing that generates is able here, EngineError.
    """
    from flows.frames import frames
    from tasks.direct import direct
    from tasks.run import Seen, watching

    request = _request(prompts=prompts, **fields)
    seen: list[Seen] = []
    with direct(progress), watching(seen.append):
        reply = frames.fn(request)
    film = next(one.recipe for one in seen if one.recipe.stage is Stage.MIX)
    path = _local(reply.output["video"]) or _fetched(film, reply.metadata["job_id"])
    return {"file_path": path, "metadata": {**reply.metadata, "warnings": list(reply.warnings)}}


def _request(**fields: Any) -> Frames:
    plain = {name: str(value) if isinstance(value, Fraction) else value for name, value in fields.items()}
    request = read_request({"input": {**plain, "job_type": "frames"}})
    assert isinstance(request, Frames)
    return request


def _check_index(frame_index: int, request: Frames) -> None:
    last = int(request.duration_per_frame * GENERATION_RATE) - 1
    if isinstance(frame_index, bool) or not isinstance(frame_index, int) or not 0 <= frame_index <= last:
        raise RequestInvalid(
            field="frame_index", detail=f"{frame_index!r} is no frame of the clip", remedy=f"use 0 to {last}")


@contextmanager
def _here(title: str, progress: Progress) -> Iterator[None]:
    from callsheet.models import Gpu
    from tasks.direct import direct
    from tasks.run import running

    with direct(progress), running(title, gpu=Gpu.HERE):
        yield


def _picture(clip: Path, index: int) -> Image.Image:
    from PIL import Image

    from callsheet.media.ffmpeg import reader
    from callsheet.media.thumbnail import frame_command

    moment = max(0.0, (index - 0.5) / float(GENERATION_RATE))          # the first frame after it is the one
    with reader(frame_command(clip, moment)) as pipe:
        try:
            with Image.open(pipe) as opened:
                return opened.convert("RGB")
        except OSError as error:
            raise MediaError(what=f"take frame {index} of {clip.name}", detail=str(error)[:200]) from error


def _bgr(picture: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    import numpy as np

    from callsheet.engines.frames import fitted

    return np.ascontiguousarray(np.asarray(fitted(picture, width, height))[:, :, ::-1])


def _local(url: str) -> Path | None:
    """Where a delivery to a folder lies; None for one that is elsewhere."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _fetched(film: Recipe, job_id: str) -> Path:
    """The film on this machine, where it is delivered to another one."""
    from tasks.run import running

    with running() as run:
        folder = run.settings.home / "videos" / job_id
        folder.mkdir(parents=True, exist_ok=True)
        return run.records.open(film.ref(), folder)
