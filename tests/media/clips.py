"""Clips whose frames can be told apart: every picture carries a clip number and its own frame number as bars.

The bars survive scaling, retiming and lossy encoding, so a test reads back which frame it is looking at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from callsheet.media.conform import conform
from callsheet.media.ffmpeg import Command, local_input, run, writer
from callsheet.presets import TransitionKind
from callsheet.recipe import Ref, Stage
from callsheet.recipes import ConformRecipe, EncodeSettings, Join, SpliceRecipe
from callsheet.store.base import Outcome, Room, no_progress

Pixels = npt.NDArray[np.uint8]

FRAME_BITS, CLIP_BITS = 10, 3
BARS = FRAME_BITS + CLIP_BITS
LIGHT, DARK = 210, 40
FAST = EncodeSettings(crf=23, preset="ultrafast")
MEDIUM = EncodeSettings(crf=23, preset="medium")
SIZE = (160, 90)


def coded_picture(clip: int, frame: int, width: int, height: int) -> Pixels:
    """Grey picture, bars above, and a texture that moves with the frame number below."""
    code = clip << FRAME_BITS | frame
    bits = np.array([LIGHT if code >> bit & 1 else DARK for bit in range(BARS)], np.uint8)
    picture = np.empty((height, width), np.uint8)
    picture[:] = bits[np.arange(width) * BARS // width]
    rows, columns = np.mgrid[height // 2 : height, 0:width]
    picture[height // 2 :] = 60 + 25 * clip + ((rows * 3 + columns * 2 + frame * 5) % 64)
    return picture


def read_code(luma: Pixels) -> tuple[int, int]:
    """Clip and frame number of a picture that fills its frame."""
    height, width = luma.shape
    bars = [luma[height // 8 : height * 3 // 8, (2 * n + 1) * width // (2 * BARS)] for n in range(BARS)]
    code = sum((bar.mean() > (LIGHT + DARK) / 2) << bit for bit, bar in enumerate(bars))
    return int(code >> FRAME_BITS), int(code & (1 << FRAME_BITS) - 1)


def make_clip(
    path: Path, frames: int, fps: Fraction | int = 24, size: tuple[int, int] = SIZE, clip: int = 0,
    options: Sequence[str] = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    filters: str = "null",
) -> Path:
    """A raw clip, as an engine or a stranger might have made it."""
    width, height = size
    command = Command(
        ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0",
         "-vf", filters, *options, local_input(path)),
        what="make a test clip",
    )
    with writer(command) as pipe:
        for frame in range(frames):
            pipe.write(coded_picture(clip, frame, width, height).tobytes())
    return path


def foreign(preset: str = "veryfast", *options: str) -> tuple[str, ...]:
    """Options of somebody else's encoder: parameter sets that none of ours gives."""
    return ("-c:v", "libx264", "-preset", preset, "-pix_fmt", "yuv420p", *options)


def with_tone(source: Path, target: Path, hertz: int, options: Sequence[str] = ()) -> Path:
    """The clip with a tone of amplitude 1/8 as long as its pictures."""
    run(Command(
        (*options, "-i", local_input(source), "-f", "lavfi", "-i", f"sine=frequency={hertz}:sample_rate=44100",
         "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-shortest", local_input(target)),
        what="add a tone to a test clip",
    ))
    return target


def ref_of(number: int) -> Ref:
    return Ref(stage=Stage.SEGMENTS, fingerprint=f"{number:064x}")


def room_in(folder: Path, *inputs: Path) -> Room:
    """A room whose inputs are `ref_of(0)`, `ref_of(1)` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    return Room(folder, lambda ref: inputs[int(ref.fingerprint, 16)], lambda ref: {}, no_progress)


def conform_clip(
    folder: Path, source: Path, frames: int, fps: Fraction | int = 30, size: tuple[int, int] = SIZE,
    head: int = 0, tail: int = 0, encode: EncodeSettings = FAST,
) -> Outcome:
    recipe = ConformRecipe(
        clip=ref_of(0), width=size[0], height=size[1], fps=Fraction(fps), frames=frames, head=head, tail=tail,
        encode=encode,
    )
    return conform(recipe, room_in(folder, source))


def splice_recipe(
    frames: Sequence[int], joins: Sequence[int | tuple[TransitionKind, int]], fps: Fraction | int = 30,
    encode: EncodeSettings = FAST,
) -> SpliceRecipe:
    """A reel of `ref_of(0)`, ...; a join that is a bare number is a crossfade of so many frames."""
    pairs = [(TransitionKind.CROSSFADE, join) if isinstance(join, int) else join for join in joins]
    return SpliceRecipe(
        clips=tuple(ref_of(n) for n in range(len(frames))), clip_frames=tuple(frames),
        joins=tuple(Join(kind=kind, frames=count) for kind, count in pairs), fps=Fraction(fps), encode=encode,
    )


def conformed_for(recipe: SpliceRecipe, folder: Path, size: tuple[int, int] = SIZE) -> list[Path]:
    """Conformed clips that the recipe can join, clip n coded with number n."""
    heads = [0, *(join.frames for join in recipe.joins)]
    tails = [*(join.frames for join in recipe.joins), 0]
    made = []
    for n, (frames, head, tail) in enumerate(zip(recipe.clip_frames, heads, tails, strict=True)):
        folder.mkdir(parents=True, exist_ok=True)
        raw = make_clip(folder / f"raw{n}.mp4", frames, recipe.fps, size, clip=n % 8)
        outcome = conform_clip(
            folder / f"conform{n}", raw, frames, recipe.fps, size, head=head, tail=tail, encode=recipe.encode
        )
        made.append(outcome.files["main"])
    return made


def decode(path: Path) -> list[Pixels]:
    """Every frame as planes of yuv420p, one array of (height * 3 / 2) x width."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]


def luma(planes: Pixels) -> Pixels:
    return planes[: planes.shape[0] * 2 // 3]


def hashes(path: Path) -> list[str]:
    """Digest of each decoded frame."""
    return [hashlib.sha256(planes.tobytes()).hexdigest() for planes in decode(path)]


def packet_times(path: Path) -> list[tuple[Fraction, Fraction]]:
    """Showing and decoding time of each packet in seconds, in the file's order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [
            (packet.pts * stream.time_base, packet.dts * stream.time_base)
            for packet in container.demux(stream) if packet.pts is not None and packet.dts is not None
        ]


def decode_strictly(path: Path) -> None:
    """Raises MediaError at the slightest fault of the stream."""
    run(Command(
        ("-xerror", "-err_detect", "explode", "-i", local_input(path), "-f", "null", "-"), what="decode a reel"
    ))
