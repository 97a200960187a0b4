"""LoRA files: find one by name, learn its family from the header, check its numbers before a GPU is paid.

    facts = inspect(find_lora("0001_european_20_female", folders))
    require_family(facts, Family.FLUX, "0001_european_20_female")

Only safetensors is ever opened. Does not load a LoRA into a model, nor judge whether it was trained well.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from callsheet.errors import FileMissing, LoraUnreadable, LoraUnsafe, WrongFamily
from callsheet.lora.families import Style, family_of, layers_of
from callsheet.lora.header import Tensor, read_header, shown
from callsheet.models import Family

SUFFIX = ".safetensors"

RUNS_CODE = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".zip")
"""Suffixes of formats that are, or hold, pickles."""

CHUNK_BYTES = 1 << 20
"""Tensor data in memory at a time; a multiple of every dtype's size."""

KEPT_METADATA = (
    "ss_base_model_version", "ss_sd_model_name", "ss_network_module", "ss_network_dim", "ss_network_alpha",
    "ss_output_name", "ss_steps", "modelspec.architecture", "modelspec.title", "modelspec.trigger_phrase",
    "trigger_words", "trigger_word",
)
"""What is kept of a trainer's metadata; the rest (tag statistics, folder names) stays in the file."""

_TRIGGERS = ("modelspec.trigger_phrase", "trigger_words", "trigger_word")
_MAX_METADATA = 300
_MAX_TRIGGERS = 20

