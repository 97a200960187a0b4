"""Which files a ComfyUI server has: those of a base model, and an actor's LoRA.

    Shelf(server.nodes()).lora(use)     Lora("people/ava.safetensors", 0.7, "Ava")

Names are the server's own, from its lists of choices. What is not there is told with what is near to it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from callsheet.engines.comfyui.casting import LTXV
from callsheet.engines.graphs.fields import fields
from callsheet.engines.graphs.ltxv import LTXV_2B
from callsheet.engines.graphs.names import find, near
from callsheet.engines.graphs.parts import Checkpoint, Lora, Parts
from callsheet.engines.graphs.poster import FLUX, FLUX_PARTS
from callsheet.engines.graphs.wan import A14B, A14B_WORDS, TI2V_5B, Experts
from callsheet.errors import EngineNotHere, EngineUnable, FileMissing, FileUnreadable, WrongFamily
from callsheet.lora.inspect import inspect, require_family
from callsheet.models import Family
from callsheet.recipes import LoraUse
from callsheet.store.base import Room

FOLDER = "callsheet"
"""Below the server's loras folder: what we put there."""

T5 = ("t5xxl_fp16.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors", "t5xxl_fp8_e4m3fn.safetensors")
"""The same text encoder, best first."""
_UMT5 = ("umt5_xxl_fp16.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
_FLUX = (FLUX_PARTS.model, FLUX.file)
_OTHER_PRECISION: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(T5, T5), **dict.fromkeys(_UMT5, _UMT5), **dict.fromkeys(_FLUX, _FLUX),
    **{name: (name, name.replace("fp8_scaled", "fp16")) for experts in (A14B, A14B_WORDS)
       for name in (experts.high, experts.low)},
}
"""File -> files with the same weights."""


