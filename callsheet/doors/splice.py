"""`callsheet splice`: any clips as one film. Reads the options and prints the result; media/joining.py works."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from callsheet.doors import terminal
from callsheet.errors import InputError
from callsheet.presets import Door, TransitionKind, quality_from
from callsheet.units import Rate

_NAMED = 3
"""Clips of a row that are named; the others are counted."""

KINDS = ", ".join(kind.value for kind in TransitionKind)

Clips = Annotated[list[Path], typer.Argument(metavar="CLIP...", help="Clips and pictures, in order of play.")]


def splice(
    clips: Clips,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.mp4", help="Where the film goes.")],
    transition: Annotated[
        list[str] | None,
        typer.Option("--transition", "-t", help=f"{KINDS}. Once for all joints, or once a joint. Default: cut."),
    ] = None,
    seconds: Annotated[
        list[float] | None,
        typer.Option("--seconds", "-s", help="Of a transition; once, or once a joint. Default: 0.5."),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="In pixels. Default: the first clip's.")] = "",
    fps: Annotated[str, typer.Option(help="Frames a second: 25, 29.97 or 30000/1001. Default: the highest.")] = "",
    quality: Annotated[
        str, typer.Option(help="Of what is encoded: draft, standard, high, premium, cinematic."),
    ] = "standard",
    still_seconds: Annotated[float, typer.Option("--still-seconds", help="How long a picture is shown.")] = 5.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and the film.")] = False,
) -> None:
    """Join clips, and encode no more of them than has to be: what can be copied is copied.

    Clips may differ in size, shape, rate and format; their sound comes along, cross-faded with the pictures.
    Example: callsheet splice a.mp4 b.mp4 c.mp4 --transition crossfade --seconds 0.5 -o film.mp4
    """
    from callsheet.media.choosing import Wish
    from callsheet.media.joining import join

    started = time.monotonic()
    wish = Wish(
        transitions=tuple(_kind(word) for word in transition or ()), seconds=tuple(seconds or ()),
        size=_size(size), fps=_rate(fps), quality=_quality(quality), still_seconds=still_seconds,
    )
    out = terminal.console(quiet or as_json)
    with _Bar(out) as bar:
        film = join(clips, wish, output, overwrite, bar.show)
    facts = {"output": str(film.path), **film.facts, "elapsed_s": round(time.monotonic() - started, 2)}
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    elif quiet:
        typer.echo(str(film.path))
    else:
        _tell(out, facts)


def _tell(out: Console, facts: dict[str, Any]) -> None:
    """What came out, and how it was made."""
    sound = "with sound" if facts["sound"] else "no clip has sound"
    rate = f"{float(Fraction(facts['fps'])):.3f}".rstrip("0").rstrip(".")
    out.print(f"[bold]{escape(facts['output'])}[/]  {facts['duration']:.3f} s  "
              f"{facts['width']}x{facts['height']}@{rate}  {sound}")
    out.print(f"[green]{facts['method'].replace('_', ' ')}[/]: {escape(facts['reason'])}")
    out.print(_totals(facts))
    for named, (treatment, reason) in _rows(facts["clips"]):
        out.print(f"  [dim]{escape(named)}: {treatment}, it {escape(reason)}[/]")
    for warning in facts["warnings"]:
        out.print(f"  [yellow]![/] {escape(warning)}")
    out.print(f"[dim]{facts['elapsed_s']:.1f} s[/]")


def _totals(facts: dict[str, Any]) -> str:
    """Frames of the film, those copied, and those encoded with what for: a frame may be encoded more than once."""
    encoded, conforming = facts["frames_encoded"], facts["frames_conformed"]
    said = [f"{_count(facts['frames'], 'frame')} in the film"]
    if facts["frames_copied"]:
        said.append(f"{facts['frames_copied']} copied as they were")
    parts = f": {conforming} conforming, {encoded - conforming} joining" if 0 < conforming < encoded else ""
    if encoded:
        said.append(f"{encoded} encoded{parts}")
    if facts["windows"]:
        said.append(_count(facts["windows"], "transition"))
    return "; ".join(said)


def _rows(clips: Sequence[dict[str, Any]]) -> list[tuple[str, tuple[str, str]]]:
    """What was done with clips that were not just copied, a row for all with which the same was done."""
    groups: dict[tuple[str, str], list[str]] = {}
    for clip in clips:
        if clip["reason"]:
            groups.setdefault((clip["treatment"], clip["reason"]), []).append(clip["path"])
    rows = []
    for done, paths in groups.items():
        names = list(dict.fromkeys(paths))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        times = f" ({len(paths)} clips)" if len(paths) > 1 else ""
        rows.append((", ".join(names[:_NAMED]) + more + times, done))
    return rows


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _kind(word: str) -> TransitionKind:
    try:
        return TransitionKind(word.strip().lower())
    except ValueError:
        raise InputError(detail=f"{word!r} is no transition", remedy=f"choose one of {KINDS}") from None


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())
    if found is None:
        raise InputError(detail=f"--size {text} is no size", remedy="write width x height, such as 1280x720")
    return int(found[1]), int(found[2])


def _rate(text: str) -> Fraction | None:
    if not text:
        return None
    try:
        given: float | str = float(text) if re.fullmatch(r"\d+\.\d+", text) else text      # 29.97 is 30000/1001
        return TypeAdapter[Fraction](Rate).validate_python(given)
    except ValidationError:
        raise InputError(detail=f"--fps {text} is no rate", remedy="give 1 to 120, such as 29.97") from None


def _quality(word: str) -> Any:
    try:
        return quality_from(word, Door.OWN)
    except ValueError as error:
        raise InputError(detail=str(error), remedy="choose one with --quality") from error


@dataclass
class _Bar:
    """A bar on a terminal; nothing elsewhere."""

    out: Console

    def __enter__(self) -> _Bar:
        columns: Sequence[Any] = (
            SpinnerColumn(), BarColumn(bar_width=24), TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._shown = Progress(*columns, console=self.out, transient=True,
                               disable=self.out.quiet or not self.out.is_terminal)
        self._row = self._shown.add_task("", total=1.0)
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def show(self, share: float, what: str) -> None:
        self._shown.update(self._row, completed=share, description=what)
