"""The columns of an actor manifest, in one table: name, type, help, example, aliases.

What reads a row, what the manual prints, what the JSON schema says and what a form asks for all come from here.
Covers single cells; what columns mean to each other is in orders.py, files and rows are in manifest.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from callsheet.models import (
    Actor,
    CaptionMode,
    Check,
    Ducking,
    Fallback,
    Generate,
    Order,
    Poster,
    Scene,
    Sound,
    Transition,
    Voice,
)
from callsheet.textdata import UNPRINTABLE
from callsheet.units import Slug
from callsheet.words import (
    Effects,
    FormatText,
    Ids,
    LocalPath,
    LoraPath,
    Mistaken,
    OrientationText,
    QualityText,
    StatusText,
    Text,
    YesNo,
    meant,
    of,
    told,
    word_of,
)

MAX_CELL = 20_000


@dataclass(frozen=True)
class Mistake:
    """What is wrong in one column, before it is known which row of which file it is."""

    column: str
    message: str
    remedy: str
    value: str = ""


def _few(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(value) > 100:
        raise Mistaken("has over 100 effects", "keep at most 100")
    return value


@dataclass(frozen=True)
class Column:
    """One column. `type` reads a cell's text; an empty cell says nothing."""

    name: str
    type: Any
    help: str
    example: str
    aliases: tuple[str, ...] = field(default=())

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)

    @cached_property
    def read(self) -> Callable[[str], Any]:
        """A cell's value. Columns say the same again and again, so the last texts are remembered.

        Raises pydantic's ValidationError.
        """
        return lru_cache(maxsize=512)(self.adapter.validator.validate_python)


