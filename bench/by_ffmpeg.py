"""The film by hand-written ffmpeg commands: one graph for the whole picture, and the usual chain of three encodes.

`one_graph` is as good as it gets without copying packets; its sound is callsheet's own. `naive` is
what most projects do: splice, burn captions, mix, each a command of its own that encodes the picture again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.job import Job, Placed
from bench.ours import STYLE, Bench, Timer, captions, mixed
from callsheet.media.captions import fonts_folder, write_ass, write_srt
from callsheet.media.ffmpeg import Command, local_input, run


def one_graph(job: Job, folder: Path, ended: Timer) -> Path:
    """Every frame is decoded and encoded once; only frames of transitions go through xfade."""
    graph, reel = folder / "graph.txt", folder / "reel.mp4"
    graph.write_text(windowed_graph(job, _ass(job, folder)))
    run(Command(
        (*_inputs(job.clips), "-/filter_complex", str(graph), "-map", "[film]", *_x264(job), "-an",
         "-fps_mode", "passthrough", "-video_track_timescale", "15360", "-movflags", "+faststart", local_input(reel),
         "-map", "[thumbnail]", "-frames:v", "1", "-update", "1", local_input(folder / "thumbnail.jpg")),
        what="encode the reel in one graph", timeout_s=36000,
    ))
    ended("encode")
    film = mixed(job, reel, Bench(folder))
    ended("mix")
    return film


def windowed_graph(job: Job, captions_filter: str) -> str:
    """Head window, body and tail window of every clip; xfade of windows; concat of all, captions, thumbnail."""
    count, length, width = len(job.clips), job.frames, job.overlap
    seconds = f"{width / job.fps:.6f}"
    parts: list[str] = []
    order: list[str] = []
    for n in range(count):
        head, tail = width if n else 0, width if n < count - 1 else 0
        pieces = {"h": (0, head), "b": (head, length - tail), "t": (length - tail, length)}
        used = {name: span for name, span in pieces.items() if span[0] < span[1]}
        names = "".join(f"[{name}{n}s]" for name in used)
        split = f"split={len(used)}" if len(used) > 1 else "null"
        parts.append(f"[{n}:v]fps={job.fps},settb=1/{job.fps},setpts=N,format=yuv420p,setsar=1,{split}{names}")
        parts += [f"[{name}{n}s]trim=start_frame={first}:end_frame={end},setpts=PTS-STARTPTS[{name}{n}]"
                  for name, (first, end) in used.items()]
        if head:
            parts.append(f"[t{n - 1}][h{n}]xfade=transition=fade:duration={seconds}:offset=0.000000,"
                         f"format=yuv420p,settb=1/{job.fps}[x{n}]")
            order.append(f"[x{n}]")
        order.append(f"[b{n}]")
    still = f"trim=start_frame={job.film_frames // 3}:end_frame={job.film_frames // 3 + 1},setpts=PTS-STARTPTS"
    parts.append(f"{''.join(order)}concat=n={len(order)}:v=1:a=0,{captions_filter}split=2[film][whole]")
    parts.append(f"[whole]{still}[thumbnail]")
    return ";\n".join(parts)


def naive(job: Job, folder: Path, ended: Timer) -> Path:
    """Splice, then captions, then sound; three encodes, or two where no captions are burned."""
    picture = folder / "spliced.mp4"
    graph = folder / "graph.txt"
    graph.write_text(chained_graph(job))
    run(Command((*_inputs(job.clips), "-/filter_complex", str(graph), "-map", "[film]", *_x264(job),
                 local_input(picture)), "splice", 36000))
    ended("splice")
    if job.burned:
        titled = folder / "titled.mp4"
        burn = _ass(job, folder).rstrip(",")
        run(Command(("-i", local_input(picture), "-vf", burn, *_x264(job), local_input(titled)), "caption", 36000))
        picture = titled
        ended("captions")
    film = folder / "film.mp4"
    run(_sound_command(job, picture, folder, film))
    run(Command(("-ss", f"{job.seconds / 3:.6f}", "-i", local_input(film), "-frames:v", "1", "-update", "1",
                 local_input(folder / "thumbnail.jpg")), "take a thumbnail"))
    ended("mix")
    return film


def chained_graph(job: Job) -> str:
    """Every clip through the xfade to the next one; plain concat for hard cuts."""
    count = len(job.clips)
    if not job.overlap:
        return "".join(f"[{n}:v]" for n in range(count)) + f"concat=n={count}:v=1:a=0,format=yuv420p[film]"
    parts, seconds, last = [], f"{job.overlap / job.fps:.6f}", "[0:v]"
    for n in range(1, count):
        out = f"[x{n}]"
        parts.append(f"{last}[{n}:v]xfade=transition=fade:duration={seconds}:offset={n * job.step / job.fps:.6f}{out}")
        last = out
    return ";\n".join([*parts, f"{last}format=yuv420p[film]"])


def _sound_command(job: Job, picture: Path, folder: Path, film: Path) -> Command:
    """Mix with a side-chain compressor as the ducker; captions as a soft track where they are not burned."""
    sounds = job.sounds
    placed = (*sounds.voices, *sounds.effects)
    loops = (("-stream_loop", "-1", "-i", local_input(Path(sound.path))) for sound in (sounds.music, sounds.ambience))
    soft = () if job.burned else ("-i", local_input(_srt(job, folder)))
    graph = folder / "sound.txt"
    graph.write_text(_sound_graph(job, placed, len(sounds.voices)))
    text = () if job.burned else ("-map", f"{len(placed) + 3}:s", "-c:s", "mov_text")
    return Command(
        ("-i", local_input(picture), *_inputs([sound.path for sound in placed]),
         *(word for loop in loops for word in loop), *soft, "-/filter_complex", str(graph),
         "-map", "0:v", "-map", "[sound]", *text, *_x264(job),
         "-c:a", "aac", "-b:a", "192k", "-t", f"{job.seconds:.6f}", "-movflags", "+faststart", local_input(film)),
        "mix", 36000,
    )


def _sound_graph(job: Job, placed: Sequence[Placed], voices: int) -> str:
    common = "aformat=sample_rates=48000:channel_layouts=stereo"
    lines = [f"[{n}:a]{common},volume={s.volume},adelay={round(s.start * 1000)}:all=1[p{n}]"
             for n, s in enumerate(placed, 1)]
    music, ambience = len(placed) + 1, len(placed) + 2
    said = "".join(f"[p{n}]" for n in range(1, voices + 1))
    effects = "".join(f"[p{n}]" for n in range(voices + 1, len(placed) + 1))
    return ";\n".join([
        *lines,
        f"{said}amix=inputs={voices}:normalize=0:duration=longest,apad,asplit=2[voice][key]",
        f"[{music}:a]{common},volume={job.sounds.music.volume}[bed]",
        "[bed][key]sidechaincompress=threshold=0.05:ratio=8:attack=50:release=300[ducked]",
        f"[{ambience}:a]{common},volume={job.sounds.ambience.volume}[room]",
        f"[voice][ducked][room]{effects}amix=inputs={3 + len(placed) - voices}:normalize=0:duration=first[sound]",
    ])


def _x264(job: Job) -> tuple[str, ...]:
    return ("-c:v", "libx264", "-preset", job.preset, "-crf", str(job.crf), "-pix_fmt", "yuv420p")


def _inputs(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for path in paths for word in ("-i", local_input(Path(path))))


def _ass(job: Job, folder: Path) -> str:
    """The filter that draws the captions, with a comma after it; nothing where none are burned."""
    if not job.burned:
        return ""
    path = folder / "captions.ass"
    write_ass(captions(job), STYLE, job.width, job.height, path)
    return f"ass=filename={path}:fontsdir={fonts_folder()},"


def _srt(job: Job, folder: Path) -> Path:
    path = folder / "captions.srt"
    write_srt(captions(job), path)
    return path
