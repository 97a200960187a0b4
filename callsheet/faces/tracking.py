"""Follows faces through a clip: where each speaker's mouth is in every frame, without jitter.

All frames are seen before any is changed, so that a mouth can be smoothed without lagging behind, and a face that is
lost for some frames is carried over them. Knows nothing of speech.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.faces.footage import image_of
from callsheet.faces.landmarks import Landmarks, Points, Seen, Square, around
from callsheet.faces.mouth import Planes
from callsheet.faces.tracks import Mouth as Place
from callsheet.faces.tracks import mouth_in
from callsheet.faces.warp import Mouth, fit, mouth_of

LARGE = 640
"""Longest side in pixels of a frame that the models see as it is; a larger one is halved for them."""
HELD = 12
"""Frames without a face that are carried over."""
_SOFT, _SOFTER = 1.0, 3.0
"""Frames over which places, and the fit of the lips, are smoothed (standard deviations)."""


@dataclass
class Follower:
    """One face through a clip: the largest there is, or the one whose mouth is where `track` says."""

    landmarks: Landmarks
    track: list[Place] | None = None
    _square: Square | None = None
    _points: list[Points | None] = field(default_factory=list)
    _fits: list[tuple[float, float]] = field(default_factory=list)

    def see(self, planes: Planes) -> None:
        """Look at the next frame. Raises MediaUnreadable when the track has ended."""
        index = len(self._points)
        place = mouth_in(self.track, index) if self.track is not None else None
        half = max(planes[0].shape) > LARGE
        picture, scale = image_of(planes, half), 2 if half else 1
        points = self._find(picture, _scaled(place, 1 / scale))
        self._square = around(points) if points is not None else None
        self._points.append(points * scale if points is not None else None)
        self._fits.append(fit(planes, mouth_of(points * scale)) if points is not None else (0.0, 0.0))

    def _find(self, picture: Image.Image, place: Place | None) -> Points | None:
        if self._square is not None:
            points = self.landmarks.mesh(picture, self._square)
            if points is not None and _is_at(points, place):
                return points
        start = _start(self.landmarks.faces(picture), place)
        points = self.landmarks.mesh(picture, start) if start else None
        if points is not None:                        # a second look, from where the mesh has the face
            points = self.landmarks.mesh(picture, around(points))
        return points if points is not None and _is_at(points, place) else None

    @property
    def found(self) -> bool:
        """Whether there was a face in any frame."""
        return bool(self._known())

    def mouths(self) -> list[Mouth | None]:
        """The mouth in each frame; None where there was no face for longer than HELD frames."""
        known = self._known()
        if not known:
            return [None] * len(self._points)
        fits = carried(np.arange(len(self._points)), known, np.array([self._fits[n] for n in known]))
        fits = smoothed(fits, _SOFTER)
        return [
            mouth_of(points).fitted(float(fit[0]), float(fit[1])) if points is not None else None
            for points, fit in zip(self.meshes(), fits, strict=True)
        ]

    def meshes(self) -> list[Points | None]:
        """The mesh in each frame; None where there was no face for longer than HELD frames."""
        known = self._known()
        if not known:
            return [None] * len(self._points)
        frames = np.arange(len(self._points))
        near = np.abs(frames[:, None] - np.array(known)).min(1)
        points = smoothed(carried(frames, known, np.stack([p for p in self._points if p is not None])), _SOFT)
        return [points[n] if near[n] <= HELD else None for n in range(len(self._points))]

    def _known(self) -> list[int]:
        return [n for n, points in enumerate(self._points) if points is not None]


def followers(
    landmarks: Landmarks, speakers: Sequence[str], tracks: Mapping[str, list[Place]] | None
) -> dict[str, Follower]:
    """Who is followed for whom: with tracks each speaker that has one, else the largest face for all."""
    if tracks is None:
        largest = Follower(landmarks)
        return dict.fromkeys(speakers, largest)
    return {who: Follower(landmarks, tracks[who]) for who in speakers if who in tracks}


def _start(seen: Sequence[Seen], place: Place | None) -> Square | None:
    """Where to lay the mesh: on the largest face, or the one at a place; there anyhow if none was detected."""
    if place is None:
        return seen[0].around if seen else None
    x, y, width = place
    close = [face for face in seen if np.hypot(face.mouth[0] - x, face.mouth[1] - y) < max(width, face.size / 3)]
    return close[0].around if close else Square(x, y - 0.9 * width, 3.8 * width)


def _is_at(points: Points, place: Place | None) -> bool:
    """Whether a mesh's mouth is where the track has it."""
    mouth = points[[61, 291, 13, 14]].mean(0)
    return place is None or bool(np.hypot(mouth[0] - place[0], mouth[1] - place[1]) < max(place[2], 4.0))


def _scaled(place: Place | None, by: float) -> Place | None:
    return None if place is None else (place[0] * by, place[1] * by, place[2] * by)


def carried(frames: NDArray[np.int_], known: Sequence[int], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A value for every frame: between known ones on the straight line, before and after them as they were."""
    flat = values.reshape(len(known), -1)
    filled = np.stack([np.interp(frames, known, column) for column in flat.T], -1)
    return filled.reshape(len(frames), *values.shape[1:])


def smoothed(values: NDArray[np.float64], frames: float) -> NDArray[np.float64]:
    """A weighted mean over neighbouring frames."""
    reach = min(round(3 * frames), len(values) - 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
    padded = np.pad(values, ((reach, reach), *((0, 0) for _ in values.shape[1:])), mode="edge")
    return np.asarray(
        sum(padded[n : n + len(values)] * weight for n, weight in enumerate(weights / weights.sum()))
    )
