"""Follows every face through a clip: where each is in every frame, without jitter.

Unlike tracking.py it asks nobody who speaks: it serves what is done to all faces alike. Its meshes are only where a
face was really seen, but for gaps of a few frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from callsheet.faces.footage import image_of
from callsheet.faces.landmarks import Landmarks, Points, Seen, Square, around
from callsheet.faces.mouth import Planes
from callsheet.faces.tracking import LARGE, carried, smoothed

MOST = 8
"""Faces that are followed at once, largest first."""
LEAST = 32
"""Pixels: a smaller face has nothing in it to work with."""
_LOOK_EVERY = 6
"""Frames between two looks for faces that came in."""
_GAP = 3
"""So many frames without a face are bridged."""
_SAME = 0.2
"""Two meshes whose middles are closer, as a share of the square around one, are of one face."""
_SOFT = 1.0
"""Frames over which places are smoothed (standard deviation)."""


@dataclass(eq=False)
class _Track:
    """One face."""

    square: Square
    """Where it was seen last."""
    seen: dict[int, Points] = field(default_factory=dict)
    """By frame."""
    last: int = -1
    """Frame in which it was seen last."""

    def has(self, face: Seen) -> bool:
        away = np.hypot(face.around.x - self.square.x, face.around.y - self.square.y)
        return bool(away < 0.5 * max(face.size, self.square.side / 1.5))


@dataclass
class Everyone:
    """All faces of a clip, frame by frame."""

    landmarks: Landmarks
    _frames: int = 0
    _live: list[_Track] = field(default_factory=list)
    _done: list[_Track] = field(default_factory=list)

    def see(self, planes: Planes) -> None:
        """Look at the next frame."""
        half = max(planes[0].shape) > LARGE
        picture, scale = image_of(planes, half), 2 if half else 1
        lost = [t for t in self._live if not self._note(t, self.landmarks.mesh(picture, t.square), scale)]
        if self._frames % _LOOK_EVERY == 0 or lost or not self._live:
            for face in self.landmarks.faces(picture):
                self._meet(face, picture, scale)
        self._done += [track for track in self._live if self._frames - track.last > _GAP]
        self._live = [track for track in self._live if self._frames - track.last <= _GAP]
        self._frames += 1

    def _note(self, track: _Track, points: Points | None, scale: int) -> bool:
        """Whether the face is there in this frame."""
        if points is None or np.ptp(points, axis=0).max() * scale < LEAST:
            return False
        square = around(points)
        here = (other for other in self._live if other is not track and other.last == self._frames)
        if any(np.hypot(other.square.x - square.x, other.square.y - square.y) < _SAME * square.side for other in here):
            return False                              # it slid to a neighbour, who is followed already
        track.last, track.square = self._frames, square
        track.seen[self._frames] = points * scale
        return True

    def _meet(self, face: Seen, picture: Image.Image, scale: int) -> None:
        """A face that the detector found: a new one, one that was lost, or one that is followed already."""
        track = next((track for track in self._live if track.has(face)), _Track(face.around))
        fresh = track not in self._live
        if track.last == self._frames or (fresh and len(self._live) >= MOST):
            return
        points = self.landmarks.mesh(picture, face.around)
        if points is not None:                        # a second look, from where the mesh has the face
            points = self.landmarks.mesh(picture, around(points))
        if self._note(track, points, scale) and fresh:
            self._live.append(track)

    def meshes(self) -> list[list[Points]]:
        """The faces of each frame."""
        frames: list[list[Points]] = [[] for _ in range(self._frames)]
        for track in (*self._done, *self._live):
            for run in _runs(sorted(track.seen)):
                where = np.arange(run[0], run[-1] + 1)
                points = smoothed(carried(where, run, np.stack([track.seen[n] for n in run])), _SOFT)
                for n, mesh in zip(where.tolist(), points, strict=True):
                    frames[n].append(mesh)
        return frames


def _runs(known: list[int]) -> list[list[int]]:
    """Frames in which a face was seen, apart where it was away for longer than a gap."""
    runs: list[list[int]] = []
    for n in known:
        if runs and n - runs[-1][-1] <= _GAP + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs
