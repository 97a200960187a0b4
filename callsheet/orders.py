"""Flat words -> order: what a manifest's row, a form and a training event have in common.

The words are the manifest's columns (manifest_columns.py). Covers what columns mean to each other and the files
they name, with every mistake collected; not how rows are read, and nothing that costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from callsheet.dialogue import parse_dialogue
from callsheet.errors import DialogueInvalid, FileMissing, FileUnreadable, ManifestInvalid, Problem, SceneTooShort
from callsheet.manifest_columns import POSTER_WORDS, Mistake, read_cells
from callsheet.models import (
    Actor,
    CaptionMode,
    Captions,
    CaptionStyle,
    CharacterSheet,
    Check,
    Ducking,
    Effect,
    Format,
    Generate,
    Order,
    Poster,
    Scene,
    Sound,
    SourceFile,
    Voice,
)
from callsheet.presets import Quality, TransitionKind
from callsheet.script import Script, absolute, load_script
from callsheet.timeline import timeline
from callsheet.units import Frozen
from callsheet.words import EffectEntry, advice, told

MAX_CAST = 8
Value = TypeVar("Value", bound=Frozen)
_PLENTY_FRAMES = 4
"""A scene this much longer than any transition holds two of them, however they are rounded to frames."""
_GENERATE_WORDS = {
    "engine": "engine", "clip_model": "model", "clip_px": "px", "clip_steps": "steps", "clip_cfg": "cfg",
    "speech": "speech", "lipsync": "lipsync", "fallback": "fallback", "restore": "restore", "upscale": "upscale",
    "margin": "margin",
}
"""Column -> field: `model` alone is the poster's."""
_SOUND_WORDS = (
    "music", "music_volume", "duck_db", "ambience", "ambience_volume", "effects", "platform", "stems",
)
_SCENE_WORDS = ("emotion", "angle", "intensity", "language", "transition", "transition_seconds")


@dataclass
class Disk:
    """What was looked up on the disk already, so that ten thousand rows read one script once."""

    scripts: dict[str, Script | ManifestInvalid] = field(default_factory=dict)
    files: dict[str, bool] = field(default_factory=dict)
    values: dict[Any, Any] = field(default_factory=dict)
    layouts: dict[Any, SceneTooShort | None] = field(default_factory=dict)

    def once(self, model: type[Value], /, **given: Any) -> Value:
        """A frozen value; rows that say the same share it."""
        key = (model, *given.items())
        if key not in self.values:
            self.values[key] = model(**given)
        made: Value = self.values[key]
        return made

    def has(self, path: str) -> bool:
        """Whether a regular file is there."""
        if path not in self.files:
            self.files[path] = os.path.isfile(path)              # noqa: PTH113 - ten thousand times, no Path object
        return self.files[path]

    def misfit(self, order: Order) -> SceneTooShort | None:
        """Why the transitions do not fit the scenes as they are written, None when they do."""
        fps = order.delivered.fps
        longest = max((scene.transition.seconds for scene in order.scenes[:-1]), default=0.0)
        if min(scene.seconds for scene in order.scenes) >= longest + _PLENTY_FRAMES / fps:
            return None
        times = ((scene.seconds, scene.transition.kind, scene.transition.seconds) for scene in order.scenes)
        key = (fps, *times)
        if key not in self.layouts:
            self.layouts[key] = None
            try:
                timeline(order, [()] * len(order.scenes))        # nothing is spoken yet: speech only makes scenes grow
            except SceneTooShort as error:
                self.layouts[key] = error
        return self.layouts[key]

    def script(self, path: str) -> Script:
        """Raises FileMissing, FileUnreadable; ManifestInvalid, the same one each time."""
        if path not in self.scripts:
            try:
                self.scripts[path] = load_script(Path(path))
            except ManifestInvalid as error:
                self.scripts[path] = error
        found = self.scripts[path]
        if isinstance(found, ManifestInvalid):
            raise found
        return found


@dataclass(frozen=True)
class ActorWords:
    """An actor as a row describes it, and why it has to wait, if it has to."""

    actor: Actor
    waiting: str


class Reader:
    """One row's values on their way to an order. `mistakes` are in its columns, `problems` in files it names.

    Starts with the mistakes of single cells: what they spoil is not told a second time.
    """

    def __init__(self, values: Mapping[str, Any], mistakes: Sequence[Mistake], folder: Path, disk: Disk) -> None:
        self.values, self.folder, self.disk = values, folder, disk
        self.mistakes = list(mistakes)
        self.problems: list[Problem] = []
        self._spoilt = frozenset(mistake.column for mistake in mistakes)

    def tell(self, column: str, message: str, remedy: str, value: object = "") -> None:
        self.mistakes.append(Mistake(column, message, remedy, str(value)))

    def actor(self) -> ActorWords:
        """The row's own actor. One without a usable id gets a stand-in, so that its other cells are checked too."""
        words = {"id": "unnamed", **self.values}
        lora, waiting = self._lora()
        sheet = {name: words[name] for name in CharacterSheet.model_fields if name in words}
        given: dict[str, Any] = {
            name: words[name]
            for name in ("id", "name", "lora_strength", "base_model", "description", "seed", "user_id")
            if name in words
        }
        if "voice" in words:
            given["voice"] = self.disk.once(Voice, name=words["voice"])
        looks = self.disk.once(CharacterSheet, **sheet)
        return ActorWords(Actor(**given, lora=SourceFile(path=lora), sheet=looks), waiting)

    def _lora(self) -> tuple[str, str]:
        """Where the LoRA is or will be, and why the actor waits for it."""
        if "lora" in self._spoilt or not {"id", "lora"} & set(self.values):
            return "unnamed.safetensors", ""
        named = self.values.get("lora") or f"{self.values['id']}.safetensors"
        status = self.values.get("status", "")
        path = named if named.startswith("s3:") else self._lora_path(named)
        if status == "training":
            return path, "training has not finished"
        if path.startswith("s3:") or self.disk.has(path):
            return path, ""
        if status == "trained":
            self.tell("lora", "is not there, though status says trained",
                      "copy the LoRA there, or empty the status until it is", self.values.get("lora", named))
        return path, f"its LoRA {Path(path).name} is not there yet"

    def _lora_path(self, named: str) -> str:
        beside = absolute(named, self.folder)
        if "/" in named or self.disk.has(beside):
            return beside
        return absolute(f"loras/{named}", self.folder)

    def _style(self, name: str) -> SourceFile | None:
        """The style's LoRA where it lies beside the manifest; else it is looked for when an engine loads it."""
        path = self._lora_path(name) if name.strip() else ""
        return SourceFile(path=path) if path and self.disk.has(path) else None

    def order(self, cast: Sequence[Actor]) -> Order | None:
        """The order with this cast, the row's own actor first; None when something is wrong."""
        words = self.values
        script, scenes = self._scenes(cast)
        sound = self._sound(script)
        delivered = self._format()
        if words.get("transition") is TransitionKind.CUT and "transition_seconds" in words:
            self.tell("transition_seconds", "goes with no cut", "empty it, or choose another transition",
                      words["transition_seconds"])
        if words.get("karaoke") and "captions" not in self._spoilt and words.get("captions") != CaptionMode.BURNED:
            self.tell("karaoke", "needs burned captions", "set captions to burned, or empty it", "yes")
        if self.mistakes or self.problems or not scenes:
            return None
        once = self.disk.once
        given = {name: words[name] for name in ("quality", "fit", "seed", "job_id", "budget") if name in words}
        try:
            poster = once(Poster, **{name: words[name] for name in POSTER_WORDS if name in words})
            order = Order(
                title=words.get("title") or (script.title if script else "") or cast[0].display_name,
                cast=tuple(cast),
                scenes=scenes,
                sound=sound,
                captions=self._captions(),
                format=delivered,
                poster=poster,
                style=self._style(poster.style_lora_name),
                generate=once(
                    Generate, **{field: words[name] for name, field in _GENERATE_WORDS.items() if name in words}),
                check=once(Check, **({"policy": words["check"]} if "check" in words else {})),
                **given,
            )
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self.tell(str(details["loc"][0]) if details["loc"] else "script", *told(details))
            return None
        return order if self._fits(order) else None

    def _captions(self) -> Captions:
        words, once = self.values, self.disk.once
        given = {"mode": words["captions"]} if "captions" in words else {}
        if "karaoke" in words:
            given["style"] = once(CaptionStyle, karaoke=words["karaoke"])
        return once(Captions, **given)

    def _fits(self, order: Order) -> bool:
        error = self.disk.misfit(order) if len(order.scenes) > 1 else None
        if error is None:
            return True
        at = int(error.facts["scene"]) - 1
        around = {scene.transition.seconds for scene in order.scenes[max(0, at - 1) : at + 1]}
        column = "transition_seconds" if self.values.get("transition_seconds") in around else "script"
        self.tell(column, f"does not fit: {error.what}", error.fix, self.values.get(column, ""))
        return False

    def _scenes(self, cast: Sequence[Actor]) -> tuple[Script | None, tuple[Scene, ...]]:
        words = self.values
        defaults = {name: words[name] for name in _SCENE_WORDS if name in words}
        if "script" in words:
            for name in ("prompt", "dialogue", "seconds"):
                if name in words:
                    self.tell(name, "stands beside a script", "write it into the script, or empty the script's cell",
                              words[name])
            return self._scripted(words["script"], cast, defaults)
        if self._spoilt & {"script", "prompt"}:
            return None, ()
        if "prompt" not in words:
            self.tell("script", "is missing, and so is prompt", "name a script file, or write prompt and dialogue")
            return None, ()
        return None, self._single(cast, defaults)

    def _scripted(
        self, named: str, cast: Sequence[Actor], defaults: Mapping[str, Any]
    ) -> tuple[Script | None, tuple[Scene, ...]]:
        try:
            script = self.disk.script(absolute(named, self.folder))
            return script, script.play(cast, defaults)
        except FileMissing:
            self.tell("script", "is not there", "check the path; it is read relative to the manifest", named)
        except FileUnreadable as error:
            self.tell("script", f"cannot be read ({error.facts['detail']})", error.fix, named)
        except ManifestInvalid as error:
            self.problems += error.problems
        return None, ()

    def _single(self, cast: Sequence[Actor], defaults: Mapping[str, Any]) -> tuple[Scene, ...]:
        """One scene from the row itself; there is no next scene that a transition could lead to."""
        given = {name: self.values[name] for name in ("prompt", "seconds") if name in self.values}
        given |= {name: word for name, word in defaults.items() if not name.startswith("transition")}
        said = self.values.get("dialogue", "")
        try:
            return (Scene(**given, lines=parse_dialogue(said, cast)),)
        except DialogueInvalid as error:
            self.tell("dialogue", *advice(error), said[:200])
            return ()

    def _sound(self, script: Script | None) -> Sound:
        own = {
            name: self.values[name]
            for name in _SOUND_WORDS
            if name in self.values
        }
        for name in ("music", "ambience"):
            if name in own:
                own[name] = self._there(name, own[name])
        if "effects" in own:
            own["effects"] = tuple(
                self.disk.once(EffectEntry, file=self._there("effects", one.file), start=one.start, volume=one.volume)
                for one in own["effects"]
            )
        return self._sound_of({**(script.sound.words() if script else {}), **own})

    def _sound_of(self, words: Mapping[str, Any]) -> Sound:
        once = self.disk.once
        levels = {"base_volume": words.get("music_volume"), "duck_db": words.get("duck_db")}
        given = {name: once(SourceFile, path=words[name]) for name in ("music", "ambience") if name in words}
        given |= {name: words[name] for name in ("ambience_volume", "platform", "stems") if name in words}
        return once(
            Sound,
            **given,
            effects=tuple(
                once(Effect, file=once(SourceFile, path=one.file), start=one.start, volume=one.volume)
                for one in words.get("effects", ())
            ),
            ducking=once(Ducking, **{name: value for name, value in levels.items() if value is not None}),
        )

    def _there(self, column: str, named: str) -> str:
        path = absolute(named, self.folder)
        if not self.disk.has(path):
            self.tell(column, "is not there", "check the path; it is read relative to the manifest", named)
        return path

    def _format(self) -> Format | None:
        exact: Format | None = self.values.get("format")
        turned = self.values.get("orientation")
        if exact is None:
            return Format.of(self.values.get("quality", Quality.STANDARD), turned) if turned else None
        is_turned = (
            "square" if exact.width == exact.height else "portrait" if exact.width < exact.height else "landscape"
        )
        if turned and turned != is_turned:
            self.tell("orientation", f"contradicts the format {exact.label}", "keep one of the two", turned)
        return exact


def order_for(
    words: Mapping[str, str], folder: Path, others: Sequence[Actor] = (), file: str = "the form"
) -> Order:
    """One order from flat words, under the names of the manifest's columns. Paths start at `folder`.

    The `with` of the words is for manifests; a caller without one gives the `others` of the cast themselves.
    Raises ManifestInvalid with every problem, placed by the field's name; NotReady belongs to the caller, who
    asks for the LoRA.
    """
    values, mistakes = read_cells(words)
    reader = Reader(values, mistakes, folder, Disk())
    mine = reader.actor()
    if "id" not in values and not any(mistake.column == "id" for mistake in mistakes):
        reader.tell("id", "is missing", "write the actor's id")
    if "with" in values:
        reader.tell("with", "needs a manifest", "give the other actors themselves", ";".join(values["with"]))
    order = reader.order((mine.actor, *others))
    if order is None:
        placed = [Problem(file, f"field {m.column}", m.value, m.message, m.remedy) for m in reader.mistakes]
        raise ManifestInvalid([*placed, *reader.problems])
    return order
