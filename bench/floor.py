"""The least that a film of hard cuts can cost: its bytes copied, and its sound made beside a picture of nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.job import Job
from bench.ours import Bench, Timer, mixed
from callsheet.media.ffmpeg import Command, local_input, run

REEL = "nothing.mp4"


def prepare(job: Job, folder: Path) -> None:
    """A reel of the film's length, grey and 64 pixels wide, so that only its sound is any work. Not measured."""
    run(Command(
        ("-f", "lavfi", "-i", f"color=gray:s=64x64:r={job.fps}", "-frames:v", str(job.film_frames), "-c:v", "libx264",
         "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-video_track_timescale", "15360",
         local_input(folder / REEL)),
        what="make a reel of nothing",
    ))


def copy_and_sound(job: Job, folder: Path, ended: Timer) -> Path:
    """Write the clips' bytes into one file, then let callsheet mix the sound to the reel of nothing."""
    with (folder / "bytes.bin").open("wb") as out:
        for clip in job.clips:
            with Path(clip).open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)
    ended("copy")
    film = mixed(job, folder / REEL, Bench(folder))
    ended("sound")
    return film
