"""Emotions, angles and how they move: data, and a stable way from any other word to such data.

Emotions and angles are open sets. A word that is not in the table is turned into numbers by its hash, so it
always looks the same and differs from its neighbours; it is never refused and never taken for `neutral`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import floor, pi, radians, sin

from callsheet.engines.drawing.dice import Dice


@dataclass(frozen=True)
class Expression:
    """A face. All numbers are deviations that intensity exaggerates; 0 is a calm face."""

    smile: float = 0.0
    """-1 mouth corners down, 1 up."""
    mouth_width: float = 0.0
    mouth_open: float = 0.0
    brow_tilt: float = 0.0
    """Positive: inner ends down, as in anger; negative: inner ends up, as in sorrow."""
    brow_lift: float = 0.0
    eye_open: float = 0.0
    blush: float = 0.0
    head_tilt: float = 0.0
    """Degrees to the side."""
    head_drop: float = 0.0
    energy: float = 0.0
    """How much and how fast it moves."""
    look_up: float = 0.0


EMOTIONS: dict[str, Expression] = {
    "neutral": Expression(smile=0.18, energy=0.0),
    "happy": Expression(
        smile=1.0, mouth_width=0.3, mouth_open=0.36, brow_lift=0.4, eye_open=-0.12, blush=0.8, head_tilt=4, energy=0.8
    ),
    "intense": Expression(
        smile=-0.1,
        mouth_width=-0.12,
        brow_tilt=0.8,
        brow_lift=-0.55,
        eye_open=-0.3,
        head_tilt=-2,
        head_drop=0.05,
        energy=0.25,
    ),
    "sad": Expression(
        smile=-0.8,
        mouth_width=-0.2,
        brow_tilt=-0.9,
        brow_lift=0.15,
        eye_open=-0.35,
        head_tilt=-5,
        head_drop=0.12,
        energy=-0.5,
        look_up=-0.6,
    ),
    "surprised": Expression(smile=-0.12, mouth_width=-0.5, mouth_open=0.7, brow_lift=1.0, eye_open=0.5, energy=0.4),
    "angry": Expression(
        smile=-0.85,
        mouth_width=0.1,
        mouth_open=0.2,
        brow_tilt=1.3,
        brow_lift=-0.6,
        eye_open=-0.15,
        blush=0.5,
        energy=0.7,
    ),
    "afraid": Expression(
        smile=-0.5,
        mouth_width=-0.1,
        mouth_open=0.3,
        brow_tilt=-0.8,
        brow_lift=0.7,
        eye_open=0.45,
        head_drop=0.06,
        energy=0.6,
    ),
    "thoughtful": Expression(
        smile=-0.05, mouth_width=-0.25, brow_tilt=0.15, brow_lift=0.35, head_tilt=6, energy=-0.3, look_up=0.8
    ),
    "tired": Expression(
        smile=-0.25,
        brow_tilt=-0.3,
        brow_lift=-0.1,
        eye_open=-0.6,
        head_tilt=-3,
        head_drop=0.1,
        energy=-0.6,
        look_up=-0.3,
    ),
    "excited": Expression(
        smile=1.0, mouth_width=0.3, mouth_open=0.6, brow_lift=0.9, eye_open=0.35, blush=0.7, head_tilt=3, energy=1.2
    ),
    "calm": Expression(smile=0.4, brow_lift=0.1, eye_open=-0.25, energy=-0.4),
}


def expression_of(emotion: str, intensity: float) -> Expression:
    """The face of an emotion. `intensity` from 0 (a hint) to 1 (exaggerated)."""
    base = EMOTIONS.get(emotion) or _unknown_emotion(emotion)
    much = 0.35 + 1.25 * intensity
    return Expression(*(value * much for value in astuple(base)))


def _unknown_emotion(word: str) -> Expression:
    dice = Dice("emotion", word)
    return Expression(
        smile=dice.between("smile", -0.9, 0.9),
        mouth_width=dice.between("width", -0.3, 0.3),
        mouth_open=max(0.0, dice.between("open", -0.5, 0.5)),
        brow_tilt=dice.between("tilt", -1, 1),
        brow_lift=dice.between("lift", -0.5, 0.9),
        eye_open=dice.between("eye", -0.4, 0.4),
        blush=max(0.0, dice.between("blush", -0.6, 0.8)),
        head_tilt=dice.between("head", -6, 6),
        energy=dice.between("energy", -0.4, 0.9),
        look_up=dice.between("look", -0.5, 0.6),
    )


@dataclass(frozen=True)
class Pose:
    """How the camera sees a person."""

    yaw: float
    """Turn of the head to the right of the picture, in radians; 0 faces the camera."""
    scale: float = 1.0
    """Size of the figure; a close-up is larger."""


_ANGLES: dict[str, Pose] = {
    "front": Pose(0.0),
    "three_quarter": Pose(radians(34)),
    "closeup": Pose(radians(7), 1.5),
    "profile": Pose(radians(76)),
    "wide": Pose(radians(10), 0.72),
}


def pose_of(angle: str) -> Pose:
    """The pose of an angle; an unknown one is a front view with a slight turn of its own."""
    return _ANGLES.get(angle) or Pose(radians(Dice("angle", angle).between("yaw", 9, 22)))


@dataclass(frozen=True)
class Moment:
    """Where a person is at one instant: offsets in figure units, angles in degrees."""

    sway: float
    bob: float
    breath: float
    """Stretch of the body, as a share of its height."""
    tilt: float
    lids: int
    """0 open, 1 half, 2 closed."""


def moment(seconds: float, who: str, face: Expression) -> Moment:
    """The idle motion of a person at a time of the scene: a function of absolute time, so segments join."""
    dice = Dice("idle", who)
    lively = max(0.35, 1 + 0.7 * face.energy)
    turn = 2 * pi * seconds

    def wave(name: str, hertz: float) -> float:
        return sin(turn * hertz + 2 * pi * dice.unit(name))

    return Moment(
        sway=0.05 * lively * wave("sway", 0.19) + 0.02 * wave("sway2", 0.47),
        bob=0.035 * lively * wave("bob", 0.31 + 0.12 * max(face.energy, 0)) + 0.012 * wave("bob2", 0.83),
        breath=0.012 * wave("breath", 0.27),
        tilt=face.head_tilt + 1.6 * lively * wave("tilt", 0.16) + 0.6 * wave("tilt2", 0.41),
        lids=_lids(seconds, dice),
    )


_BLINK_EVERY_S = 2.9


def _lids(seconds: float, dice: Dice) -> int:
    slot = floor(seconds / _BLINK_EVERY_S)
    at = (slot + dice.between(f"blink {slot}", 0.25, 0.75)) * _BLINK_EVERY_S
    away = abs(seconds - at)
    return 2 if away < 0.05 else 1 if away < 0.095 else 0
