"""Who speaks at a moment of a clip, and the mouth that goes with it.

A voice with an alignment moves its mouth by phones, as far as the voice is loud; any other by loudness and hiss
alone. Knows nothing of pictures.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from callsheet.alignment import CLOSED, SILENCE, Alignment, MouthShape, Phone, mouth_at
from callsheet.errors import MediaUnreadable
from callsheet.faces.loudness import STEP_S, Sound, listen
from callsheet.recipes import PlacedVoice
from callsheet.store.base import Room

_AUDIBLE = 0.07
"""Openness by loudness below which a voice without phones pauses."""
_PAUSE_S = 0.16
"""A shorter silence between two phones is no pause."""
_RAMP_S = 0.08
"""A mouth gets ready to speak, and comes to rest, in so long a time."""


@dataclass(frozen=True)
class Talk:
    """A speaker's mouth at one moment."""

    shape: MouthShape
    speaking: float
    """0 the picture's own mouth rests, 1 it is the shape; between them on the way."""


@dataclass(frozen=True)
class Voice:
    """A line in a clip's time."""

    speaker: str
    start: float
    """Seconds from the start of the clip; may be negative."""
    sound: Sound
    phones: tuple[Phone, ...]
    """Empty where nobody aligned it."""
    spoken: tuple[tuple[float, float], ...]
    """Stretches of speech in seconds of the line."""

    @property
    def end(self) -> float:
        return self.start + self.sound.seconds

    def at(self, seconds: float) -> Talk:
        """The mouth at a time of the clip."""
        line = seconds - self.start
        opened, hiss, force = self.sound.at(line)
        if self.phones:
            shape = mouth_at(self.phones, line)
            shape = MouthShape(min(shape.opened * force, 1.0), shape.spread, shape.rounded)
        else:
            shape = MouthShape(opened, hiss, 0.0) if opened >= _AUDIBLE else CLOSED
        after = bisect_right(self.spoken, line, key=lambda stretch: stretch[0])
        beside = self.spoken[max(0, after - 1) : after + 1]
        near = (min((line - start) / _RAMP_S, (end - line) / _RAMP_S) + 1 for start, end in beside)
        return Talk(shape, min(max((0.0, *near)), 1.0))


class Voices:
    """All voices of a lip-sync recipe."""

    def __init__(self, voices: Sequence[Voice]) -> None:
        self._voices = voices

    @classmethod
    def of(cls, placed: Sequence[PlacedVoice], room: Room) -> Voices:
        """Read sounds and alignments. Raises MediaUnreadable."""
        return cls([_voice(each, room) for each in placed])

    @property
    def end(self) -> float:
        """When the last voice ends, in seconds of the clip."""
        return max(voice.end for voice in self._voices)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Once each, in order of speaking."""
        return tuple(dict.fromkeys(voice.speaker for voice in sorted(self._voices, key=lambda voice: voice.start)))

    def at(self, seconds: float) -> dict[str, Talk]:
        """The mouths that move at a time of the clip, by speaker; the wider one where two lines overlap."""
        now: dict[str, Talk] = {}
        for voice in self._voices:
            talk = voice.at(seconds)
            held = now.get(voice.speaker)
            if talk.speaking > 0 and (held is None or _weight(talk) > _weight(held)):
                now[voice.speaker] = talk
        return now

    def facts(self) -> dict[str, Any]:
        """How many voices moved a mouth by phones, and how many by loudness."""
        phones = sum(bool(voice.phones) for voice in self._voices)
        return {"voices_by_phones": phones, "voices_by_loudness": len(self._voices) - phones}


def _weight(talk: Talk) -> float:
    return talk.speaking * (0.1 + talk.shape.opened)


def _voice(placed: PlacedVoice, room: Room) -> Voice:
    sound = listen(room.fetch(placed.audio))
    phones = _phones(room.fetch(placed.alignment)) if placed.alignment else ()
    loud = [(n * STEP_S, (n + 1) * STEP_S) for n, opened in enumerate(sound.open) if opened >= _AUDIBLE]
    spoken = [(phone.start, phone.end) for phone in phones if phone.symbol != SILENCE] if phones else loud
    return Voice(placed.speaker, placed.start, sound, phones, _joined(spoken))


def _joined(stretches: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    joined: list[tuple[float, float]] = []
    for start, end in stretches:
        if joined and start - joined[-1][1] < _PAUSE_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _phones(path: Path) -> tuple[Phone, ...]:
    try:
        return Alignment.model_validate_json(path.read_bytes()).phones
    except (OSError, ValidationError) as error:
        raise MediaUnreadable(path=path.name, kind="an alignment", detail=str(error)[:200]) from error
