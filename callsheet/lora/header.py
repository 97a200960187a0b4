"""The header of a safetensors file, read and checked without touching a single tensor.

    8 bytes: length of the header    JSON: name -> dtype, shape, offsets    the tensors, one after another

Covers telling safetensors from pickle and zip by their bytes, and every way a header can lie about its
file. It knows nothing about LoRAs: what the names mean is in families.py.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from callsheet.errors import FileMissing, LoraUnreadable, LoraUnsafe

MAX_HEADER_BYTES = 8 << 20
"""The names of a large LoRA take a quarter of a MiB; trainers may add statistics of their pictures' tags."""

MAX_NAME = 512
"""Characters of a tensor's name."""

MAX_DIMENSIONS = 8

ITEM_BYTES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}
"""Bytes of one number, for every dtype that fills whole bytes."""

_LENGTH = 8
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OLD_PICKLE = re.compile(rb"[(\[\]{}Nq\x00]*c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\((?:dp|lp|i)|[}\]]q[\x00-\xff]|[}\]]\(")


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies: `start` and `end` count bytes from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """A header that tells the truth: its tensors fill the rest of the file without gap or overlap."""

    tensors: tuple[Tensor, ...]
    """In the order of their bytes."""
    metadata: Mapping[str, str]
    size: int
    """Bytes of the whole file."""


def read_header(path: Path) -> Header:
    """Read and check the header of `path`; at most MAX_HEADER_BYTES are read.

    Raises FileMissing, LoraUnsafe for pickle and zip under any name, LoraUnreadable for everything else.
    """
    try:
        if not path.exists():
            raise FileMissing(path=path, what="a LoRA")
        if not path.is_file():                        # opening a pipe would wait for ever
            _refuse(path, "it is not a regular file")
        with path.open("rb") as file:
            return _read(file, path)
    except (OSError, ValueError) as error:            # ValueError: a path with a null character
        raise LoraUnreadable(path=path.name, detail=str(error)[:200]) from error


def _read(file: BinaryIO, path: Path) -> Header:
    size = os.fstat(file.fileno()).st_size
    head = file.read(64)
    if not head:
        _refuse(path, "it is empty")
    length = int.from_bytes(head[:_LENGTH], "little")
    # A header of 640 bytes begins with the same two bytes as a pickle: what follows the length decides.
    if len(head) <= _LENGTH or length > MAX_HEADER_BYTES or head[_LENGTH:_LENGTH + 1] != b"{":
        _refuse_other_formats(head, path)
    if len(head) <= _LENGTH:
        _refuse(path, f"it ends after {len(head)} bytes")
    if length > MAX_HEADER_BYTES:
        _refuse(path, f"its header claims {length} bytes, more than {MAX_HEADER_BYTES}")
    if _LENGTH + length > size:
        _refuse(path, f"it ends inside its header, after {size} of {_LENGTH + length} bytes")
    file.seek(_LENGTH)
    entries = _parse(file.read(length), path)
    metadata = _metadata(entries.pop("__metadata__", {}), path)
    tensors = [_tensor(name, entry, _LENGTH + length, path) for name, entry in entries.items()]
    return Header(_laid_out(tensors, _LENGTH + length, size, path), metadata, size)


def _refuse_other_formats(head: bytes, path: Path) -> None:
    if head.startswith(_ZIP):
        raise LoraUnsafe(path=path.name, detail="a zip archive (a PyTorch checkpoint)")
    if (head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or _OLD_PICKLE.match(head):
        raise LoraUnsafe(path=path.name, detail="a Python pickle")


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"{shown(name)} is there twice")
            found[name] = value
        return found

    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON")

    try:
        if not raw.startswith(b"{"):
            raise ValueError("it is no JSON object")
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except RecursionError:
        _refuse(path, "its header is nested too deep")
    except ValueError as error:                       # wrong UTF-8 and wrong JSON are ValueErrors, too
        raise LoraUnreadable(path=path.name, detail=f"its header cannot be read: {str(error)[:200]}") from error
    assert isinstance(entries, dict)                  # it begins with a brace
    return entries


def _metadata(found: Any, path: Path) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        _refuse(path, "its __metadata__ is not a table of texts")
    return found


def _tensor(name: str, entry: Any, data: int, path: Path) -> Tensor:
    if not name or len(name) > MAX_NAME or not name.isprintable():
        _refuse(path, f"a tensor has no usable name: {shown(name)}")
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        _refuse(path, f"{shown(name)} lacks dtype, shape or data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        _refuse(path, f"{shown(name)} has an unknown dtype {shown(str(dtype))}")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        _refuse(path, f"{shown(name)} has no usable shape")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(path, f"{shown(name)} has no usable offsets")
    start, end = offsets
    if math.prod(shape) * ITEM_BYTES[dtype] != end - start:
        _refuse(path, f"{shown(name)} has {end - start} bytes, which is not what its shape and {dtype} take")
    return Tensor(name, dtype, tuple(shape), data + start, data + end)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _laid_out(tensors: list[Tensor], data: int, size: int, path: Path) -> tuple[Tensor, ...]:
    ordered = sorted(tensors, key=lambda tensor: (tensor.start, tensor.end, tensor.name))
    reached = data
    for tensor in ordered:
        if tensor.start < reached:
            _refuse(path, f"{shown(tensor.name)} overlaps the tensor before it")
        if tensor.start > reached:
            _refuse(path, f"there is a gap of {tensor.start - reached} bytes before {shown(tensor.name)}")
        reached = tensor.end
    if reached > size:
        _refuse(path, f"it ends after {size} of {reached} bytes")
    if reached < size:
        _refuse(path, f"{size - reached} bytes follow its last tensor")
    return tuple(ordered)


def shown(text: str, limit: int = 120) -> str:
    """A text from a file as an error may show it: one printable line of bounded length."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


def _refuse(path: Path, detail: str) -> NoReturn:
    raise LoraUnreadable(path=path.name, detail=detail)
