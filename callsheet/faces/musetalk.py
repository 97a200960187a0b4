"""Lip-sync by MuseTalk 1.5: the lower half of a face is painted anew for what is heard around each frame.

Faces are followed as mouth_warp follows them: with a mouth track each speaker has the face that it points at, without
one the largest face speaks for all voices. Nothing changes while nobody speaks. Heads and eyes keep moving as they do.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from callsheet.faces.aligned import Affine, Share, edges, lay, warped
from callsheet.faces.ears import Ears, Window
from callsheet.faces.extra import MESH, missing, require
from callsheet.faces.footage import image_of, planes_of
from callsheet.faces.landmarks import Points
from callsheet.faces.local_models import files_of
from callsheet.faces.local_models import missing as models_missing
from callsheet.faces.local_models import require as require_models
from callsheet.faces.mouth import Planes
from callsheet.faces.musetalk_network import SIDE, Painter, open_painter
from callsheet.faces.speakers import follow, told
from callsheet.faces.sync import check_quality, footage, sync
from callsheet.faces.voices import Talk, Voices
from callsheet.recipes import EngineId, LipsyncRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

_MODULES, _WEIGHTS = ("diffusers", "transformers", "safetensors"), ("musetalk", "musetalk-vae", "musetalk-ears")
_BATCH = 8
"""Faces that are painted together."""
_BRIDGE = 195
"""Of the mesh: what lies in the middle of a cut face."""
_BELOW = 0.04
"""What is added below the chin, as a share of the cut's height."""
_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
_SOFT = 12
"""Pixels of a cut face over which the painted part fades."""


class MuseTalk:
    """Moves the mouths of real faces. Able where both extras, the weights and a device are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def id(self) -> EngineId:
        return EngineId(name="musetalk", version=1, model="musetalk-1.5")

    def able(self) -> str:
        """Empty, or what is missing and how to get it."""
        return models_missing(self._settings, _MODULES, _WEIGHTS) or missing(MESH)

    def sync(self, recipe: LipsyncRecipe, room: Room) -> Outcome:
        """Files: main, as many frames as the clip; a still lasts as long as its last voice, at recipe.fps.

        A speaker without a face in a clip is warned about. Raises EngineUnable for a still without a face, without
        the weights and for an unknown quality; OutOfMemory; MediaUnreadable for what is no clip, track or voice.
        """
        name = self.id.name
        check_quality(recipe, name)
        device = require_models(self._settings, _MODULES, _WEIGHTS, engine=name, what="lip-sync")
        require(MESH, engine=name, what="lip-sync")
        voices = Voices.of(recipe.voices, room)
        chosen = follow(recipe, room, voices, name)
        found = {id(follower): follower.meshes() for follower in chosen.values()}
        meshes = _Meshes({who: found[id(follower)] for who, follower in chosen.items()})
        files = {name: files_of(self._settings, name) for name in _WEIGHTS}
        ears = Ears.of(recipe.voices, room, files["musetalk-ears"][0].parent, device)
        room.progress(0.0, "loading MuseTalk")
        unet = {".json": files["musetalk"][0], ".pth": files["musetalk"][1]}
        painter = open_painter(unet, files["musetalk-vae"][0].parent, device)
        with closing(_painted(recipe, room, voices, meshes, ears, painter)) as painted:
            return sync(recipe, room, name, voices, _Cast(meshes, painted))


@dataclass(frozen=True)
class _Painted:
    """A face of one frame as the network painted it."""

    index: int
    picture: Image.Image
    place: Affine
    share: Share


@dataclass(frozen=True)
class _Turn:
    """A face that speaks in a frame."""

    who: str
    mesh: Points
    talk: Talk


@dataclass(frozen=True)
class _Meshes:
    """The speakers' faces by frame; those of a still are one frame that lasts."""

    seen: Mapping[str, Sequence[Points | None]]

    def turns(self, index: int, talking: Mapping[str, Talk]) -> list[_Turn]:
        """Who is to be painted in a frame; where one face speaks for two voices, the wider one shows."""
        turns: dict[int, _Turn] = {}
        for who, talk in talking.items():
            mesh = self.of(who, index)
            if mesh is None:
                continue
            other = turns.get(id(mesh))
            if other is None or talk.shape.opened > other.talk.shape.opened:
                turns[id(mesh)] = _Turn(who, mesh, talk)
        return list(turns.values())

    def of(self, who: str, index: int) -> Points | None:
        seen = self.seen.get(who, ())
        return seen[min(index, len(seen) - 1)] if seen else None


