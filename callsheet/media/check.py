"""The quality gate: a finished film is looked at and listened to, and compared with what was asked.

`check` is the stage; `examine` does the same for any file, as far as it is told what to expect. Faults are
findings (findings.py), never errors: what they lead to is the order's policy. Covers counts and sizes,
stretches that are black or stand still (seeing.py), silence, clipping and loudness (hearing.py), voices out of
time or not there (drift.py), captions that cannot be read (legible.py) and, by a measure that comes from
outside, actors who are not those of their posters (resemblance.py). Not covered: silence where only music was
planned, lips that do not fit the words, and anything about beauty.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from callsheet.likeness import Compare
from callsheet.media import drift, hearing, legible, resemblance, seeing
from callsheet.media.activity import speech_spans
from callsheet.media.ffmpeg import ffmpeg_version
from callsheet.media.findings import Finding, FrameSpan, Kind, Measured, scene_at
from callsheet.media.loudness import measure
from callsheet.media.probe import Facts, probe
from callsheet.media.sound import RATE, HeldSound, read_audio
from callsheet.models import CaptionStyle, Cue
from callsheet.recipes import CheckRecipe
from callsheet.store.base import Outcome, Progress, Room, no_progress

LOUDNESS_LU = 1.0
PEAK_DB = 0.2
"""Above the target; figures are measured to a tenth."""

_TAIL_S = 0.1
"""By so much sound may be longer or shorter than the pictures: AAC comes in frames of 21 ms."""
_NOTHING_DB = -60.0
_MIX_ANEW = "run again with mix refreshed; if it stays so, report it with the log of this run"


@dataclass(frozen=True)
class Voice:
    """A spoken line that the film should have: its sound, and when it starts, in seconds of the film."""

    sound: Path
    start: float


@dataclass(frozen=True)
class Expected:
    """What a film should be. What is left at None is not compared."""

    frames: int | None = None
    fps: Fraction | None = None
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    scenes: Sequence[int] = (0,)
    """The frame at which each scene begins."""
    windows: Sequence[FrameSpan] = ()
    """Planned transitions: black or still pictures are meant there."""
    still: Sequence[FrameSpan] = ()
    """Where the picture is meant to stand still."""
    voices: Sequence[Voice] = ()
    heard: bool = True
    """Whether there should be any sound."""
    gain_db: float | None = None
    """By how much the mix was raised as a whole."""
    lufs: float | None = None
    true_peak_dbtp: float | None = None
    cues: Sequence[Cue] = ()
    """Captions that are burned into the picture."""
    style: CaptionStyle = field(default_factory=CaptionStyle)


def check(recipe: CheckRecipe, room: Room, compare: Compare) -> Outcome:
    """Artifact main: the report as JSON. Facts: findings, and every figure that was measured.

    `compare` tells how like their posters the actors look. Each finding is a warning too. Raises MediaUnreadable,
    MediaError for a film that cannot be decoded.
    """
    found = examine(
        room.fetch(recipe.film),
        Expected(
            frames=recipe.frames, fps=recipe.fps, size=(recipe.width, recipe.height), scenes=recipe.scenes,
            windows=recipe.windows, still=recipe.still, heard=recipe.heard,
            voices=tuple(Voice(room.fetch(voice.audio), voice.start) for voice in recipe.voices),
            gain_db=room.facts(recipe.film).get("gain_db"),
            lufs=recipe.loudness_lufs, true_peak_dbtp=recipe.true_peak_dbtp,
            cues=recipe.cues, style=recipe.style or CaptionStyle(),
        ),
        room.progress,
    )
    if recipe.identity is not None:
        room.progress(0.9, "comparing faces")
        found.add(resemblance.examine(recipe, room, compare))
        found.sort()
    told = [finding.model_dump(mode="json") for finding in found.findings]
    report = room.path("report.json")
    report.write_text(json.dumps({"findings": told, "measured": found.figures}, indent=1) + "\n")
    return Outcome(
        files={"main": report}, facts={"findings": told, **found.figures}, made_by=f"ffmpeg {ffmpeg_version()}",
        warnings=tuple(dict.fromkeys(map(str, found.findings))),
    )


def examine(path: Path, expected: Expected, progress: Progress = no_progress) -> Measured:
    """Everything that is wrong with a film, in its order, and the figures behind it.

    Raises MediaUnreadable, MediaError for a file that cannot be decoded.
    """
    facts = probe(path)
    fps = expected.fps or facts.fps or Fraction(25)
    found = Measured()
    progress(0.05, "looking")
    found.add(_pictures(path, facts, fps, expected))
    progress(0.7, "listening")
    found.add(_sound(path, facts, fps, expected))
    found.findings += _captions(fps, facts, expected)
    found.sort()
    return found


def _pictures(path: Path, facts: Facts, fps: Fraction, expected: Expected) -> Measured:
    if not facts.has_video:
        whole = Finding(kind=Kind.FRAMES, start=0, end=0, detail="it has no pictures", remedy="splice the film anew")
        return Measured([whole], {"frames": 0})
    laid = legible.blocks(expected.cues, expected.style, facts.width, facts.height)
    seen = seeing.look(path, facts.width, facts.height, fps, [(block.top, block.bottom) for block in laid])
    found = [*_counted(facts, fps, seen.frames, expected), *seeing.findings(
        seen, fps, expected.scenes, expected.windows, expected.still)]
    return Measured(found, {
        "frames": seen.frames, "duration": round(facts.duration, 4), "width": facts.width, "height": facts.height})


def _counted(facts: Facts, fps: Fraction, frames: int, expected: Expected) -> Iterator[Finding]:
    anew = "run again with splice and mix refreshed; if it stays so, report it with the log of this run"
    end = facts.duration
    wanted = expected.frames if expected.frames is not None else frames
    if frames != wanted:
        short = f"{frames} frames are there, not {wanted}: it is {abs(float((frames - wanted) / fps)):.2f} s too "
        detail = short + ("short" if frames < wanted else "long")
        first, last = sorted((float(frames / fps), float(wanted / fps)))
        yield Finding(kind=Kind.FRAMES, start=round(first, 4), end=round(last, 4), detail=detail, remedy=anew)
    if abs(facts.duration - float(frames / fps)) > 0.5 / fps + 0.001:
        needed = float(frames / fps)
        detail = f"it lasts {facts.duration:.3f} s, but {frames} frames at {float(fps):g} a second are {needed:.3f} s"
        yield Finding(kind=Kind.DURATION, start=0, end=end, detail=detail, remedy=anew)
    if facts.has_audio and abs(facts.audio_duration - facts.duration) > _TAIL_S:
        detail = f"the sound lasts {facts.audio_duration:.2f} s, the pictures {facts.duration:.2f} s"
        first, last = sorted((facts.audio_duration, facts.duration))
        yield Finding(kind=Kind.DURATION, start=first, end=last, detail=detail, remedy=anew)
    if expected.size is not None and (facts.width, facts.height) != expected.size:
        detail = f"it is {facts.width}x{facts.height}, not {expected.size[0]}x{expected.size[1]}"
        yield Finding(kind=Kind.SIZE, start=0, end=end, detail=detail, remedy=anew)


def _sound(path: Path, facts: Facts, fps: Fraction, expected: Expected) -> Measured:
    heard = hearing.listen(path) if facts.has_audio else None
    if heard is None or heard.loudest < _NOTHING_DB:
        silent = Finding(
            kind=Kind.SILENT, start=0, end=facts.duration, detail="nothing is heard from beginning to end",
            remedy="check the volumes of the order, and that its sound files are not empty",
        )
        return Measured([silent] if expected.heard else [], {"lufs": None, "true_peak_dbtp": None})
    found = _loudness(path, heard, expected)
    found.add(_voices(heard, fps, expected))
    for finding in found.findings:
        place = scene_at(expected.scenes, float(finding.start * fps))
        whole = finding.kind in (Kind.LOUDNESS, Kind.TRUE_PEAK)
        found.findings[found.findings.index(finding)] = finding.model_copy(update={"scene": None if whole else place})
    return found


def _loudness(path: Path, heard: hearing.Heard, expected: Expected) -> Measured:
    loudness = measure(path)
    lufs, peak, end = loudness.lufs, loudness.true_peak_dbtp, heard.seconds
    found = [
        Finding(kind=Kind.CLIPPED, start=a, end=b, detail=f"the sound is clipped (true peak {peak} dBTP)",
                remedy="lower the volume of what is heard there, and use a file that is not clipped itself")
        for a, b in heard.clipped
    ]
    if lufs is not None and loudness.measurable and expected.lufs is not None:
        off = lufs - expected.lufs
        if abs(off) > LOUDNESS_LU:
            detail = f"loudness is {lufs:g} LUFS, not {expected.lufs:g}"
            remedy = "lower its loudest effects, or ask for another loudness" if off < 0 else "mix it anew"
            found.append(Finding(kind=Kind.LOUDNESS, start=0, end=end, detail=detail, remedy=remedy))
    ceiling = expected.true_peak_dbtp
    if peak is not None and ceiling is not None and peak > ceiling + PEAK_DB and not heard.clipped:
        detail = f"true peak is {peak:g} dBTP, above {ceiling:g}"
        found.append(Finding(kind=Kind.TRUE_PEAK, start=0, end=end, detail=detail, remedy="mix it anew"))
    return Measured(found, {"lufs": lufs, "true_peak_dbtp": peak})


def _voices(heard: hearing.Heard, fps: Fraction, expected: Expected) -> Measured:
    """Silence where somebody speaks, and voices that are heard at another time or not at all."""
    lines: list[drift.Line] = []
    spoken: list[hearing.Span] = []
    for voice in expected.voices:
        sound = read_audio(voice.sound)
        lines.append(list(drift.seek(heard.coarse, hearing.coarse(sound), voice.start)))
        spoken += [(voice.start + a / RATE, voice.start + b / RATE) for a, b in speech_spans(HeldSound(sound))]
    mute = hearing.mute(heard, [(max(a, 0.0), b) for a, b in spoken if b > 0])
    found = [
        Finding(kind=Kind.SILENT, start=a, end=b, detail="nothing is heard while somebody speaks",
                remedy="run again with mix refreshed; if it stays so, listen to the line's own sound")
        for a, b in mute
    ]
    gain = None if expected.gain_db is None else 10 ** (expected.gain_db / 20)
    missing = list(drift.missing(lines, gain))
    untold = [(a, b) for a, b in missing if not any(start < b and end > a for start, end in mute)]
    found += _missing(untold, fps, expected.scenes)
    placed = list(drift.heard(lines, gain))
    off, worst = drift.drifting(placed), drift.worst(placed)
    if off is not None and worst is not None:
        late = f"voices are heard up to {abs(worst) * 1000:.0f} ms too {'late' if worst > 0 else 'early'}"
        found.append(Finding(kind=Kind.DRIFT, start=off[0], end=off[1], detail=late, remedy=_MIX_ANEW))
    return Measured(found, {
        "drift_ms": None if worst is None else round(worst * 1000, 1),
        "drift": _told(len(placed), len(missing), any(lines)),
    })


def _missing(spans: Sequence[hearing.Span], fps: Fraction, scenes: Sequence[int]) -> Iterator[Finding]:
    """One finding a scene, however many of its lines are not heard."""
    for _, each in itertools.groupby(spans, lambda span: scene_at(scenes, span[0] * float(fps))):
        lines = list(each)
        what = "a line is not heard where it was placed"
        if len(lines) > 1:
            what = f"{len(lines)} lines are not heard where they were placed"
        yield Finding(kind=Kind.DRIFT, start=lines[0][0], end=lines[-1][1], detail=what, remedy=_MIX_ANEW)


def _told(placed: int, missing: int, sought: bool) -> str:
    """What the figure of drift is based on."""
    if placed:
        return f"measured in {placed} places" + (f", {missing} lines not found" if missing else "")
    if missing:
        return "not found: no voice is heard where it was placed"
    why = "what else is heard covers the voices" if sought else "no voice is long and clear enough"
    return f"not measured: {why}"


def _captions(fps: Fraction, facts: Facts, expected: Expected) -> Iterator[Finding]:
    """One finding a scene and complaint, however many of its captions have it."""
    if not facts.has_video:
        return
    laid = legible.blocks(expected.cues, expected.style, facts.width, facts.height)
    groups: dict[tuple[str, int], list[Cue]] = {}
    for complaint, cue in legible.complaints(laid):
        groups.setdefault((complaint, scene_at(expected.scenes, cue.start * float(fps))), []).append(cue)
    for (complaint, scene), cues in groups.items():
        text = cues[0].text.replace("\n", " ")[:40]
        yield Finding(
            kind=Kind.CAPTIONS, start=cues[0].start, end=max(cue.end for cue in cues), scene=scene,
            detail=f"captions {complaint} ({len(cues)}, first {text!r})", remedy=legible.REMEDIES[complaint],
        )
