"""Scripts: a title, scenes and the sound around them, in a YAML or JSON file.

A script is written once and played by any cast: dialogue and `cast` name actors by tag (S1), id or display name,
and become lines and ids when an order is made. Covers reading, checking and casting; lengths and transitions
against each other are the timeline's matter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from callsheet.dialogue import find_actor, parse_dialogue
from callsheet.errors import DialogueInvalid, ManifestInvalid, Problem
from callsheet.models import Actor, Scene, Transition
from callsheet.textdata import Tree, read_tree, refusal
from callsheet.units import Frozen, Volume
from callsheet.words import Effects, LocalPath, advice, meant, told

FieldPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
MAX_DIALOGUE = 20_000
SCENE_FIELDS = (*(name for name in Scene.model_fields if name != "lines"), "dialogue")


class ScriptSound(Frozen):
    """Sound that a script brings along; a manifest row's own words beat it. Paths are relative to the script."""

    music: LocalPath | None = None
    music_volume: Volume | None = None
    """Level of the music while nobody speaks."""
    ambience: LocalPath | None = None
    ambience_volume: Volume | None = None
    effects: Effects = Field((), max_length=100)

    def words(self) -> dict[str, Any]:
        """What was said, under the names of the manifest's columns."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) not in (None, ())}


@dataclass(frozen=True)
class ScriptScene:
    """One scene before it is cast. `scene` holds what was written; fields it does not set take the order's words."""

    scene: Scene
    dialogue: str = ""
    cast: tuple[str, ...] = ()
    """Tags, ids or names; empty is everybody."""

    def play(self, cast: Sequence[Actor], defaults: Mapping[str, Any]) -> Scene:
        """The scene with these actors. `defaults` has emotion, angle, intensity, language, and the transition's
        kind and seconds as `transition`, `transition_seconds`; all optional.

        Raises DialogueInvalid.
        """
        seen = [_named(word, cast) for word in self.cast]
        speaking = [*seen, *(actor for actor in cast if actor not in seen)]
        given = self.scene.model_fields_set
        update: dict[str, Any] = {
            name: defaults[name]
            for name in ("emotion", "angle", "intensity", "language")
            if name in defaults and name not in given
        }
        update["transition"] = self._transition(defaults)
        update["cast"] = tuple(actor.id for actor in seen)
        update["lines"] = parse_dialogue(self.dialogue, speaking)
        return self.scene.model_copy(update=update)

    def _transition(self, defaults: Mapping[str, Any]) -> Transition:
        words = {"kind": defaults.get("transition"), "seconds": defaults.get("transition_seconds")}
        if "transition" in self.scene.model_fields_set:
            own = self.scene.transition
            words |= {name: getattr(own, name) for name in own.model_fields_set}
        return _transition(**{name: word for name, word in words.items() if word is not None})


@dataclass(frozen=True)
class Script:
    """A script as it was written, whole and checked."""

    file: str
    title: str
    scenes: tuple[ScriptScene, ...]
    sound: ScriptSound

    def play(self, cast: Sequence[Actor], defaults: Mapping[str, Any]) -> tuple[Scene, ...]:
        """The scenes with these actors, first of the cast first. Raises ManifestInvalid with every problem."""
        scenes, problems = [], []
        for n, scene in enumerate(self.scenes):
            try:
                scenes.append(scene.play(cast, defaults))
            except DialogueInvalid as error:
                message, remedy = advice(error)
                problems.append(Problem(self.file, f"scenes[{n}].dialogue", "", message, remedy))
        if problems:
            raise ManifestInvalid(problems)
        return tuple(scenes)


def load_script(path: Path) -> Script:
    """Read and check a script.

    Raises FileMissing, FileUnreadable, or ManifestInvalid with each problem at its field's path.
    """
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise refusal(path, "the file", "is no script format", "write scripts as .yaml or .json", path.suffix)
    return script_from(read_tree(path, "script"), str(path), path.parent)


def script_from(tree: Tree, file: str, folder: Path) -> Script:
    """A script from its tree; `folder` is where its paths start. Raises ManifestInvalid."""
    reading = _Reading(file, folder)
    script = reading.script(tree)
    if script is None:
        raise ManifestInvalid(reading.problems)
    return script


@lru_cache(maxsize=256)
def _transition(**words: Any) -> Transition:
    return Transition(**words)


def _named(word: str, cast: Sequence[Actor]) -> Actor:
    actor = find_actor(word, cast)
    if actor is None:
        names = [name.lower() for one in cast for name in (one.id, one.name) if name]
        listed = ", ".join(one.id for one in cast)
        raise DialogueInvalid(detail=f"cast names {word}, but the order's cast is {listed}",
                              advice=meant(word, names, "name an actor of the order, or S1, S2"))
    return actor


