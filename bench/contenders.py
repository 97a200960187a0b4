"""Who takes part, and the process in which each of them works.

    python -m bench.contenders NAME JOB.json FOLDER

A process of its own, so that start-up and imports count, and one contender's memory is not another's.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.job import Job, read_job
from bench.measure import Usage, measured

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Contender:
    """A way to make the film."""

    name: str
    title: str
    function: str
    """`module:function`; empty for moviepy, which cannot be imported here."""
    raw: bool = False
    """Whether it always starts from raw clips, never from conformed ones."""


OURS = Contender("ours", "callsheet: splice and mix", "bench.ours:from_conformed")
OURS_RAW = Contender("ours_raw", "callsheet: conform, splice and mix", "bench.ours:from_raw", raw=True)
ONE_PASS = Contender("one_pass", "callsheet: one pass and mix", "bench.ours:one_pass")
ONE_GRAPH = Contender("one_graph", "one ffmpeg graph by hand", "bench.by_ffmpeg:one_graph")
NAIVE = Contender("naive", "naive, each step re-encoding", "bench.by_ffmpeg:naive")
MOVIEPY = Contender("moviepy", "moviepy 2.2.1", "")
BYTES_AND_SOUND = Contender("copy", "file copy, and the sound alone", "bench.floor:copy_and_sound")
CONTENDERS: Mapping[str, Contender] = {
    one.name: one for one in (OURS, OURS_RAW, ONE_PASS, ONE_GRAPH, NAIVE, MOVIEPY, BYTES_AND_SOUND)
}


@dataclass(frozen=True)
class Result:
    """What one contender made, once."""

    contender: Contender
    film: Path
    usage: Usage
    steps: Mapping[str, float]
    """CPU seconds by step, in order of work; `start` is the interpreter and its imports."""


def compete(contender: Contender, job: Job, folder: Path, moviepy_python: Path | None = None) -> Result:
    """Let a contender make the film in `folder`, which must not exist. Raises measure.Failed."""
    folder.mkdir(parents=True)
    told = job.write(folder / "job.json")
    log = folder / "log.txt"
    if contender is MOVIEPY:
        if moviepy_python is None:
            raise ValueError("moviepy needs the python of its own environment")
        from callsheet.media.captions import fonts_folder
        from callsheet.media.ffmpeg import resolve_ffmpeg

        film = folder / "film.mp4"
        font = next(path for path in fonts_folder().glob("*.ttf") if "Italic" not in path.name)
        script = Path(__file__).with_name("by_moviepy.py")
        usage = measured(
            (moviepy_python, script, told, font, film), folder, log, {"IMAGEIO_FFMPEG_EXE": str(resolve_ffmpeg())}
        )
        return Result(contender, film, usage, {})
    if contender is BYTES_AND_SOUND:
        from bench import floor

        floor.prepare(job, folder)
    usage = measured((sys.executable, "-m", "bench.contenders", contender.name, told, folder), ROOT, log)
    said = json.loads((folder / "result.json").read_text())
    return Result(contender, Path(said["film"]), usage, said["steps"])


def main(arguments: Sequence[str]) -> None:
    """Work as one contender."""
    name, told, folder = arguments[0], Path(arguments[1]), Path(arguments[2])
    module, function = CONTENDERS[name].function.split(":")
    way = getattr(importlib.import_module(module), function)
    ends = [("start", _cpu())]
    film = way(read_job(told), folder, lambda step: ends.append((step, _cpu())))
    before = [0.0, *(at for _, at in ends)]
    steps = {step: round(at - earlier, 3) for (step, at), earlier in zip(ends, before, strict=False)}
    (folder / "result.json").write_text(json.dumps({"film": str(film), "steps": steps}))


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


if __name__ == "__main__":
    main(sys.argv[1:])
