"""The only place that starts ffmpeg.

Commands are values; `run` executes one under limits, `writer` and `reader` pass raw frames or samples
through a pipe. Covers finding the program, limits, time-outs and errors. It knows no codec and no filter.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from callsheet.errors import MediaError, SettingMissing

MAX_PIXELS = 7680 * 7680
_MEMORY_BYTES = 8 << 30
_OPEN_FILES = 256

HOSTILE_INPUT: tuple[str, ...] = (
    "-protocol_whitelist", "file,pipe",
    "-format_whitelist", "mov,mp4,matroska,webm,wav,flac,mp3,ogg,aac,aiff,w64,image2,jpeg_pipe,png_pipe,webp_pipe",
    "-max_pixels", str(MAX_PIXELS),
    "-err_detect", "explode",
)
"""Input options for files that strangers sent: no playlists, no network, no picture bombs."""

HOSTILE_VIDEO: tuple[str, ...] = (*HOSTILE_INPUT, "-thread_type", "slice")
"""The same where pictures are decoded: with frames on several threads, a clip that was cut within an open GOP makes
ffmpeg 9 wait for ever once its first frames are refused."""

_ADDRESS = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\] *")
_RUNNING: dict[subprocess.Popen[bytes], int] = {}
"""Programs that run now, and the thread that started each."""


@dataclass(frozen=True)
class Command:
    """Arguments after the program's name, and what they are for, in words for an error."""

    arguments: tuple[str, ...]
    what: str
    timeout_s: float = 1800.0
    max_output_bytes: int = 64 << 30

    def line(self) -> list[str]:
        return [str(resolve_ffmpeg()), "-hide_banner", "-nostdin", "-y", "-loglevel", "error", *self.arguments]


@cache
def resolve_ffmpeg() -> Path:
    """CALLSHEET_FFMPEG, else the one that comes in the imageio-ffmpeg wheel, else the system's.

    The wheel's comes before the system's so that equal recipes give equal bytes on every machine.
    """
    named = os.environ.get("CALLSHEET_FFMPEG")
    if named:
        if not os.access(named, os.X_OK):
            raise SettingMissing(subject=f"an ffmpeg program at {named}", variable="CALLSHEET_FFMPEG to one")
        return Path(named)
    with contextlib.suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    found = shutil.which("ffmpeg")
    if found is None:
        raise SettingMissing(subject="ffmpeg", variable="CALLSHEET_FFMPEG, or install imageio-ffmpeg")
    return Path(found)


@cache
def ffmpeg_version() -> str:
    """The version word, such as `n9.0.2`."""
    out = subprocess.run([resolve_ffmpeg(), "-version"], capture_output=True, text=True, timeout=30, check=True)
    return out.stdout.split()[2]


def local_input(path: Path) -> str:
    """A path as ffmpeg should be given it: absolute, and never taken for an option or a protocol."""
    return f"file:{path.resolve()}"


def keywords(options: tuple[str, ...]) -> dict[str, str]:
    """Options with values as keyword arguments of a graph."""
    return {name.removeprefix("-"): value for name, value in zip(options[::2], options[1::2], strict=True)}


def end_programs(threads: Collection[int]) -> None:
    """Kill the programs that these threads (`threading.get_ident`) have running: their commands fail."""
    for process, thread in list(_RUNNING.items()):
        if thread in threads:
            process.kill()


def run(command: Command, stdin: bytes | None = None) -> str:
    """Run to the end and return what was written to standard error.

    Raises MediaError with ffmpeg's last words when it fails or overruns its time.
    """
    with _started(command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL) as process:
        try:
            _, words = process.communicate(stdin, timeout=command.timeout_s)
        except subprocess.TimeoutExpired:
            raise MediaError(what=command.what, detail=f"no end after {command.timeout_s:.0f} s") from None
    text = words.decode(errors="replace")
    if process.returncode != 0:
        raise MediaError(what=command.what, detail=_last_words(text))
    return text


@contextlib.contextmanager
def writer(command: Command) -> Iterator[IO[bytes]]:
    """A pipe into ffmpeg (`-i pipe:0`): write raw frames or samples. Raises MediaError at the end."""
    with tempfile.TemporaryFile() as words, _started(command, stdin=subprocess.PIPE, stderr=words) as process:
        assert process.stdin is not None
        broken = False
        try:
            yield process.stdin
        except BrokenPipeError:                       # ffmpeg went first: its own words say why
            broken = True
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        _finish(process, command, words, broken)


@contextlib.contextmanager
def reader(command: Command) -> Iterator[IO[bytes]]:
    """A pipe out of ffmpeg (`pipe:1`): read raw frames or samples. Leaving early stops ffmpeg."""
    with tempfile.TemporaryFile() as words, _started(command, stdout=subprocess.PIPE, stderr=words) as process:
        assert process.stdout is not None
        yield process.stdout
        if process.stdout.read(1):
            process.kill()
            return
        _finish(process, command, words, broken=False)


def _finish(process: subprocess.Popen[bytes], command: Command, words: IO[bytes], broken: bool) -> None:
    try:
        process.wait(timeout=command.timeout_s)
    except subprocess.TimeoutExpired:
        raise MediaError(what=command.what, detail=f"no end after {command.timeout_s:.0f} s") from None
    if process.returncode != 0 or broken:
        words.seek(0)
        raise MediaError(what=command.what, detail=_last_words(words.read().decode(errors="replace")))


@contextlib.contextmanager
def _started(
    command: Command,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """The program under its limits. Whatever goes wrong meanwhile, a signal too, ends it: nobody would wait for it."""
    with subprocess.Popen(command.line(), stdin=stdin, stdout=stdout, stderr=stderr) as process:
        _RUNNING[process] = threading.get_ident()
        try:
            _limit(process, command)
            yield process
        except BaseException:
            process.kill()
            if process.stdin is not None:             # what is left in its buffer goes nowhere
                with contextlib.suppress(OSError):
                    process.stdin.close()
            process.wait()                            # subprocess does not, after Ctrl-C
            raise
        finally:
            _RUNNING.pop(process, None)


def _limit(process: subprocess.Popen[bytes], command: Command) -> None:
    limits = (
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_CPU, int(command.timeout_s * 16)),
        (resource.RLIMIT_FSIZE, command.max_output_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    )
    for what, limit in limits:
        with contextlib.suppress(ProcessLookupError, ValueError):       # it may have ended already
            resource.prlimit(process.pid, what, (limit, limit))


def _last_words(text: str) -> str:
    """Without the addresses of ffmpeg's parts, which tell nobody anything."""
    lines = [line for line in (_ADDRESS.sub("", line).strip() for line in text.splitlines()) if line]
    return " | ".join(lines[-3:])[-500:] or "no message"
