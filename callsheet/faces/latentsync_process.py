"""LatentSync as a program: its command, its environment, and one run of it that can be cancelled.

It pins an old stack of its own, so it lives in a checkout with its own environment. Covers what is missing there, what
it says while it works, and that nothing of it is left running. Knows neither recipes nor rooms.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from callsheet.errors import EngineError, EngineUnable, OutOfMemory
from callsheet.media.ffmpeg import resolve_ffmpeg

RATE = 25
"""Frames a second that it works at, whatever it is given."""
_SCRIPT, _CONFIG, _EARS = "scripts/inference.py", "configs/unet/stage2_512.yaml", "checkpoints/whisper/tiny.pt"
_GUIDANCE, _SEED = "1.5", "1247"
_LONGEST_S = 7200.0
_POLL_S, _PATIENCE_S = 0.2, 5.0
_PASSED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HF_HOME",
           "TORCH_HOME", "TMPDIR")
"""Variables that it gets: none of callsheet's keys."""
_SHARE = re.compile(r"Doing inference\D*(\d+)%")

Tell = Callable[[float, str], None]
"""Share of the work and a word; what it raises ends the program."""


@dataclass(frozen=True)
class Inference:
    """One run, as a value."""

    checkout: Path
    weights: Path
    """latentsync_unet.pt."""
    video: Path
    """Square frames, RATE of them a second."""
    audio: Path
    result: Path
    scratch: Path
    """Of this run alone and not there yet: the program empties it, and removes it in the end."""
    steps: int

    def command(self) -> tuple[str, ...]:
        """Program and arguments, to be run in the checkout."""
        return (
            str(python_of(self.checkout)), "-m", "scripts.inference",
            "--unet_config_path", _CONFIG,
            "--inference_ckpt_path", str(self.weights),
            "--inference_steps", str(self.steps),
            "--guidance_scale", _GUIDANCE,
            "--seed", _SEED,
            "--video_path", str(self.video),
            "--audio_path", str(self.audio),
            "--video_out_path", str(self.result),
            "--temp_dir", str(self.scratch),
        )


def python_of(checkout: Path) -> Path:
    return checkout / ".venv" / "bin" / "python"


def missing(checkout: Path | None, weights: Path) -> tuple[str, str] | None:
    """Reason and remedy of what is missing; None when it can be run."""
    if checkout is None:
        return "CALLSHEET_LATENTSYNC is not set", (
            "install LatentSync 1.6 in an environment of its own (docs/faces.md), and name its folder there"
        )
    for needed, remedy in (
        (python_of(checkout), "make its environment there, with the requirements of its README"),
        (checkout / _SCRIPT, "set CALLSHEET_LATENTSYNC to a checkout of LatentSync"),
        (checkout / _CONFIG, "check out LatentSync 1.6 there"),
    ):
        if not needed.exists():
            return f"{needed} is not there", remedy
    if not weights.is_file():
        return f"the weights latentsync are not in {weights.parent}", "callsheet models download latentsync"
    if not (checkout / _EARS).is_file():
        ears = weights.parent / "whisper"
        return f"{checkout / _EARS} is not there", f"ln -s {ears} {checkout / Path(_EARS).parent}"
    if not _sees_gpu(python_of(checkout), checkout):
        return "its own environment sees no CUDA GPU", "use a machine with an NVIDIA GPU, or another lip-sync engine"
    return None


@lru_cache(maxsize=4)
def _sees_gpu(python: Path, checkout: Path) -> bool:
    """Asked once a process: it takes seconds."""
    question = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run([python, "-c", question], cwd=checkout, env=_plain(os.environ), capture_output=True,
                               timeout=120, check=False)
        return asked.returncode == 0
    return False


def environment(base: Mapping[str, str], programs: Path) -> dict[str, str]:
    """Variables of the program: no key of ours, no download, weights without code, and `programs` searched first."""
    plain = _plain(base)
    return plain | {"PATH": os.pathsep.join(filter(None, (str(programs), plain.get("PATH", ""))))}


def _plain(base: Mapping[str, str]) -> dict[str, str]:
    passed = {name: base[name] for name in _PASSED if name in base}
    return passed | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}


def run(work: Inference, folder: Path, tell: Tell) -> None:
    """Run it to the end. Whatever `tell` raises ends it, and all that it started.

    Raises EngineError with its last words, OutOfMemory when those are about memory, EngineUnable when they say that
    no face is seen.
    """
    programs, log = folder / "programs", folder / "latentsync.log"
    programs.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        (programs / "ffmpeg").symlink_to(resolve_ffmpeg())      # it calls ffmpeg by that name
    with log.open("wb") as words, subprocess.Popen(
        work.command(), cwd=work.checkout, env=environment(os.environ, programs), stdin=subprocess.DEVNULL,
        stdout=words, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:
        try:
            _watch(process, log, tell)
        finally:
            _end(process)
    tail = _tail(log)
    if process.returncode != 0 or not work.result.is_file():
        if "out of memory" in tail.lower():
            raise OutOfMemory(engine="latentsync", what="a lip-synced clip", detail=_last(tail))
        if "face not detected" in tail.lower():       # as it is after any number of tries
            raise EngineUnable(engine="latentsync", what="a lip-synced clip", detail=_last(tail),
                               remedy="choose musetalk or mouth_warp, which leave frames without a face as they are")
        raise EngineError(engine="latentsync", what="a lip-synced clip", detail=_last(tail) or "it wrote no video")


def _watch(process: subprocess.Popen[bytes], log: Path, tell: Tell) -> None:
    end, share = time.monotonic() + _LONGEST_S, 0.0
    while process.poll() is None:
        words = _tail(log)
        for found in _SHARE.findall(words):
            share = max(share, int(found) / 100)
        tell(min(share, 1.0), _last(words) or "loading LatentSync")
        if time.monotonic() > end:
            raise EngineError(engine="latentsync", what="a lip-synced clip",
                              detail=f"no end after {_LONGEST_S / 60:.0f} minutes")
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and sign is signal.SIGTERM:
            continue
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 8192))
        return file.read().decode(errors="replace").replace("\r", "\n")


def _last(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
