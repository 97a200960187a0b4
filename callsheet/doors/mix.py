"""`callsheet mix`: sound and captions for any video. Reads the options and prints the result; media/remix.py works."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from callsheet.doors import terminal
from callsheet.errors import InputError
from callsheet.presets import DEFAULT_PLATFORM, LOUDNESS, LoudnessTarget, Platform

if TYPE_CHECKING:
    from callsheet.media.remix import Spot

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_AT = re.compile(rf"(?P<path>.+)@(?P<seconds>{_NUMBER})(?::(?P<volume>{_NUMBER}))?", re.DOTALL)
_BEFORE = re.compile(rf".+@-(?:{_NUMBER})(?::.*)?", re.DOTALL)
_NAN = re.compile(r".+@(?:nan|[-+]?inf(?:inity)?)(?::.*)?", re.DOTALL | re.IGNORECASE)
_LOUDEST = 4.0


def mix(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="MP4, MOV, Matroska, WebM, AVI, MPEG-TS, FLV ...")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.mp4", help="Or .m4v, .mov.")],
    voice: Annotated[
        list[str] | None, typer.Option(metavar="FILE[@SECONDS]", help="Speech; music goes down under it. Repeatable."),
    ] = None,
    music: Annotated[Path | None, typer.Option(help="Under the whole film: cut or looped.")] = None,
    ambience: Annotated[Path | None, typer.Option(help="The same, but never ducked.")] = None,
    sfx: Annotated[
        list[str] | None, typer.Option(metavar="FILE@SECONDS[:VOLUME]", help="A sound effect. Repeatable."),
    ] = None,
    music_volume: Annotated[float, typer.Option(min=0, max=4, help="While nobody speaks; 1 is as it is.")] = 0.15,
    ambience_volume: Annotated[float, typer.Option(min=0, max=4)] = 0.1,
    duck_db: Annotated[float, typer.Option(min=-60, max=0, help="Change of the music under speech.")] = -8.0,
    attack_ms: Annotated[float, typer.Option(min=1, max=5000, help="How long music takes to go down.")] = 50.0,
    release_ms: Annotated[float, typer.Option(min=1, max=10000, help="How long it takes to come back.")] = 300.0,
    platform: Annotated[Platform | None, typer.Option(help="Whose loudness is reached. Default: youtube.")] = None,
    lufs: Annotated[float | None, typer.Option(min=-40, max=-5, help="Loudness; beats the platform's.")] = None,
    captions: Annotated[Path | None, typer.Option(metavar="FILE", help=".srt, .vtt or .ass.")] = None,
    burn: Annotated[bool, typer.Option("--burn", help="Draw the captions into the pictures.")] = False,
    stems: Annotated[Path | None, typer.Option(metavar="FOLDER", help="For voice, music_effects, full_mix.")] = None,
    keep_sound: Annotated[bool, typer.Option("--keep-sound", help="Keep the video's own, as a voice.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and the film.")] = False,
) -> None:
    """Lay voices, music, ambience and effects under a video: ducked, brought to loudness, pictures copied.

    Example: callsheet mix film.mp4 --voice anna.wav@1.5 --music bed.mp3 --sfx door.wav@4:0.5 -o mixed.mp4
    """
    from callsheet.media.remix import Wish, remix
    from callsheet.models import Ducking

    started = time.monotonic()
    target = LOUDNESS[platform or DEFAULT_PLATFORM]
    wish = Wish(
        voices=tuple(voice_at(text) for text in voice or ()), music=music, ambience=ambience,
        effects=tuple(effect_at(text) for text in sfx or ()), ambience_volume=ambience_volume,
        ducking=Ducking(base_volume=music_volume, duck_db=duck_db, attack_ms=attack_ms, release_ms=release_ms),
        loudness=target if lufs is None else LoudnessTarget(lufs, target.true_peak_dbtp),
        keep_sound=keep_sound, captions=captions, burn=burn, stems=stems,
    )
    out = terminal.console(quiet or as_json)
    with out.status("reading the video") as status:
        film = remix(video, wish, output, overwrite, lambda share, what: status.update(f"{what} {share:.0%}"))
    facts = {**film.facts, "seconds": round(time.monotonic() - started, 2)}
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif quiet:
        typer.echo(str(film.path))
    else:
        _tell(out, facts, "own choice" if lufs is not None else (platform or DEFAULT_PLATFORM).value)


def voice_at(text: str) -> Spot:
    """`FILE` or `FILE@SECONDS`. A file that is really called that is meant, even with an @ in its name."""
    from callsheet.media.remix import Spot

    found = None if Path(text).is_file() else _moment("--voice", text)
    if found is None:
        return Spot(Path(text))
    if found["volume"] is not None:
        raise InputError(detail=f"--voice {text} has a volume", remedy="write FILE@SECONDS; voices keep their level")
    return Spot(Path(found["path"]), float(found["seconds"]))


def effect_at(text: str) -> Spot:
    """`FILE@SECONDS` or `FILE@SECONDS:VOLUME`; what is before the last @ is the path."""
    from callsheet.media.remix import Spot

    found = _moment("--sfx", text)
    meant = Path(found["path"]).is_file() if found else False
    if Path(text).is_file() and not meant:
        raise InputError(detail=f"--sfx {text} says not when", remedy=f"{text} is a file: write {text}@SECONDS")
    if found is None:
        raise InputError(detail=f"--sfx {text} says not when", remedy="write FILE@SECONDS, such as door.wav@4:0.5")
    volume = float(found["volume"] or 1)
    if volume > _LOUDEST:
        raise InputError(detail=f"--sfx {text} is too loud", remedy=f"give a volume from 0 to {_LOUDEST:g}")
    return Spot(Path(found["path"]), float(found["seconds"]), volume)


def _moment(option: str, text: str) -> re.Match[str] | None:
    """Path, seconds and volume; None where there is no moment in it. Raises InputError for one that cannot be."""
    if not Path(text).is_file():
        if _BEFORE.fullmatch(text):
            raise InputError(detail=f"{option} {text} is before the film", remedy="seconds start at 0")
        if _NAN.fullmatch(text):
            raise InputError(detail=f"{option} {text}: that is no number", remedy="write FILE@SECONDS")
    return _AT.fullmatch(text)


def _tell(out: Console, facts: dict[str, Any], wanted: str) -> None:
    """What came out, what was chosen, and why."""
    out.print(f"[bold]{escape(facts['output'])}[/]  {facts['duration']:.3f} s  {facts['width']}x{facts['height']}")
    out.print(f"pictures [green]{facts['video']}[/]: {escape(facts['why'])}")
    lufs, peak = facts["lufs"], facts["true_peak_dbtp"]
    reached = "silent" if lufs is None else f"{lufs:g} LUFS, true peak {peak:g} dBTP"
    out.print(f"sound: {reached} [dim](wanted {facts['target_lufs']:g} LUFS, {wanted}; "
              f"at most {facts['target_true_peak_dbtp']:g} dBTP)[/]")
    music = f"; music {facts['ducked_db']:g} dB under it" if facts["ducked_db"] else ""
    own = f"; the video's own sound is {facts['own_sound']}" if facts["own_sound"] != "none" else ""
    out.print(f"speech: {facts['speech_s']:.1f} s{music}{own}")
    if facts["captions"]:
        how = "drawn into the pictures" if facts["burned"] else "in the film, to be switched on"
        out.print(f"captions: {facts['captions']}, {how}")
    for kind, path in facts["files"].items():
        if kind != "main":
            out.print(f"  [dim]{kind}: {escape(path)}[/]")
    for warning in facts["warnings"]:
        out.print(f"  [yellow]![/] {escape(warning)}")
    out.print(f"[dim]{facts['seconds']:.1f} s[/]")
