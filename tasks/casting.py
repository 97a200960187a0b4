"""Which models an order gets: what its engine says of its LoRAs' families, and the style's file where one is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.engines.base import Asked, Casting, ClipEngine
from callsheet.errors import CallsheetError, FileMissing
from callsheet.lora.inspect import find_lora, inspect
from callsheet.models import Actor, Family, Order, Poster, SourceFile
from callsheet.persona import train_complete

if TYPE_CHECKING:
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


def cast(order: Order, engine: ClipEngine, run: Run) -> Casting:
    """The models of an order. Raises WrongFamily, EngineUnable."""
    return engine.cast(Asked(
        families=Families(order.cast, run),
        poster_model=order.poster.model if order.poster else "",
        clip_model=order.generate.model,
        pictured=order.poster is not None or bool(order.takes),
        quality=order.quality,
    ))


def style(asked: Poster | None, engine: ClipEngine, run: Run) -> SourceFile | None:
    """The style's LoRA with its digest; None where no poster is made, no style is asked, or the engine needs no file.

    Raises FileMissing saying where it looked.
    """
    if asked is None or not engine.loads_files or not asked.style_lora_name or asked.style_lora_strength == 0:
        return None
    try:
        path = find_lora(asked.style_lora_name, (*run.settings.loras, run.settings.models / "loras"))
    except FileMissing as error:
        raise FileMissing(
            path=error.facts["path"], what=f"the style's LoRA: {error.facts['what']}",
            remedy="copy it there, or set style_lora_strength to 0 for a poster without a style",
        ) from error
    return SourceFile(path=str(path), sha256=run.sources.digest(str(path), "the style's LoRA"))
