"""A clip, frame by frame: camera, people, margin. Every frame is a function of its index in the scene, so that one
segment goes on where the other ended, and the same recipe gives the same frames.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import cos, pi, radians, sin

from PIL import Image, ImageOps

from callsheet.engines.drawing.acting import Moment, Pose, expression_of, moment, pose_of
from callsheet.engines.drawing.backdrop import MARGIN_X, MARGIN_Y, Drifter, draw_backdrop
from callsheet.engines.drawing.dice import Dice
from callsheet.engines.drawing.figure import Medium
from callsheet.engines.drawing.looks import cast_of, style_words
from callsheet.engines.drawing.margin import Margin, margin_height
from callsheet.engines.drawing.planes import Frame, Panorama, to_yuv
from callsheet.engines.drawing.sprites import Cutout, Sprite
from callsheet.engines.drawing.staging import Placed, place_cast
from callsheet.recipes import ClipRecipe

DISSOLVE_FRAMES = 4
"""A fresh scene comes out of its first frame within so many frames."""
FILM = Medium(to_yuv, 3)
_PIVOT = 0.9
"""The head turns about a point so many units below its middle."""
_PAN_SECONDS = 26
_BLUR = 1 / 600
"""Of what is far, as a share of the picture's shorter side."""

Mouth = tuple[float, float, float]
"""Centre x, centre y and width, in pixels."""


class Actor:
    """A placed figure as cutouts."""

    def __init__(self, placed: Placed) -> None:
        figure = placed.figure
        self.id = figure.look.actor_id
        self._placed, self._unit = placed, figure.unit
        self._body = Sprite.sharp(figure.body)
        self._back, self._head = Cutout.of(figure.back), Cutout.of(figure.head)
        self._lids = cache(lambda lids: Cutout.of(figure.lids(lids), sealed=True))

    def put(self, frame: Frame, now: Moment, drop: float, camera: float) -> Mouth:
        """Draw it as it is now; `camera` moves it sideways, in pixels. Returns where its mouth is."""
        unit, figure = self._unit, self._placed.figure
        pivot = _PIVOT * unit
        x = self._placed.x + camera + now.sway * unit
        y = self._placed.y + (now.bob + drop) * unit
        if self._back is not None:
            self._back.put(frame, x, y, now.tilt, pivot)
        if self._body is not None:
            self._body.put(frame, x - 0.6 * now.sway * unit, self._placed.y + now.breath * 2 * unit)
        for part in (self._head, self._lids(now.lids) if now.lids else None):
            if part is not None:
                part.put(frame, x, y, now.tilt, pivot)
        turn, down = radians(now.tilt), figure.mouth[1] - pivot
        return (
            x + figure.mouth[0] * cos(turn) - down * sin(turn),
            y + pivot + figure.mouth[0] * sin(turn) + down * cos(turn),
            figure.mouth_width,
        )


class ClipStage:
    """Everything drawn once for a clip; `frame` then puts it together for one instant."""

    def __init__(self, recipe: ClipRecipe, first_frame: Image.Image | None) -> None:
        self._frame_size = (recipe.width, recipe.height)
        cast, pose = cast_of(recipe.loras), pose_of(recipe.angle)
        self._size = (recipe.width, recipe.height - margin_height(recipe))
        self._fps: Fraction = recipe.fps
        self._face = expression_of(recipe.emotion, recipe.intensity)
        details = Dice("clip", recipe.seed, recipe.prompt, recipe.negative, style_words(recipe.loras))
        self._phase = details.between("camera", 0, 2 * pi)
        backdrop = draw_backdrop(recipe.scene, details, *self._size, to_yuv)
        far, self._near = Frame.drawn(backdrop.far), Sprite.of(backdrop.near)
        self._drifters = [(drifter, Sprite.of(drifter.image)) for drifter in backdrop.drifters]
        self._actors = [
            Actor(placed) for placed in place_cast(cast, self._face, pose, *self._size, recipe.intensity, medium=FILM)
        ]
        self._margin = Margin(recipe, [look.name for look in cast], backdrop.accent) if self._has_margin() else None
        self._first: Frame | None = None
        if first_frame is not None and recipe.start_frame == 0:
            self._first = Frame.of(ImageOps.fit(first_frame, self._frame_size))
            if not cast:                              # nobody to draw: the picture itself is what the camera sees
                far, self._near, self._drifters = Frame.of(_closer(first_frame, pose, backdrop.far.size)), None, []
        self._far = Panorama(far, _BLUR * min(self._size))

    def _has_margin(self) -> bool:
        return self._size != self._frame_size

    def frame(self, index: int) -> tuple[Frame, dict[str, Mouth]]:
        """The picture at an index of the scene (not of the clip), and the mouths in it by actor id."""
        seconds = float(index / self._fps)
        pan = sin(2 * pi * seconds / _PAN_SECONDS + self._phase)
        frame = self._backdrop(seconds, pan)
        camera = -0.012 * self._size[0] * pan
        mouths = {
            actor.id: actor.put(frame, moment(seconds, actor.id, self._face), 0.5 * self._face.head_drop, camera)
            for actor in self._actors
        }
        if self._margin is not None:
            self._margin.put(frame, seconds)
        if self._first is not None and index < DISSOLVE_FRAMES:
            frame = frame.blend(self._first, 1 - index / DISSOLVE_FRAMES)
        return frame, mouths

    def _backdrop(self, seconds: float, pan: float) -> Frame:
        width, height = self._size
        aside, above = (self._far.size[0] - width) / 2, 2 * ((self._far.size[1] - height) // 4)
        frame = self._far.window(aside + 0.5 * MARGIN_X * width * pan, above, self._frame_size)
        for drifter, sprite in self._drifters:
            if sprite is not None:
                sprite.put(frame, *_drifted(drifter, seconds, width))
        if self._near is not None:
            self._near.put(frame, -MARGIN_X * width * (1 + 0.9 * pan), -MARGIN_Y * height)
        return frame


def _closer(picture: Image.Image, pose: Pose, size: tuple[int, int]) -> Image.Image:
    """The picture in that size, as near as the pose is."""
    share = min(1.0, 1 / pose.scale)
    width, height = picture.width * share, picture.height * share
    left, top = (picture.width - width) / 2, 0.4 * (picture.height - height)
    return ImageOps.fit(picture.convert("RGB").crop((int(left), int(top), int(left + width), int(top + height))), size)


def _drifted(drifter: Drifter, seconds: float, width: int) -> tuple[float, float]:
    way = width + 2 * drifter.image.width
    x = (drifter.x + drifter.speed_x * seconds) % way - 1.5 * drifter.image.width
    return x, drifter.y + drifter.swing_y * sin(0.6 * seconds + drifter.x)