COLUMNS: tuple[Column, ...] = (
    Column("id", Slug, "The actor's id, unique in the manifest. Required.", "0001_european_20_female", ("actor_id",)),
    Column("name", Annotated[str, Field(max_length=200)], "Name as spoken and shown; the id when empty.", "Ava"),
    Column("lora", LoraPath, "LoRA: a name (looked for beside the manifest and in its loras/ folder), a path, or "
           "s3://. The suffix .safetensors may be left out; empty means the id.", "loras/0001_european_20_female",
           ("character_lora_name", "lora_name")),
    Column("lora_strength", of(Actor, "lora_strength"), "Weight of the character's LoRA.", "0.7",
           ("character_lora_strength",)),
    Column("base_model", word_of(of(Actor, "base_model")), "Family the LoRA must be of; empty accepts what it is.",
           "flux"),
    Column("description", of(Actor, "description"), "The actor in words, for the poster.",
           "a young European woman with long brown hair", ("custom_actor_description",)),
    Column("appearance", Text, "Character sheet: face, hair, build.", "long brown hair, brown eyes"),
    Column("clothing", Text, "Character sheet: what is worn.", "green raincoat"),
    Column("style", Text, "Character sheet: how the picture is drawn.", "ink and watercolour"),
    Column("negative", Text, "Character sheet: what must not be seen.", "hat, glasses"),
    Column("voice", of(Voice, "name"), "A voice of the speech engine; empty lets it choose.", "en-us+f3"),
    Column("language", of(Scene, "language"), "Spoken language, where the script says none.", "en-us"),
    Column("user_id", Slug, "Whose actor it is; becomes part of the poster's key.", "user_12345"),
    Column("script", LocalPath, "Script file (.yaml or .json), relative to the manifest.", "scripts/rain.yaml"),
    Column("prompt", of(Scene, "prompt"), "Instead of a script: what is seen, as one scene.",
           "a woman waits at a tram stop"),
    Column("dialogue", Annotated[str, Field(max_length=MAX_CELL)], "Instead of a script: what is said.",
           "[S1] Here it comes!", ("dialogue_text",)),
    Column("seconds", of(Scene, "seconds"), "Instead of a script: length of the scene.", "5", ("duration",)),
    Column("with", Ids, "Ids of other actors of this manifest who play along, with ; between them.",
           "0002_european_35_female"),
    Column("emotion", Slug, "Emotion, where the script says none.", "happy"),
    Column("angle", Slug, "Camera angle, where the script says none.", "three_quarter"),
    Column("intensity", of(Scene, "intensity"), "Intensity of the emotion, where the script says none.", "0.7"),
    Column("transition", word_of(of(Transition, "kind")), "Between scenes, where the script says none.", "crossfade"),
    Column("transition_seconds", of(Transition, "seconds"), "Length of transitions, where the script says none.",
           "0.5"),
    Column("music", LocalPath, "Music file; beats the script's.", "sounds/calm.flac"),
    Column("music_volume", of(Ducking, "base_volume"), "Level of the music while nobody speaks.", "0.15",
           ("base_volume",)),
    Column("duck_db", of(Ducking, "duck_db"), "Further change of the music under speech, in dB.", "-8"),
    Column("ambience", LocalPath, "Ambience file; beats the script's.", "sounds/rain.flac"),
    Column("ambience_volume", of(Sound, "ambience_volume"), "Level of the ambience.", "0.1"),
    Column("effects", Annotated[Effects, AfterValidator(_few)], "Sounds as file@second or file@second:volume, with ; "
           "between them; beat the script's.", "sounds/chime.flac@3.5:0.6"),
    Column("platform", word_of(of(Sound, "platform")), "Whose loudness the film is brought to; empty is -14 LUFS.",
           "podcast"),
    Column("stems", YesNo, "Whether voice, music-and-effects and full mix are delivered as files of their own.", "yes"),
    Column("captions", word_of(CaptionMode), "off, beside (files), or burned (files and picture).", "burned"),
    Column("karaoke", YesNo, "Whether burned captions highlight each word while it is spoken.", "yes"),
    Column("orientation", OrientationText, "Turns the tier's own delivery.", "portrait"),
    Column("format", FormatText, "Delivered size and rate; beats the tier's.", "1080x1920@30"),
    Column("quality", QualityText, "Tier, in any case; fast means draft, ultra means premium.", "standard"),
    Column("engine", Slug, "Engine for pictures and clips.", "auto"),
    Column("clip_model", of(Generate, "model"), "Base model of clips; empty leaves it to the engine.",
           "wan2.2-i2v-a14b"),
    Column("fallback", word_of(Fallback), "When an engine fails: never, smaller (a smaller model or picture) or "
           "placeholder (then drawn). Empty takes CALLSHEET_FALLBACK.", "smaller"),
    Column("clip_px", of(Generate, "px"), "Clips: side of the square with as many pixels as are generated; empty takes "
           "the tier's.", "768"),
    Column("clip_steps", of(Generate, "steps"), "Clips: sampling steps; empty takes the model's own, else the tier's.",
           "30"),
    Column("clip_cfg", of(Generate, "cfg"), "Clips: guidance; empty takes the model's own, else the tier's.", "7.5"),
    Column("speech", of(Generate, "speech"), "Engine that speaks: auto or its name.", "auto"),
    Column("lipsync", of(Generate, "lipsync"), "Engine that moves lips: auto or its name.", "auto"),
    Column("restore", of(Generate, "restore"), "Engine that restores faces in generated clips: off, auto or its name.",
           "auto"),
    Column("upscale", of(Generate, "upscale"), "Engine that enlarges clips where the delivery is larger: off, auto or "
           "its name.", "auto"),
    Column("margin", YesNo, "Whether the placeholder writes prompt and time below its pictures.", "no"),
    Column("check", word_of(of(Check, "policy")), "What findings of the quality gate lead to: warn, retry (scenes are "
           "shot anew) or stop.", "retry"),
    Column("fit", word_of(of(Order, "fit")), "Dialogue longer than its scene: grow the scene, or error.", "grow"),
    Column("seed", of(Order, "seed"), "Fixed numbers give the same pictures again.", "42"),
    Column("steps", of(Poster, "steps"), "Poster: sampling steps.", "22"),
    Column("width", of(Poster, "width"), "Poster: width in pixels.", "1024"),
    Column("height", of(Poster, "height"), "Poster: height in pixels.", "1024"),
    Column("sampler_name", of(Poster, "sampler_name"), "Poster: sampler.", "euler"),
    Column("scheduler_name", of(Poster, "scheduler_name"), "Poster: scheduler.", "simple"),
    Column("flux_guidance", of(Poster, "flux_guidance"), "Poster: FLUX guidance.", "6.5"),
    Column("model", of(Poster, "model"), "Poster: base model.", "flux1-dev-fp8"),
    Column("style_lora_name", of(Poster, "style_lora_name"), "Poster: style LoRA, slot 1.", "SBai_style_101"),
    Column("style_lora_strength", of(Poster, "style_lora_strength"), "Poster: weight of the style LoRA.", "1.0"),
    Column("background", Text, "Poster: background, added to the prompt.", "harbour at dusk"),
    Column("status", StatusText, "trained, training, or empty: then an actor without its LoRA file waits.", "trained"),
    Column("title", of(Order, "title"), "Title of the film; the script's, or the actor's name, when empty.",
           "Rain at last"),
    Column("job_id", Slug, "Names the delivery; unique in the manifest.", "rain_01"),
    Column("budget", of(Order, "budget"), "USD that the film's GPU work may cost in all.", "2.50"),
    Column("poster_frame_url", Annotated[str, Field(max_length=2000)], "Output: written back after the poster was "
           "made.", "s3://bucket/actors/.../poster.jpeg"),
)

