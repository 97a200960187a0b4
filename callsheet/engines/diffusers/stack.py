"""The LoRA stack of a pipeline: checked before it is loaded, swapped where that is possible, looked for afterwards.

    slots = slots_of(recipe.loras, model, room)      # style first, then the characters
    mount(loaded, slots)

Slots have the same names for every actor, so that the next actor's files take the places of the last one's
(hot-swap): the pixels are those of a fresh load, in milliseconds. All adapters are padded to one rank, which follows
from the stack alone and not from what was loaded before it. Only safetensors are opened, and their metadata, which
has a LoRA's scale, is heeded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callsheet.base_models import BaseModel
from callsheet.engines.diffusers.holding import ENCODERS, networks, widen
from callsheet.engines.diffusers.loading import ENGINE, Loaded, out_of_memory, quiet
from callsheet.engines.diffusers.memory import Held
from callsheet.engines.diffusers.scales import with_own_scales
from callsheet.engines.diffusers.work import Slot
from callsheet.errors import EngineUnable, LoraUnfit
from callsheet.lora.inspect import inspect, require_family
from callsheet.models import Family
from callsheet.recipes import LoraUse
from callsheet.store.base import Room

RANK = 64
"""What adapters are padded to at least; a larger one takes the next power of two."""


@dataclass
class Counts:
    """What changing stacks took since the process began."""

    loads: int = 0
    """Stacks loaded from the beginning."""
    swaps: int = 0
    """Files that took the place of others."""
    kept: int = 0
    """Stacks that were there already."""


def slots_of(loras: Sequence[LoraUse], model: BaseModel, room: Room) -> tuple[Slot, ...]:
    """The files of a recipe in their fixed order: the style, then the characters as they are named.

    Each file's header is read again: where it was accepted, it was not known for which model it would be used.

    Raises WrongFamily, LoraUnreadable, NotInStore; EngineUnable for a LoRA without a file.
    """
    ordered = sorted(loras, key=lambda use: use.role != "style")
    slots, characters = [], 0
    for use in ordered:
        characters += use.role == "character"
        if use.role == "style" and (not use.name or use.strength == 0) and use.file is None:
            continue
        adapter = "style" if use.role == "style" else f"character_{characters}"
        slots.append(_slot(use, adapter, model, room))
    return tuple(slots)


def _slot(use: LoraUse, adapter: str, model: BaseModel, room: Room) -> Slot:
    name = use.file_name or use.display_name or use.name
    if use.file is None or use.sha256 is None:
        raise EngineUnable(
            engine=ENGINE, what=f"pictures with {name}", detail="its LoRA file is not in the store",
            remedy="name the file in the order, so that it is checked and stored first",
        )
    path = room.fetch(use.file)
    require_family(inspect(path), model.family, name)
    return Slot(adapter=adapter, path=path, strength=use.strength, name=name, digest=use.sha256)


def mount(loaded: Loaded, slots: Sequence[Slot], counts: Counts) -> tuple[str, ...]:
    """Put these LoRAs, and no others, into the pipeline at their strengths. Returns warnings: of which a part is left
    out.

    Raises LoraUnfit where one cannot be loaded, or would be ignored.
    """
    wanted = {slot.adapter: slot.digest for slot in slots}
    if wanted == loaded.mounted:
        counts.kept += bool(slots)
    elif not _swapped(loaded, slots, counts):
        _reload(loaded, slots)
        counts.loads += bool(slots)
    if slots:
        loaded.pipe.set_adapters([slot.adapter for slot in slots], [slot.strength for slot in slots])
        _present(loaded, slots)
    return tuple(_left_out(loaded, slots))


def _left_out(loaded: Loaded, slots: Sequence[Slot]) -> Iterator[str]:
    """Layers that the model does not have raise nothing either."""
    encoders = [part for name in ENCODERS if (part := getattr(loaded.pipe, name, None)) is not None]
    for slot in slots:
        every = inspect(slot.path).layers
        fit = max(_layers(part, slot) for part in networks(loaded.pipe).values())
        fit += sum(_layers(part, slot) for part in encoders)
        if fit < every:
            yield f"{slot.name}: {fit} of its {every} layers fit {loaded.model.name}"


def _layers(part: Any, slot: Slot) -> int:
    return sum(slot.adapter in getattr(layer, "lora_A", ()) for layer in part.modules())


def rank_of(slots: Iterable[Slot]) -> int:
    """The rank that the adapters of a stack are padded to."""
    largest = max((inspect(slot.path).rank or 0 for slot in slots), default=0)
    return max(RANK, 1 << max(0, largest - 1).bit_length())


def _swapped(loaded: Loaded, slots: Sequence[Slot], counts: Counts) -> bool:
    """Whether the files could take the places of those that are there."""
    if {slot.adapter for slot in slots} != set(loaded.mounted) or rank_of(slots) != loaded.rank:
        return False
    elsewhere = [names for part, names in loaded.pipe.get_list_adapters().items() if part not in networks(loaded.pipe)]
    if any(elsewhere):                                    # a text encoder's layers cannot be swapped, and would stay
        return False
    for slot in slots:
        if loaded.mounted[slot.adapter] == slot.digest:
            continue
        loaded.mounted[slot.adapter] = ""                 # a swap that ends half-way leaves neither file
        try:
            _load(loaded, slot, hotswap=True)
            _settle(loaded, slot.adapter)
        except (RuntimeError, ValueError, KeyError) as error:
            if out_of_memory(error):
                raise
            return False                                  # other layers than the first's: the stack is loaded anew
        loaded.mounted[slot.adapter] = slot.digest
        counts.swaps += 1
    return True


def _reload(loaded: Loaded, slots: Sequence[Slot]) -> None:
    pipe = loaded.pipe
    if loaded.mounted:
        pipe.unload_lora_weights()
    loaded.mounted, loaded.rank = {}, 0
    if not slots:
        return
    loaded.rank = rank_of(slots)
    for slot in slots:
        pipe.enable_lora_hotswap(target_rank=loaded.rank, check_compiled="ignore")        # it pads one load, not all
        loaded.mounted[slot.adapter] = ""                 # also where it fails half-way: it is then unloaded first
        try:
            _load(loaded, slot)
            if loaded.plan.held is Held.CASTED:
                widen(loaded.pipe, loaded.dtype)
                _load(loaded, slot, hotswap=True)         # again, now that its layers have all their bits
            _settle(loaded, slot.adapter)
        except (RuntimeError, ValueError, KeyError) as error:
            if out_of_memory(error):                      # no fault of the file
                raise
            words = " ".join(str(error).split())[:200]
            raise LoraUnfit(path=slot.name, model=loaded.model.name, detail=words) from error
        _present(loaded, (slot,))
    loaded.mounted = {slot.adapter: slot.digest for slot in slots}


def _load(loaded: Loaded, slot: Slot, **how: bool) -> None:
    """Into the pipeline's network, or as its maker does it where there are several."""
    how |= {"use_safetensors": True, "local_files_only": True}
    with _file(slot, loaded.model) as folder, quiet():
        own = getattr(loaded.maker, "load_lora", None)
        if own is not None:
            own(loaded.pipe, str(folder), weight_name=_NAME, adapter_name=slot.adapter, **how)
        else:
            loaded.pipe.load_lora_weights(str(folder), weight_name=_NAME, adapter_name=slot.adapter, **how)


