"""How fast the placeholder engine shoots: frames a second, and what drawing and encoding cost.

    python bench/placeholder.py [--frames 120] [--size 1280x720] [--rounds 5]

The clip has two actors. Everything counts, from the recipe to the finished file: layers drawn once, frames, mouth
track, last frame. CPU time is user + system: drawing is this process, encoding is ffmpeg. Not covered: posters,
lip-sync, and starting Python.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.recipe import Ref
from callsheet.recipes import LoraUse, SegmentRecipe
from callsheet.store.base import Room


@dataclass(frozen=True)
class Round:
    """Seconds."""

    wall: float
    drawing: float
    encoding: float


def recipe_of(width: int, height: int, frames: int) -> SegmentRecipe:
    cast = (("0001_european_20_female", "Ava", "a"), ("0000_european_16_male", "Leo", "c"))
    return SegmentRecipe(
        engine=PlaceholderEngine().id,
        scene="Ava and Leo walk through the city at sunset.",
        prompt="a street",
        width=width,
        height=height,
        num_frames=frames,
        steps=20,
        cfg=7.0,
        loras=tuple(
            LoraUse(role="character", name=name, display_name=shown, sha256=digit * 64, strength=0.7)
            for name, shown, digit in cast
        ),
        emotion="happy",
        seed=3,
    )


def nothing_to_fetch(ref: Ref) -> Path:
    raise AssertionError(f"the recipe names no input, yet {ref} was asked for")


def no_facts(ref: Ref) -> Mapping[str, object]:
    raise AssertionError(f"the recipe names no input, yet {ref} was asked for")


def cpu(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def measure(recipe: SegmentRecipe) -> Round:
    with tempfile.TemporaryDirectory() as folder:
        room = Room(folder=Path(folder), open_ref=nothing_to_fetch, facts_of=no_facts)
        own, children, start = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
        PlaceholderEngine().shoot(recipe, room)
        wall = time.perf_counter() - start
    return Round(wall, cpu(resource.RUSAGE_SELF) - own, cpu(resource.RUSAGE_CHILDREN) - children)


def middle(rounds: list[Round]) -> Round:
    return Round(*(statistics.median(getattr(r, name) for r in rounds) for name in ("wall", "drawing", "encoding")))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=120)
    options.add_argument("--size", default="1280x720")
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    width, height = (int(side) for side in asked.size.split("x"))
    long, short = recipe_of(width, height, asked.frames), recipe_of(width, height, 1)
    measure(short)                                                     # fonts and libraries are loaded once
    rounds = [measure(long) for _ in range(asked.rounds)]
    clip, frame = middle(rounds), middle([measure(short) for _ in range(asked.rounds)])
    fps = sorted(asked.frames / r.wall for r in rounds)
    lines = [
        f"{asked.frames} frames of {width}x{height}, two actors, {asked.rounds} rounds, medians",
        f"wall {asked.frames / clip.wall:.1f} fps ({fps[0]:.1f} to {fps[-1]:.1f})",
        "CPU-ms    a frame, all told   each further frame   a clip of one frame",
    ]
    for name in ("drawing", "encoding"):
        whole, first = 1000 * getattr(clip, name), 1000 * getattr(frame, name)
        further = (whole - first) / max(1, asked.frames - 1)
        lines.append(f"{name:8}  {whole / asked.frames:19.2f}   {further:18.2f}   {first:19.1f}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
