"""`make bench`: the contenders make the same films in turn, and the figures come out as tables.

    python -m bench.run [--quick] [--repeat 3] [--cases burned,soft,cuts] [--growth] [--minutes 1,5,20,60]

Contenders alternate (A B C A B C), so that a slow spell of the machine meets all of them; the tables show
medians. CPU seconds are what to compare: wall time depends on who else is working.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import growth, tables
from bench.contenders import (
    BYTES_AND_SOUND,
    MOVIEPY,
    NAIVE,
    ONE_GRAPH,
    ONE_PASS,
    OURS,
    OURS_RAW,
    ROOT,
    Contender,
    Result,
    compete,
)
from bench.footage import Footage, Scale, job_of, make_footage
from bench.job import Case, Job
from bench.ours import conform_all
from bench.quality import Quality, quality

WHO: Mapping[Case, tuple[Contender, ...]] = {
    Case.BURNED: (OURS_RAW, ONE_GRAPH, NAIVE, MOVIEPY),
    Case.SOFT: (OURS, OURS_RAW, ONE_PASS, NAIVE, MOVIEPY),
    Case.CUTS: (OURS, OURS_RAW, ONE_PASS, NAIVE, MOVIEPY, BYTES_AND_SOUND),
}


@dataclass(frozen=True)
class Score:
    """All runs of one contender in one case."""

    contender: Contender
    conformed: bool
    """Whether it was given conformed clips rather than raw ones."""
    runs: tuple[Result, ...]
    quality: Quality | None

    @property
    def cpu_s(self) -> float:
        return statistics.median(run.usage.cpu_s for run in self.runs)

    @property
    def wall_s(self) -> float:
        return statistics.median(run.usage.wall_s for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return statistics.median(run.usage.peak_bytes for run in self.runs) / 1e6

    @property
    def largest_mb(self) -> float:
        return statistics.median(run.usage.largest_bytes for run in self.runs) / 1e6

    @property
    def steps(self) -> dict[str, float]:
        return {step: statistics.median(run.steps[step] for run in self.runs) for step in self.runs[0].steps}


@dataclass(frozen=True)
class Clips:
    """The footage, and the splice-ready clips that were made of it once for everybody."""

    footage: Footage
    scale: Scale
    conformed: tuple[Path, ...]

    def job(self, case: Case, contender: Contender) -> Job:
        """Burned captions are drawn into raw clips; otherwise all start from the same conformed ones."""
        raw = contender.raw or case is Case.BURNED
        return job_of(case, self.scale, self.footage, self.footage.clips if raw else self.conformed)


def prepare(folder: Path, scale: Scale) -> Clips:
    """Footage and conformed clips for a scale; what is there already is kept."""
    place = folder / "-".join(map(str, (scale.segments, scale.frames, scale.overlap, scale.width, scale.height,
                                        scale.preset, scale.crf, scale.falloff)))
    footage = make_footage(place, scale)
    job = job_of(Case.SOFT, scale, footage, footage.clips)
    with growth.scratch(place) as work:
        conformed = conform_all(job, place, work)
    return Clips(footage, scale, conformed)


def contest(case: Case, clips: Clips, who: Sequence[Contender], repeat: int, work: Path,
            moviepy_python: Path | None) -> list[Score]:
    """Every contender `repeat` times, in turn. Films are compared once and then removed."""
    runs: dict[str, list[Result]] = {one.name: [] for one in who}
    pictures: dict[str, Quality] = {}
    for turn in range(repeat):
        for one in who:
            job, folder = clips.job(case, one), work / f"{case}-{one.name}-{turn}"
            result = compete(one, job, folder, moviepy_python)
            say(f"{case} {turn + 1}/{repeat}: {one.title}: {result.usage.cpu_s:.1f} CPU-s, {result.usage.wall_s:.1f} s")
            runs[one.name].append(result)
            if turn == 0 and one is not BYTES_AND_SOUND:
                pictures[one.name] = quality(result.film, job)
            shutil.rmtree(folder)
    return [
        Score(one, not (one.raw or case is Case.BURNED), tuple(runs[one.name]), pictures.get(one.name)) for one in who
    ]


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two clips only: does everything work?")
    parser.add_argument("--repeat", type=int, default=3, help="runs of every contender; medians are shown")
    parser.add_argument("--cases", default=",".join(Case), help="some of: %(default)s")
    parser.add_argument("--growth", action="store_true", help="callsheet alone, at growing lengths")
    parser.add_argument("--minutes", default="1,5,20,60", help="lengths for --growth")
    parser.add_argument("--falloff", type=float, default=Scale().falloff,
                        help="of the pictures' spectrum: 1.2 busy, 1.7 smooth (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "work", help="footage is kept here")
    parser.add_argument("--moviepy", type=Path, default=ROOT / ".bench" / "venv" / "bin" / "python",
                        help="python of moviepy's own environment")
    parser.add_argument("--without", default="", help="contenders to leave out, such as moviepy,naive")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked and print the tables."""
    asked = options(arguments)
    out = {name for name in asked.without.split(",") if name}
    if "moviepy" not in out and not asked.growth and not asked.moviepy.exists():
        sys.exit(f"no moviepy at {asked.moviepy}: run `make bench`, or add --without moviepy")
    say("preparing footage ...")
    folder = asked.folder.resolve()
    clips = prepare(folder, Scale(segments=2 if asked.quick else Scale().segments, falloff=asked.falloff))
    print(tables.machine(), flush=True)
    with growth.scratch(folder) as work:
        if asked.growth:
            points = growth.grow(clips.footage, clips.scale, clips.conformed,
                                 [float(m) for m in asked.minutes.split(",")], work, out, say)
            print(tables.growth_table(points), flush=True)
            return
        for case in (Case(name) for name in asked.cases.split(",")):
            who = [one for one in WHO[case] if one.name not in out]
            scores = contest(case, clips, who, asked.repeat, work, asked.moviepy)
            print(tables.case_table(case, clips.job(case, OURS), clips.scale.falloff, scores), flush=True)


if __name__ == "__main__":
    main()