class Shelf:
    """The files of one server, from its list of nodes; without one, every file is taken to be there as we call it."""

    def __init__(self, nodes: Mapping[str, Any] | None, engine: str) -> None:
        self._nodes = nodes
        self._engine = engine

    @property
    def nodes(self) -> Mapping[str, Any]:
        """The list it was made of."""
        return self._nodes or {}

    def poster(self) -> Checkpoint | Parts:
        """FLUX as one file, else as the files of its parts. Raises EngineUnable naming what is not there."""
        if self._nodes is None or find(FLUX.file, self._choices("CheckpointLoaderSimple", "ckpt_name")):
            return Checkpoint(self._file(FLUX.file, "CheckpointLoaderSimple", "ckpt_name"))
        try:
            return self._parts(FLUX_PARTS, "DualCLIPLoader", "clip_name1")
        except EngineUnable as error:
            raise EngineNotHere(
                engine=self._engine, what="posters with flux1-dev",
                detail=f"it has neither the checkpoint {FLUX.file} nor all parts: {error.facts['detail']}",
                remedy=f"put {FLUX.file} into the server's models/checkpoints",
            ) from None

    def wan(self, model: str, pictured: bool) -> Parts | Experts:
        """Raises EngineUnable naming what is not there."""
        if model == "wan2.2-ti2v-5b":
            return self._parts(TI2V_5B, "CLIPLoader", "clip_name")
        asked = A14B if pictured else A14B_WORDS
        return replace(
            asked,
            high=self._file(asked.high, "UNETLoader", "unet_name"),
            low=self._file(asked.low, "UNETLoader", "unet_name"),
            encoders=tuple(self._file(name, "CLIPLoader", "clip_name") for name in asked.encoders),
            vae=self._file(asked.vae, "VAELoader", "vae_name"),
        )

    def ltxv(self) -> tuple[str, tuple[str, ...]]:
        """Checkpoint and text encoders."""
        return (self._file(LTXV_2B, "CheckpointLoaderSimple", "ckpt_name"),
                (self._file(T5[0], "CLIPLoader", "clip_name"),))

    def lora(self, use: LoraUse, name: str = "") -> Lora:
        """The LoRA of a slot as the server calls it: `name` where we put it there, else the name of its file.

        Raises FileMissing naming the actor and what is near, EngineUnable where several folders have it.
        """
        who, wanted = use.display_name or use.name, name or use.file_name or use.name
        if self._nodes is None:
            file = wanted if wanted.endswith(".safetensors") else f"{wanted}.safetensors"
            return Lora(file, use.strength, who)
        there = self._choices("LoraLoader", "lora_name")
        found = find(wanted, there)
        if len(found) > 1:
            raise EngineUnable(engine=self._engine, what=f"the {use.role} {who}",
                               detail=f"several folders of the server have {wanted}: {', '.join(found)}",
                               remedy="leave one of them there")
        if not found:
            close = near(wanted, there)
            raise FileMissing(
                path=wanted,
                what=f"the LoRA of {who} is none of the {len(there)} that the ComfyUI server has" +
                     (f"; near are {', '.join(close)}" if close else ""),
                remedy="let CALLSHEET_COMFYUI_LORAS name the server's own loras folder" if name else
                       "copy it into the server's models/loras, or set CALLSHEET_COMFYUI_LORAS to that folder",
            )
        return Lora(found[0], use.strength, who)

    def _parts(self, parts: Parts, encoder: str, field: str) -> Parts:
        return replace(
            parts,
            model=self._file(parts.model, "UNETLoader", "unet_name"),
            encoders=tuple(self._file(name, encoder, field) for name in parts.encoders),
            vae=self._file(parts.vae, "VAELoader", "vae_name"),
        )

    def _file(self, name: str, node: str, field: str) -> str:
        if self._nodes is None:
            return name
        there = self._choices(node, field)
        for same in _OTHER_PRECISION.get(name, (name,)):
            if found := find(same, there):
                return found[0]
        close = near(name, there)
        raise EngineNotHere(
            engine=self._engine, what=f"anything with {name}",
            detail=f"it is none of the {len(there)} files that its {node} has" +
                   (f"; near are {', '.join(close)}" if close else ""),
            remedy="put the file where the server looks for models: `callsheet models list` names its source")

    def _choices(self, node: str, field: str) -> Sequence[str]:
        entry = (self._nodes or {}).get(node)
        if not isinstance(entry, Mapping):
            raise EngineUnable(engine=self._engine, what="anything", detail=f"the server has no node {node}",
                               remedy="update the ComfyUI server")
        try:
            known = fields(entry, {})
        except ValueError as error:
            raise EngineUnable(engine=self._engine, what="anything", detail=f"of the server's node {node} {error}",
                               remedy="update the ComfyUI server") from error
        return tuple(map(str, known[field].choices)) if field in known else ()


def put(use: LoraUse, folder: Path, room: Room, family: Family) -> str:
    """Put an accepted LoRA into the server's folder, and return its name there; empty where there is no file of it.

    Its header is read first: the server loads a LoRA of another architecture without a word and without effect.
    Raises WrongFamily, LoraUnreadable, FileUnreadable where the folder cannot be written.
    """
    if use.file is None or use.sha256 is None:
        return ""
    source = room.fetch(use.file)
    require_family(inspect(source), family, use.file_name or use.name)
    name = f"{FOLDER}/{use.sha256[:16]}.safetensors"
    target = folder / name
    try:
        if not target.is_file() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as part:
                _copy(source, Path(part.name), target)
    except OSError as error:
        raise FileUnreadable(path=str(target), detail=error.strerror or "not writable",
                             remedy="let CALLSHEET_COMFYUI_LORAS name a folder that this machine can write") from error
    return name


def _copy(source: Path, part: Path, target: Path) -> None:
    """The server sees nothing or all of it."""
    try:
        shutil.copyfile(source, part)
        part.chmod(0o644)                                 # the server is another user
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def known_family(use: LoraUse, room: Room, family: Family) -> None:
    """Raises WrongFamily where the acceptance of a file recorded another family."""
    found = room.facts(use.file).get("family") if use.file else None
    if found is not None and found != family:
        raise WrongFamily(path=use.file_name or use.name, found=found, wanted=family)


def clip_family(model: str) -> Family | None:
    """Of the LoRAs that a clip model loads."""
    return None if model == LTXV else Family.WAN
