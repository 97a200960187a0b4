"""The mix encoded into the film at its loudness, with true peaks below the ceiling as they are after AAC.

Encode, measure what came out, and correct: a limiter knows what it lets through, but an encoder adds peaks of its
own. Covers those rounds, and why a film is not at its target where it is not; the limiter itself is in limiter.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from callsheet.media.ffmpeg import Command, writer
from callsheet.media.limiter import MOST_EXTRA_DB, Master, Profile, master, master_for
from callsheet.media.loudness import SHORTEST_SECONDS, UNMEASURABLE_LUFS, Loudness, measure, measure_raw
from callsheet.media.mixdown import Mixdown
from callsheet.recipes import MixRecipe

ENCODER_HEADROOM_DB = 0.7
"""AAC adds 0.2 to 0.6 dB to the true peaks of films: the master stays so far below, so one encode is enough."""

_ROUNDS = 3
_LAST_ROUNDS = 3
"""Rounds in which only the gain goes down: what is encoded keeps its shape, so its peaks follow."""
_STEP = 1.5
"""dB of ceiling for a dB over it: noise and bursts give the limiter less than it is asked for."""
_MARGIN_DB = 0.1
_PRECISION = 0.05
"""Half a step of the measured figures."""
_CLOSE_LU = 0.5


@dataclass(frozen=True)
class Mastered:
    """A film's sound as it was encoded."""

    heard: Loudness
    """Measured in the film."""
    made: Master
    warnings: tuple[str, ...] = ()
    """Why it is not what was asked."""


def encode_mastered(
    recipe: MixRecipe, command: Command, film: Path, mixdown: Mixdown, progress: Callable[[float], None]
) -> Mastered:
    """Run `command`, which makes `film` of the samples it is given, until loudness and peaks are right.

    `progress` gets the share done; a second round is rarely needed. Raises MediaError.
    """
    profile = mixdown.profile
    target, ceiling = recipe.loudness_lufs, recipe.true_peak_dbtp - ENCODER_HEADROOM_DB
    lufs = UNMEASURABLE_LUFS if profile.silent else measure_raw(mixdown.path, profile.peak_db)
    for attempt in range(_ROUNDS):
        made, expected = _master(profile, lufs, target, ceiling)
        hindrance = _hindrance(recipe, made, target - lufs, target - expected)
        heard = _encode(command, film, mixdown, made, attempt, progress)
        over = _over(heard, recipe)
        reached = abs(expected - target) <= _CLOSE_LU
        lost = recipe.loudness_lufs - heard.lufs if heard.lufs is not None and reached else 0.0
        if over <= 0 and abs(lost) <= _CLOSE_LU:       # AAC leaves out the highest tones
            break
        if over > 0:
            ceiling = min(ceiling, profile.peak_db + made.gain_db) - _STEP * over - _MARGIN_DB
        else:
            target += lost
    for attempt in range(_ROUNDS, _ROUNDS + _LAST_ROUNDS):
        if over <= 0:
            break
        made = replace(made, gain_db=made.gain_db - over - _MARGIN_DB)
        hindrance = hindrance or _no_room(recipe)
        heard = _encode(command, film, mixdown, made, attempt, progress)
        over = _over(heard, recipe)
    return Mastered(heard, made, tuple(_warnings(recipe, heard, hindrance)))


def _master(profile: Profile, lufs: float, target: float, ceiling: float) -> tuple[Master, float]:
    """What brings it to the target, and what that will come to; what cannot be measured is only limited."""
    if lufs > UNMEASURABLE_LUFS:
        return master_for(profile, lufs, target, ceiling)
    return master(profile, 0.0, ceiling), lufs


def _hindrance(recipe: MixRecipe, made: Master, wanted_db: float, short_lu: float) -> str:
    """Why it will stay below its target; empty when it should not."""
    if short_lu <= _CLOSE_LU:
        return ""
    if made.gain_db > wanted_db + MOST_EXTRA_DB - _MARGIN_DB:
        return f"{_no_room(recipe)}, and over {MOST_EXTRA_DB:g} dB of extra gain into the limiter would squash it"
    return _no_room(recipe)


def _no_room(recipe: MixRecipe) -> str:
    return f"its peaks leave no room below {recipe.true_peak_dbtp:g} dBTP"


def _encode(
    command: Command, film: Path, mixdown: Mixdown, made: Master, attempt: int, progress: Callable[[float], None]
) -> Loudness:
    begun = 1 - 0.5**attempt
    with writer(command) as pipe:
        for share, piece in mixdown.mastered(made):
            progress(begun + share * (1 - begun) / 2)
            pipe.write(piece.data)
    return Loudness(None, None) if mixdown.profile.silent else measure(film)


def _over(heard: Loudness, recipe: MixRecipe) -> float:
    """dB over the ceiling, as far as the figures can tell; not above 0 when it is below."""
    return 0.0 if heard.true_peak_dbtp is None else heard.true_peak_dbtp + _PRECISION - recipe.true_peak_dbtp


def _warnings(recipe: MixRecipe, heard: Loudness, hindrance: str) -> list[str]:
    found, target = [], recipe.loudness_lufs
    if heard.lufs is not None and not heard.measurable:
        short = recipe.seconds < SHORTEST_SECONDS
        what = f"shorter than {SHORTEST_SECONDS:g} s" if short else "too quiet or too sparse to be measured"
        found.append(f"the sound is {what}: its loudness stays as it is")
    elif heard.lufs is not None and abs(heard.lufs - target) > 1:
        why = hindrance if heard.lufs < target and hindrance else "it is too short or too sparse to be foretold"
        found.append(f"loudness is {heard.lufs:g} LUFS, not {target:g}: {why}")
    if heard.true_peak_dbtp is not None and heard.true_peak_dbtp > recipe.true_peak_dbtp:
        found.append(f"true peak is {heard.true_peak_dbtp:g} dBTP, above {recipe.true_peak_dbtp:g}")
    return found
