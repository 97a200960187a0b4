"""Whether an actor in a film is the one on its poster: face embeddings, and pictures compared where there are none.

A few frames of each scene are looked at. The embedding is dlib's (CC0), on faces found and aligned by our own
landmarks: the wheel's 68-point model is never loaded. Where the poster or the scene has no face that is found, as in
some drawings, or fewer than actors, or the extra is not installed, whole pictures are compared and that is told. Not
covered: who is who among several faces, beyond that each actor is to be found among them; films without a poster.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.errors import MediaUnreadable
from callsheet.faces.extra import EMBEDDING, MESH, missing, model_file
from callsheet.faces.landmarks import Landmarks
from callsheet.faces.picture_distance import PICTURE_LIMIT, Look, apart, look
from callsheet.likeness import FACE_LIMIT, Likeness, Metric, Sitting

Face = NDArray[np.float64]
"""128 numbers; the Euclidean distance of two tells how alike they are."""

FRAMES = 4
"""Of each scene that are looked at."""
_NEAREST = 0.25
"""Of the frames' distances this quantile counts: an actor may look away, or not be in every frame."""
_CORNERS = (263, 362, 33, 133, 2)
"""Eyes' outer and inner corners, right of the picture first, and the base of the nose, as points of the mesh."""
_CHIP_SIDE, _CHIP_PADDING = 150, 0.25
"""As the embedding was trained."""
_LARGEST = 960
"""Longer sides are reduced to this before faces are looked for, in pixels."""
_NEAR = 120
"""Frames that are this close are decoded one after another, not sought."""


def compare(film: Path, fps: Fraction, sittings: Sequence[Sitting], limit: float = FACE_LIMIT) -> list[Likeness]:
    """One likeness for each sitting that the film has frames of; `limit` is that of the embedding.

    Raises MediaUnreadable.
    """
    eyes = _eyes()
    wanted = {sitting: _spread(sitting.first, sitting.end) for sitting in sittings}
    posters = {path: _seen(_opened(path), eyes) for path in {sitting.poster for sitting in sittings}}
    frames = {
        number: _seen(picture, eyes)
        for number, picture in _frames(film, fps, {number for each in wanted.values() for number in each})
    }
    there = {sitting: [frames[n] for n in numbers if n in frames] for sitting, numbers in wanted.items()}
    beside = Counter(sitting.scene for sitting in sittings)
    without = eyes if isinstance(eyes, str) else ""
    return [
        _likeness(sitting, posters[sitting.poster], shown, limit, beside[sitting.scene], without)
        for sitting, shown in there.items() if shown
    ]


@dataclass(frozen=True)
class _Seen:
    """What is kept of a picture."""

    faces: tuple[Face, ...]
    """Largest first."""
    look: Look


class Embedding:
    """Faces as numbers, on the processor. Models are loaded once and used by one thread at a time."""

    def __init__(self) -> None:
        import dlib

        self._dlib: Any = dlib
        self._net = dlib.face_recognition_model_v1(str(model_file(EMBEDDING, "models", _MODEL)))
        self._landmarks = Landmarks()
        self._lock = threading.Lock()

    def faces(self, picture: Image.Image) -> tuple[Face, ...]:
        """Of all faces in an RGB picture, largest first."""
        with self._lock:
            meshes = (self._landmarks.mesh(picture, seen.around) for seen in self._landmarks.faces(picture))
            return tuple(self._embedded(picture, mesh) for mesh in meshes if mesh is not None)

    def _embedded(self, picture: Image.Image, mesh: NDArray[np.float64]) -> Face:
        corners = [self._dlib.point(*np.rint(mesh[n]).astype(int).tolist()) for n in _CORNERS]
        shape = self._dlib.full_object_detection(self._dlib.rectangle(0, 0, 1, 1), corners)
        chip = self._dlib.get_face_chip(np.asarray(picture), shape, _CHIP_SIDE, _CHIP_PADDING)
        return np.asarray(self._net.compute_face_descriptor(chip))


_MODEL = "dlib_face_recognition_resnet_model_v1.dat"


@cache
def _embedding() -> Embedding:
    return Embedding()


def lacking() -> str:
    """Why faces cannot be compared here, with the remedy; empty where they can."""
    return missing(MESH) or missing(EMBEDDING)


def _eyes() -> Embedding | str:
    """What embeds faces, or why nothing here does."""
    return lacking() or _embedding()


def _seen(picture: Image.Image, eyes: Embedding | str) -> _Seen:
    small = picture.copy()
    small.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BILINEAR)
    return _Seen(() if isinstance(eyes, str) else eyes.faces(small), look(small))


def _likeness(
    sitting: Sitting, poster: _Seen, frames: Sequence[_Seen], limit: float, actors: int, without: str
) -> Likeness:
    """`actors` is how many the scene has: a frame with fewer faces cannot tell who is missing, and does not count.
    `without` says why no face can be found at all."""
    with_faces = [frame for frame in frames if len(frame.faces) >= actors]
    if poster.faces and with_faces:
        near = [min(float(np.linalg.norm(face - poster.faces[0])) for face in each.faces) for each in with_faces]
        return Likeness(sitting, Metric.FACE, _nearest(near), limit, len(near))
    why = without or _why(poster, frames)
    far = [apart(frame.look, poster.look) for frame in frames]
    reach = min(1.0, round(PICTURE_LIMIT * limit / FACE_LIMIT, 4))
    return Likeness(sitting, Metric.PICTURE, _nearest(far), reach, len(far), why)


def _why(poster: _Seen, frames: Sequence[_Seen]) -> str:
    if not poster.faces:
        return "no face is found in the poster"
    if not any(frame.faces for frame in frames):
        return "no face is found in the scene"
    return "fewer faces are found in the scene than it has actors"


def _nearest(distances: Sequence[float]) -> float:
    return round(float(np.quantile(distances, _NEAREST)), 4)


def _spread(first: int, end: int) -> tuple[int, ...]:
    """Frames evenly over a stretch, none of them at its ends."""
    count = max(1, min(FRAMES, end - first))
    return tuple(first + (2 * n + 1) * (end - first) // (2 * count) for n in range(count))


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            return image.convert("RGB")
    except Exception as error:                        # each of Pillow's formats breaks in its own ways
        raise MediaUnreadable(path=path.name, kind="a poster", detail=str(error)[:200]) from error


def _frames(film: Path, fps: Fraction, numbers: set[int]) -> Iterator[tuple[int, Image.Image]]:
    """Those frames of a film, in order: sought by time, so that long films are not decoded as a whole."""
    import av

    try:
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            began, base = stream.start_time or 0, Fraction(stream.time_base or 1)
            half, before = 1 / fps / base / 2, -_NEAR
            for number in sorted(numbers):
                wanted = began + round(number / fps / base)
                if number - before >= _NEAR:
                    container.seek(wanted, stream=stream)
                before = number
                for frame in container.decode(stream):
                    if frame.pts is not None and frame.pts > wanted - half:
                        yield number, Image.fromarray(frame.to_ndarray(format="rgb24"))
                        break
                else:
                    return                                     # the film is over: what comes later is not there
    except (av.FFmpegError, IndexError) as error:
        raise MediaUnreadable(path=film.name, kind="a film", detail=str(error)[:200]) from error

