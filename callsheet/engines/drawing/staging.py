"""Where people stand in a picture, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import radians

from callsheet.engines.drawing.acting import Expression, Pose
from callsheet.engines.drawing.figure import PAPER, Figure, Medium, draw_figure
from callsheet.engines.drawing.looks import Look


@dataclass(frozen=True)
class Placed:
    """A figure and the place of its head's middle, in pixels of the picture."""

    figure: Figure
    x: float
    y: float


def place_cast(
    cast: Sequence[Look],
    face: Expression,
    pose: Pose,
    width: int,
    height: int,
    intensity: float,
    share: float = 0.185,
    medium: Medium = PAPER,
) -> list[Placed]:
    """The cast from left to right, each turned to the middle; the back row comes first.

    `share` is a single head's radius as a part of the picture's height.
    """
    count = len(cast)
    if not count:
        return []
    gap = min(1 / count, 0.42) * width
    unit = min(share * height, 0.26 * width if count == 1 else 0.44 * width / (count + 0.35))
    unit *= pose.scale * (1 + 0.1 * (intensity - 0.5))
    if count > 1:
        unit = min(unit, gap / 2.1)
    middle = 0.4 * height + (pose.scale - 1) * 0.1 * height + 0.4 * max(0.0, 0.58 * height - 4.6 * unit)
    placed = []
    for n, look in enumerate(cast):
        facing = 1 if n < count / 2 else -1
        behind = count > 3 and n % 2 == 1
        yaw = pose.yaw if count == 1 else max(pose.yaw, radians(12))
        x = width / 2 + (n - (count - 1) / 2) * gap - (0.035 * width * min(yaw, 0.6) / 0.6 if count == 1 else 0)
        y = middle - (0.9 * unit if behind else 0)
        figure = draw_figure(look, face, yaw, unit, facing, (height - y) / unit + 0.3, medium)
        placed.append((behind, Placed(figure, x, y)))
    return [item for _, item in sorted(placed, key=lambda pair: not pair[0])]