BY_NAME: Mapping[str, Column] = {column.name: column for column in COLUMNS}
ALIASES: Mapping[str, str] = {alias: column.name for column in COLUMNS for alias in column.aliases}
POSTER_WORDS = tuple(name for name in Poster.model_fields if name in BY_NAME)
_POSITION: Mapping[str, int] = {column.name: n for n, column in enumerate(COLUMNS)}



def column_named(spelled: str) -> str | None:
    """The column that a heading means, by name or alias in any case; None when there is none."""
    word = spelled.strip().lower()
    name = ALIASES.get(word, word)
    return name if name in BY_NAME else None


def headings(spelled: Sequence[str]) -> tuple[list[str | None], list[Mistake]]:
    """What each heading means, None for those that are wrong, and what is wrong with them."""
    names: list[str | None] = []
    mistakes: list[Mistake] = []
    for word in spelled:
        name = column_named(word)
        if name is None:
            remedy = meant(word, [*BY_NAME, *ALIASES], "remove it; manifests/README.md lists the columns")
            shown = word.strip()[:60] or "(empty)"
            mistakes.append(Mistake(shown, "is no column of a manifest" if word.strip() else "has no name", remedy))
        elif name in names:
            mistakes.append(Mistake(word.strip(), f"gives {name} a second time", "keep one of the two columns"))
            name = None
        names.append(name)
    return names, mistakes


def read_cells(cells: Mapping[str, str]) -> tuple[dict[str, Any], list[Mistake]]:
    """The values of the cells that say something, by column name, and every mistake in a single cell."""
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, cell in cells.items():
        text = cell.strip()
        if not text:
            continue
        if len(text) > MAX_CELL:
            mistakes.append(Mistake(name, f"is over {MAX_CELL} characters", "shorten it", f"{text[:60]}..."))
            continue
        if UNPRINTABLE.search(text):
            shown = UNPRINTABLE.sub("?", text)[:60]
            mistakes.append(Mistake(name, "holds a control character", "remove it", shown))
            continue
        try:
            values[name] = BY_NAME[name].read(text)
        except ValidationError as error:
            message, remedy = told(error.errors(include_url=False)[0])
            mistakes.append(Mistake(name, message, remedy, text[:200]))
    return values, mistakes


def position(column: str) -> int:
    """Where a column stands in the table, for sorting; unknown ones come first."""
    return _POSITION.get(column, -1)