class _Reading:
    """One pass over a script's tree, collecting problems."""

    def __init__(self, file: str, folder: Path) -> None:
        self.file, self.folder = file, folder
        self.problems: list[Problem] = []

    def script(self, tree: Tree) -> Script | None:
        if not isinstance(tree, dict):
            self.tell((), "", "is no mapping", "write title and scenes")
            return None
        self._unknown((), tree, ("title", "scenes", "sound"))
        title = tree.get("title", "")
        if not isinstance(title, str) or len(title) > 200:
            self.tell(("title",), str(title)[:60], "is no title", "write a text of at most 200 characters")
            title = ""
        scenes = self._scenes(tree.get("scenes", ""))
        sound = self._sound(tree.get("sound", ""))
        return None if self.problems else Script(self.file, title, tuple(scenes), sound)

    def tell(self, where: FieldPath, value: str, message: str, remedy: str) -> None:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        self.problems.append(Problem(self.file, path or "the file", value, message, remedy))

    def _unknown(self, where: FieldPath, tree: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in tree:
            if name not in known:
                remedy = meant(name, known, f"the fields here are {', '.join(known)}")
                self.tell((*where, name), "", "is no field here", remedy)

    def _scenes(self, tree: Tree) -> list[ScriptScene]:
        if not isinstance(tree, list) or not 1 <= len(tree) <= 500:
            self.tell(("scenes",), "", "is no list of 1 to 500 scenes", "write at least one scene with a prompt")
            return []
        found = [self._scene(("scenes", n), scene) for n, scene in enumerate(tree)]
        return [scene for scene in found if scene]

    def _scene(self, where: FieldPath, tree: Tree) -> ScriptScene | None:
        if not isinstance(tree, dict):
            self.tell(where, str(tree)[:60], "is no mapping", "write prompt, dialogue and seconds")
            return None
        self._unknown(where, tree, SCENE_FIELDS)
        words = {name: word for name, word in tree.items() if name in SCENE_FIELDS and word != ""}
        dialogue, cast = words.pop("dialogue", ""), words.pop("cast", ())
        if not isinstance(dialogue, str) or len(dialogue) > MAX_DIALOGUE:
            self.tell((*where, "dialogue"), "", "is no text", f"write at most {MAX_DIALOGUE} characters, as [S1] ...")
            dialogue = ""
        cast = [cast] if isinstance(cast, str) else cast
        if isinstance(cast, dict) or not all(isinstance(who, str) and who for who in cast):
            self.tell((*where, "cast"), "", "is no list of names", "write ids, names or tags such as S1")
            cast = ()
        if isinstance(words.get("transition"), str):
            words["transition"] = {"kind": words["transition"]}
        if isinstance(words.get("transition"), dict) and isinstance(words["transition"].get("kind"), str):
            words["transition"] = {**words["transition"], "kind": words["transition"]["kind"].lower()}
        scene = self._checked(Scene, words, where)
        return ScriptScene(scene, dialogue, tuple(cast)) if scene else None

    def _sound(self, tree: Tree) -> ScriptSound:
        if tree == "":
            return ScriptSound()
        if not isinstance(tree, dict):
            self.tell(("sound",), str(tree)[:60], "is no mapping", "write music, ambience or effects under it")
            return ScriptSound()
        words = {name: word for name, word in tree.items() if word != ""}
        sound = self._checked(ScriptSound, words, ("sound",)) or ScriptSound()
        effects = tuple(
            effect.model_copy(update={"file": self._there(effect.file, ("sound", "effects", n))})
            for n, effect in enumerate(sound.effects)
        )
        there = {
            name: self._there(path, ("sound", name))
            for name, path in (("music", sound.music), ("ambience", sound.ambience))
            if path
        }
        return sound.model_copy(update={"effects": effects, **there})

    def _there(self, path: str, where: FieldPath) -> str:
        full = absolute(path, self.folder)
        if not os.path.isfile(full):                                 # noqa: PTH113 - Path raises for names too long
            self.tell(where, path, "is not there", "check the path; it is read relative to the script")
        return full

    def _checked(self, model: type[Model], words: Mapping[str, Any], where: FieldPath) -> Model | None:
        try:
            return model.model_validate(words)
        except ValidationError as error:
            known = tuple(model.model_fields)
            for details in error.errors(include_url=False):
                message, remedy = told(details, known)
                value = details["input"] if isinstance(details["input"], str) else ""
                self.tell((*where, *details["loc"]), value, message, remedy)
            return None


def absolute(path: str, folder: Path) -> str:
    """A local path as the file in `folder` means it."""
    return os.path.abspath(os.path.join(folder, path))            # noqa: PTH100, PTH118 - Path is ten times slower
