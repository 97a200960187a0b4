"""GFPGAN: faces in clips made clear again, as after a lip-sync that paints them small.

Every face is followed through the clip (everyone.py), cut out upright (aligned.py), passed through the network and
laid back with a soft edge. Frames without a face stay byte for byte what they were before the encode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from callsheet.errors import EngineUnable
from callsheet.faces.aligned import SIDE, Cut, Share, cut, edges, lay
from callsheet.faces.everyone import Everyone
from callsheet.faces.extra import MESH, missing, require
from callsheet.faces.footage import Picture, encode_command, frames_of, image_of, planes_of
from callsheet.faces.landmarks import Landmarks, Points
from callsheet.faces.local_models import files_of
from callsheet.faces.local_models import missing as models_missing
from callsheet.faces.local_models import require as require_models
from callsheet.faces.mouth import Planes
from callsheet.faces.spandrel_models import Pictures, load
from callsheet.media.ffmpeg import writer
from callsheet.recipes import EngineId, RestoreRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

Faces = Callable[[Pictures], Pictures]
"""Restores faces: N x 512 x 512 x 3 in and out."""

_MODULES, _WEIGHTS = ("spandrel", "einops", "safetensors"), ("gfpgan",)
_CRF = 12
_TELL_EVERY = 12
_FRAMES, _BATCH = 4, 8
"""Frames that are looked at together, and faces that go through the network at a time: this bounds the memory."""
_SOFT = 51.0
"""Pixels of the cut face over which its edge fades."""
_SEEN = 0.3
"""Share of the work that finding faces is, where progress is told."""


def open_gfpgan(path: Path, device: str) -> Faces:
    """The network. Raises EngineUnable for a file that is no restorer of faces."""
    network = load(path, device)
    if network.scale != 1:
        raise EngineUnable(engine="gfpgan", what="restored faces", detail=f"{path.name} is a {network.architecture}",
                           remedy="fetch the right file with `callsheet models download gfpgan`")
    return network


class Gfpgan:
    """Restores faces. Able where both extras, the weights and a device are."""

    def __init__(self, settings: Settings, opened: Callable[[Path, str], Faces] = open_gfpgan) -> None:
        self._settings, self._opened = settings, opened

    @property
    def id(self) -> EngineId:
        return EngineId(name="gfpgan", version=1, model="gfpgan-1.4")

    def able(self) -> str:
        """Empty, or what is missing and how to get it."""
        return models_missing(self._settings, _MODULES, _WEIGHTS) or missing(MESH)

    def restore(self, recipe: RestoreRecipe, room: Room) -> Outcome:
        """Files: main, as many frames at the same rate and size. Facts: faces, how many frames had one.

        Raises EngineUnable without the weights, OutOfMemory, MediaUnreadable for a clip that is none.
        """
        name = self.id.name
        device = require_models(self._settings, _MODULES, _WEIGHTS, engine=name, what="restored faces")
        require(MESH, engine=name, what="restored faces")
        clip, main, done = room.fetch(recipe.clip), room.path("restore.mp4"), 0
        meshes = _meshes(clip, room)
        faces = self._opened(files_of(self._settings, "gfpgan")[0], device) if any(meshes) else None
        with frames_of(clip) as (picture, frames):
            command = encode_command(picture, _CRF, main, f"encode {recipe.label or 'a clip with restored faces'}")
            with writer(command) as pipe:
                for some in _some(frames, _FRAMES):
                    here = meshes[done : done + len(some)]
                    for raw in restored(some, here, picture, faces, recipe.strength) if faces else some:
                        pipe.write(raw)
                        done += 1
                        room.progress(_SEEN + (1 - _SEEN) * min(done / len(meshes), 1.0), f"frame {done}")
        return Outcome(
            files={"main": main},
            facts={**picture.facts(done), "faces": sum(bool(each) for each in meshes)},
            made_by=name,
        )


def _meshes(clip: Path, room: Room) -> list[list[Points]]:
    """The faces of each frame."""
    everyone = Everyone(Landmarks())
    with frames_of(clip) as (picture, frames):
        for n, raw in enumerate(frames):
            everyone.see(planes_of(raw, picture))
            if n % _TELL_EVERY == 0:
                room.progress(0.0, f"faces in frame {n}")
    return everyone.meshes()


def restored(
    frames: Sequence[bytes], meshes: Sequence[Sequence[Points]], picture: Picture, faces: Faces, strength: float
) -> Iterator[bytes]:
    """Raw frames with their faces restored; one without a face is given back as it is."""
    planes = [planes_of(raw, picture) for raw in frames]
    cuts = [_cuts(each, seen) for each, seen in zip(planes, meshes, strict=True)]
    crops = [np.asarray(face.picture) for each in cuts for face in each]
    made = iter([
        face for n in range(0, len(crops), _BATCH) for face in faces(np.stack(crops[n : n + _BATCH]))
    ])
    share: Share = strength * edges(SIDE, SIDE, _SOFT)
    for raw, each, found in zip(frames, planes, cuts, strict=True):
        for face in found:
            lay(each, Image.fromarray(next(made)), share, face.to_frame)
        yield b"".join(plane.tobytes() for plane in each) if found else raw


def _cuts(planes: Planes, meshes: Sequence[Points]) -> list[Cut]:
    if not meshes:
        return []
    image = image_of(planes)
    return [cut(image, points) for points in meshes]


def _some(frames: Iterator[bytes], count: int) -> Iterator[list[bytes]]:
    while some := list(islice(frames, count)):
        yield some