def _settle(loaded: Loaded, adapter: str) -> None:
    """Make the file's own scale, alpha by rank, that of its layers.

    A swap brings it for the moment only: whoever sets a strength afterwards would find the first file's alpha.
    """
    for layer in (layer for network in networks(loaded.pipe).values() for layer in network.modules()):
        scaling = getattr(layer, "scaling", None)
        if isinstance(scaling, dict) and adapter in scaling:
            layer.lora_alpha[adapter] = float(scaling[adapter])
            layer.r[adapter] = 1


def _present(loaded: Loaded, slots: Sequence[Slot]) -> None:
    """A LoRA of other layers raises nothing and is ignored: so its adapter is looked for in a network."""
    listed = loaded.pipe.get_list_adapters()
    for slot in slots:
        lacking = [name for name in networks(loaded.pipe) if slot.adapter not in listed.get(name, ())]
        if lacking:
            raise LoraUnfit(path=slot.name, model=loaded.model.name,
                            detail=f"none of its layers is in the {' and the '.join(lacking)}")


_NAME = "lora.safetensors"


@contextmanager
def _file(slot: Slot, model: BaseModel) -> Iterator[Path]:
    """A folder with the file under a name that the library takes for what it is."""
    with tempfile.TemporaryDirectory(prefix="callsheet-lora-") as folder:
        target = Path(folder, _NAME)
        if model.family not in (Family.SDXL, Family.SD15) or not with_own_scales(slot.path, target):
            target.symlink_to(slot.path.resolve())
        yield Path(folder)
