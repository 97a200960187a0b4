"""Which models an order gets: what its engine says of its LoRAs' families, and the style's file where one is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.base_models import base_model
from callsheet.engines.base import Asked, Casting, ClipEngine
from callsheet.errors import CallsheetError, EngineUnable, FileMissing, WrongFamily
from callsheet.faces.choose import choose_restorer
from callsheet.fallback import DRAWN
from callsheet.lora.inspect import find_lora, inspect
from callsheet.models import Actor, Family, Order, SourceFile
from callsheet.persona import train_complete
from callsheet.presets import Quality

if TYPE_CHECKING:
    from callsheet.film import Film
    from callsheet.settings import Settings
    from tasks.run import Run


class Families(Mapping[str, Family | None]):
    """LoRA file -> family, as its acceptance recorded it, else as its header says; read only when it is asked.

    None for a file that is in S3 and not accepted yet, or that cannot be read: its acceptance says why.
    """

    def __init__(self, actors: Sequence[Actor], run: Run) -> None:
        self._actors = {file_of(actor): actor for actor in actors}
        self._run = run

    def __getitem__(self, name: str) -> Family | None:
        actor = self._actors[name]
        accepted = train_complete(actor)
        record = self._run.records.find(accepted.stage, accepted.fingerprint)
        if record is not None:
            return Family(record.facts["family"])
        path = Path(actor.lora.path)
        if path.is_file():
            try:
                return inspect(path).family
            except CallsheetError:
                pass
        return actor.base_model

    def __iter__(self) -> Iterator[str]:
        return iter(self._actors)

    def __len__(self) -> int:
        return len(self._actors)


def file_of(actor: Actor) -> str:
    """How a LoRA is called in messages: its path, which is its own in every cast."""
    return actor.lora.path


def cast(order: Order, engine: ClipEngine, run: Run, clips: bool = True) -> Casting:
    """The models of an order; `clips` is False where only its posters are made. Raises WrongFamily, EngineUnable."""
    return asked_of(engine, Asked(
        families=Families(order.cast, run),
        poster_model=order.poster.model if order.poster else "",
        sampler=order.poster.sampler_name if order.poster else "",
        scheduler=order.poster.scheduler_name if order.poster else "",
        clip_model=order.generate.model,
        clips=clips,
        pictured=order.poster is not None or bool(order.takes),
        quality=order.quality,
    ))


def asked_of(engine: ClipEngine, asked: Asked) -> Casting:
    """The models for what is asked. Raises WrongFamily, EngineUnable."""
    casting = engine.cast(asked)
    for wanted, able, what in (
        (asked.follows, casting.follows, "a clip after another clip"),
        (asked.controlled, casting.controlled, "a clip that keeps to control pictures"),
    ):
        if wanted and not able:
            raise EngineUnable(
                engine=engine.id.name, what=what, detail=f"{casting.clips or 'it'} cannot do that",
                remedy="use the engine diffusers: Wan 2.2 TI2V-5B and SD 1.5 follow clips, SD 1.5 keeps to pictures",
            )
    return casting


def unseen(film: Film) -> tuple[str, ...]:
    """Warnings about who is in a scene by words alone: not in the picture that its clips start from, which is of the
    scene's first actor, and with a LoRA that the clip model does not load.
    """
    order, warnings, segments = film.order, [], iter(film.segments)
    for number, (scene, when) in enumerate(zip(order.scenes, film.timeline.scenes, strict=True), 1):
        generated = [one for _ in when.segments if (one := next(segments)).engine.name != DRAWN]
        first, *others = map(order.actor, scene.cast) if scene.cast else order.cast
        lost = [actor.display_name for actor in others if actor.id in film.choices.unloaded]
        if generated and lost:
            warnings.append(
                f"scene {number}: {' and '.join(lost)} by words alone: {film.choices.clips.model} does not load the "
                f"LoRA, and the picture it starts from shows {first.display_name}"
            )
    return tuple(warnings)


def unrestored(film: Film, settings: Settings) -> tuple[str, ...]:
    """A warning where faces of generated clips would be restored, and nothing here is able to."""
    order, chosen = film.order, film.choices
    wanted = order.generate.restore == "auto" and order.quality is not Quality.DRAFT and chosen.clips.name != DRAWN
    if not wanted or chosen.restore is not None:
        return ()
    try:
        choose_restorer("auto", settings)
    except EngineUnable as error:
        return (f"faces are not restored ({error.facts['detail']})",)
    return ()


def style(order: Order, engine: ClipEngine, model: str, run: Run) -> SourceFile | None:
    """The style's LoRA with its digest; None where no poster is made, no style is asked, or the engine needs no file.

    `model` paints the poster. Raises FileMissing saying where it looked, WrongFamily, and what `inspect` raises.
    """
    asked = order.poster
    if asked is None or not engine.loads_files or not asked.style_lora_name or asked.style_lora_strength == 0:
        return None
    if order.style is not None:
        return order.style
    try:
        places = (*run.settings.loras, run.settings.models / "loras", run.settings.comfyui_loras)
        path = find_lora(asked.style_lora_name, [place for place in places if place])
    except FileMissing as error:
        raise FileMissing(
            path=error.facts["path"], what=f"the style's LoRA: {error.facts['what']}",
            remedy="copy it there, or set style_lora_strength to 0 for a poster without a style",
        ) from error
    found, wanted = inspect(path).family, base_model(model).family
    if found is not wanted:
        raise WrongFamily(
            path=path.name, found=found.value, wanted=wanted.value,
            remedy=f"choose a style of {wanted.value}, or set style_lora_strength to 0",
        )
    return SourceFile(path=str(path), sha256=run.sources.digest(str(path), "the style's LoRA"))