@dataclass
class _Cast:
    """Lays painted faces into the frames."""

    meshes: _Meshes
    painted: Iterator[_Painted]
    """In the order of frames and of each frame's turns."""
    unseen: dict[str, int] = field(default_factory=dict)

    def speak(self, planes: Planes, index: int, talking: Mapping[str, Talk]) -> None:
        for who in talking:
            if self.meshes.of(who, index) is None:
                self.unseen[who] = self.unseen.get(who, 0) + 1
        for turn in self.meshes.turns(index, talking):
            face = next(self.painted)
            assert face.index == index                # both ask who speaks at the same moments
            lay(planes, face.picture, face.share * np.float32(min(turn.talk.speaking, 1.0)), face.place)

    def warnings(self) -> tuple[str, ...]:
        return told(self.unseen)


def _painted(
    recipe: LipsyncRecipe, room: Room, voices: Voices, meshes: _Meshes, ears: Ears, painter: Painter
) -> Generator[_Painted]:
    """The clip is read once more, so that faces of several frames go through the network together."""
    waiting: list[tuple[int, _Turn, Affine, NDArray[np.uint8], Window]] = []

    def paint() -> Iterator[_Painted]:
        made = painter(np.stack([face for *_, face, _ in waiting]), [sound for *_, sound in waiting])
        for (index, turn, place, *_), picture in zip(waiting, made, strict=True):
            yield _Painted(index, Image.fromarray(picture), place, _share(turn.mesh, place))
        waiting.clear()

    with footage(room.fetch(recipe.clip), recipe, voices) as (picture, frames, _):
        for n, raw in enumerate(frames):
            seconds = float((n + 0.5) / picture.fps)
            turns = meshes.turns(n, voices.at(seconds))
            image = image_of(planes_of(raw, picture)) if turns else None
            for turn in turns:
                assert image is not None
                place = _place(turn.mesh)
                face = np.asarray(warped(image, place, (SIDE, SIDE)))
                waiting.append((n, turn, place, face, ears.at(turn.who, float(n / picture.fps))))
                if len(waiting) == _BATCH:
                    yield from paint()
        if waiting:
            yield from paint()


def _place(mesh: Points) -> Affine:
    """From places of a cut face to those of the frame: the bridge of the nose in its middle, the chin near its end."""
    left, right = float(mesh[:, 0].min()), float(mesh[:, 0].max())
    middle, chin = float(mesh[_BRIDGE, 1]), float(mesh[:, 1].max())
    half = max(chin - middle, 4.0)
    top, height = middle - half, 2 * half * (1 + _BELOW)
    return np.array(((max(right - left, 8.0) / SIDE, 0.0, left), (0.0, height / SIDE, top)))


def _share(mesh: Points, place: Affine) -> Share:
    """How much of each painted pixel counts: the lower half of the face, fading at its rim."""
    oval = (mesh[list(_OVAL)] - place[:, 2]) / (place[0, 0], place[1, 1])
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in oval], fill=255)
    mask.paste(0, (0, 0, SIDE, SIDE // 2))
    soft = mask.filter(ImageFilter.GaussianBlur(_SOFT / 2))
    share: Share = np.asarray(soft, np.float32) / np.float32(255) * edges(SIDE, SIDE, _SOFT)
    return share
