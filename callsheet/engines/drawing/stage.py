"""A clip, frame by frame: camera, light, people, lettering. Every frame is a function of its index in the scene,
so that one segment goes on where the other ended, and the same recipe gives the same frames.
"""

from __future__ import annotations

from fractions import Fraction
from math import cos, pi, radians, sin

from PIL import Image, ImageOps

from callsheet.engines.drawing.acting import Moment, Pose, expression_of, moment, pose_of
from callsheet.engines.drawing.backdrop import MARGIN_X, MARGIN_Y, Drifter, draw_backdrop
from callsheet.engines.drawing.banner import Banner
from callsheet.engines.drawing.dice import Dice
from callsheet.engines.drawing.looks import cast_of, style_words
from callsheet.engines.drawing.planes import Frame, Sprite
from callsheet.engines.drawing.staging import Placed, place_cast
from callsheet.recipes import ClipRecipe

DISSOLVE_FRAMES = 4
"""A fresh scene comes out of its first frame within so many frames."""
_PIVOT = 0.9
"""The head turns about a point so many units below its middle."""

Mouth = tuple[float, float, float]
"""Centre x, centre y and width, in pixels."""


class Actor:
    """A placed figure as sprites."""

    def __init__(self, placed: Placed) -> None:
        figure = placed.figure
        self.id = figure.look.actor_id
        self._placed, self._unit = placed, figure.unit
        self._back = Sprite.of(figure.back.image, figure.back.origin)
        self._body = Sprite.of(figure.body.image, figure.body.origin)
        self._heads = tuple(Sprite.of(head.image, head.origin) for head in figure.heads)

    def put(self, frame: Frame, now: Moment, drop: float, camera: float) -> Mouth:
        """Draw it as it is now; `camera` moves it sideways, in pixels. Returns where its mouth is."""
        unit, figure = self._unit, self._placed.figure
        x = self._placed.x + camera + now.sway * unit
        y = self._placed.y + (now.bob + drop) * unit
        for layer in (self._back, None, self._heads[now.lids]):
            if layer is not None:
                layer.put_turned(frame, x, y, now.tilt, _PIVOT * unit)
            elif self._body is not None:
                self._body.put(
                    frame, self._placed.x + camera + 0.4 * now.sway * unit, self._placed.y + now.breath * 2 * unit
                )
        turn, down = radians(now.tilt), figure.mouth[1] - _PIVOT * unit
        return (
            x + figure.mouth[0] * cos(turn) - down * sin(turn),
            y + _PIVOT * unit + figure.mouth[0] * sin(turn) + down * cos(turn),
            figure.mouth_width,
        )


class ClipStage:
    """Everything drawn once for a clip; `frame` then puts it together for one instant."""

    def __init__(self, recipe: ClipRecipe, first_frame: Image.Image | None) -> None:
        self._size = (recipe.width, recipe.height)
        self._fps: Fraction = recipe.fps
        self._face = expression_of(recipe.emotion, recipe.intensity)
        details = Dice("clip", recipe.seed, recipe.prompt, recipe.negative, style_words(recipe.loras))
        backdrop = draw_backdrop(recipe.scene, details, *self._size)
        self._far, self._near = Frame.of(backdrop.far), Sprite.of(backdrop.near)
        self._phase, self._push = details.between("camera", 0, 2 * pi), details.between("push", 0, 2 * pi)
        self._drifters = [(drifter, Sprite.of(drifter.image)) for drifter in backdrop.drifters]
        cast = cast_of(recipe.loras)
        pose = pose_of(recipe.angle)
        self._actors = [Actor(p) for p in place_cast(cast, self._face, pose, *self._size, recipe.intensity)]
        self._banner = Banner(recipe, [look.name for look in cast], backdrop.accent)
        fresh = first_frame is not None and recipe.start_frame == 0
        self._first = Frame.of(ImageOps.fit(first_frame.convert("RGB"), self._size)) if fresh and first_frame else None
        if fresh and first_frame and not cast:        # nobody to draw: the picture itself is what the camera sees
            self._far, self._near, self._drifters = Frame.of(_closer(first_frame, pose, backdrop.far.size)), None, []

    def frame(self, index: int) -> tuple[Frame, dict[str, Mouth]]:
        """The picture at an index of the scene (not of the clip), and the mouths in it by actor id."""
        seconds = float(index / self._fps)
        pan = sin(2 * pi * seconds / 26 + self._phase)
        frame = self._backdrop(seconds, pan)
        camera = -0.012 * self._size[0] * pan
        mouths = {
            actor.id: actor.put(frame, moment(seconds, actor.id, self._face), 0.5 * self._face.head_drop, camera)
            for actor in self._actors
        }
        self._banner.put(frame, seconds)
        if self._first is not None and index < DISSOLVE_FRAMES:
            frame = frame.blend(self._first, 1 - index / DISSOLVE_FRAMES)
        return frame, mouths

    def _backdrop(self, seconds: float, pan: float) -> Frame:
        width, height = self._size
        zoom = 1 - 0.035 * (1 + sin(2 * pi * seconds / 31 + self._push)) / 2
        wide, high = width * zoom, height * zoom
        middle_x = self._far.y.width / 2 + 0.5 * MARGIN_X * width * pan
        middle_y = self._far.y.height / 2 + 0.4 * MARGIN_Y * height * sin(2 * pi * seconds / 37 + self._phase)
        frame = self._far.window(middle_x - wide / 2, middle_y - high / 2, wide, high, self._size)
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