_NOT_FINITE: Mapping[str, tuple[str, int, int]] = {
    "F16": ("<u2", 0x7C00, 0x7C00),
    "BF16": ("<u2", 0x7F80, 0x7F80),
    "F32": ("<u4", 0x7F80_0000, 0x7F80_0000),
    "C64": ("<u4", 0x7F80_0000, 0x7F80_0000),
    "F64": ("<u8", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    "F8_E5M2": ("u1", 0x7C, 0x7C),
    "F8_E4M3": ("u1", 0x7F, 0x7F),
    "F8_E5M2FNUZ": ("u1", 0xFF, 0x80),
    "F8_E4M3FNUZ": ("u1", 0xFF, 0x80),
    "F8_E8M0": ("u1", 0xFF, 0xFF),
}
"""dtype -> (word, mask, bits): a number is NaN or infinite when `word & mask == bits`. Integers always are finite."""


@dataclass(frozen=True)
class LoraFacts:
    """What a LoRA file is. Its tensors fill it exactly, and each layer's two matrices fit each other."""

    family: Family
    rank: int | None
    """The largest rank of its layers; None when they are factored in another way (LoHa, LoKr)."""
    layers: int
    """Adapted layers of the base model, at least 1."""
    style: Style
    """How most of its matrices are named."""
    dtypes: tuple[str, ...]
    """safetensors' names of its dtypes, sorted."""
    size: int
    """Bytes of the whole file."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Those of KEPT_METADATA that are there, cut to 300 printable characters."""
    trigger_words: tuple[str, ...] = ()
    """Words the trainer says wake the LoRA, at most 20."""


def inspect(path: Path) -> LoraFacts:
    """The facts of a LoRA, from its header alone: milliseconds, whatever its size.

    Raises FileMissing, LoraUnsafe (pickle or zip under any name), LoraUnreadable, LoraFamilyUnknown.
    """
    header = read_header(path)
    layers = layers_of(header.tensors, path.name)
    family = family_of(layers, header.metadata, path.name)
    styles = Counter(layer.style for layer in layers)
    return LoraFacts(
        family=family,
        rank=max((layer.down[0] for layer in layers if layer.down), default=None),
        layers=len(layers),
        style=styles.most_common(1)[0][0],
        dtypes=tuple(sorted({tensor.dtype for tensor in header.tensors})),
        size=header.size,
        metadata={k: shown(header.metadata[k], _MAX_METADATA) for k in KEPT_METADATA if k in header.metadata},
        trigger_words=_trigger_words(header.metadata),
    )


def _trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    given = next((metadata[key] for key in _TRIGGERS if metadata.get(key, "").strip()), "")[:10_000]
    words: list[str] = given.split(",")
    if given.lstrip().startswith("["):                # some trainers write a JSON list
        try:
            listed = json.loads(given)
        except (ValueError, RecursionError):
            listed = []                               # a mere comment of the trainer: nothing depends on it
        words = [word for word in listed if isinstance(word, str)]
    cleaned = (shown(word.strip(), _MAX_METADATA) for word in words)
    return tuple(dict.fromkeys(word for word in cleaned if word))[:_MAX_TRIGGERS]


def check_finite(path: Path) -> int:
    """Read every number in bounded memory and return how many tensors were checked: all of them.

    Raises LoraUnreadable naming the first tensor with NaN or infinity, and whatever `inspect` raises for
    the file itself.
    """
    header = read_header(path)
    try:
        with path.open("rb") as file:
            for tensor in header.tensors:
                if tensor.dtype in _NOT_FINITE:
                    _check_tensor(file, tensor, path)
    except OSError as error:
        raise LoraUnreadable(path=path.name, detail=str(error)[:200]) from error
    return len(header.tensors)


def _check_tensor(file: BinaryIO, tensor: Tensor, path: Path) -> None:
    import numpy as np

    word, mask, bits = _NOT_FINITE[tensor.dtype]
    file.seek(tensor.start)
    for start in range(tensor.start, tensor.end, CHUNK_BYTES):
        wanted = min(CHUNK_BYTES, tensor.end - start)
        raw = file.read(wanted)
        if len(raw) != wanted:
            raise LoraUnreadable(path=path.name, detail="it became shorter while it was read")
        words = np.frombuffer(raw, dtype=word)
        if np.any((words & words.dtype.type(mask)) == bits):
            raise LoraUnreadable(
                path=path.name,
                detail=f"{shown(tensor.name)} holds NaN or infinity",
                remedy="the training diverged: take an earlier checkpoint, or train again with a lower learning rate",
            )


def require_family(facts: LoraFacts, wanted: Family, name: str) -> None:
    """Raise WrongFamily unless the LoRA called `name` was trained for `wanted`."""
    if facts.family is not wanted:
        raise WrongFamily(path=name, found=facts.family.value, wanted=wanted.value)


def find_lora(name: str, folders: Iterable[Path]) -> Path:
    """The first file called `name`, with or without `.safetensors`, in `folders`, in their order.

    `name` may hold subfolders but must stay inside its folder: names come from strangers, and one user's
    LoRAs are not another's. For a path that somebody chose freely, pass its own folder.
    Raises LoraUnsafe for a suffix of pickles, FileMissing saying where it looked.
    """
    lowered = name.lower()
    if lowered.endswith(RUNS_CODE):
        raise LoraUnsafe(path=name, detail=f"a {lowered[lowered.rindex('.'):]} file")
    if not name.strip() or not name.isprintable() or name.endswith(("/", os.sep)):
        raise FileMissing(path=repr(name), what="this is no LoRA's name", remedy="name the file, without its folder")
    wanted = name if lowered.endswith(SUFFIX) else name + SUFFIX
    looked = []
    for folder in folders:
        root = os.path.normpath(folder.absolute())
        path = Path(os.path.normpath(Path(root, wanted)))
        if not path.is_relative_to(root):
            raise FileMissing(path=name, what=f"it leaves {folder}", remedy="name a file inside the LoRA folder")
        try:
            if path.is_file():
                return path
        except OSError as error:                      # such as a name too long, or a folder one may not enter
            raise FileMissing(path=wanted, what=str(error)[:200], remedy="check the name") from error
        looked.append(str(folder))
    where = ", ".join(looked) or "no folder at all"
    raise FileMissing(path=wanted, what=f"looked in {where}", remedy="check the name, or copy the LoRA there")
