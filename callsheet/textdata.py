"""YAML and JSON that strangers wrote, as trees of dicts, lists and strings.

Every scalar stays the text that was written: `0001`, `NO` and `1.50` survive, and whoever needs a number says so.
Refused: aliases and anchors, tags, keys twice, NaN and infinity, nesting over 50 deep, files over 32 MB. YAML is
read from parser events alone, so no constructor ever runs; empty, `~` and `null` are the empty text.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callsheet.errors import FileMissing, FileUnreadable, ManifestInvalid, Problem

Tree = dict[str, Any] | list[Any] | str

MAX_BYTES = 32 << 20
MAX_DEPTH = 50

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Characters that no field may hold: controls other than tab and line breaks, and halves of surrogate pairs."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_FINITE = frozenset({".nan", ".inf", "-.inf", "+.inf"})


class _Refused(ValueError):
    """What is wrong, where, and the remedy."""

    def __init__(self, where: str, message: str, remedy: str, value: str = "") -> None:
        super().__init__(message)
        self.where, self.message, self.remedy, self.value = where, message, remedy, value


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Around reading a file: what the system says against it becomes FileUnreadable."""
    try:
        yield
    except OSError as error:
        raise FileUnreadable(path=str(path), detail=error.strerror or type(error).__name__) from error


def require(path: Path, kind: str) -> None:
    """Raises FileMissing unless a regular file is there, FileUnreadable unless its bytes can be had."""
    with readable(path):
        if path.is_dir():
            raise FileUnreadable(path=str(path), detail="it is a folder", remedy=f"name the {kind}'s file in it")
        if not path.is_file():
            raise FileMissing(path=str(path), what=kind, remedy=_look_again(path))
        with path.open("rb") as file:
            file.read(1)


def _look_again(path: Path) -> str:
    """What to do about a file that is not there: a file beside it with nearly that name, else where was looked."""
    folder = path.parent
    beside = [one.name for one in folder.iterdir() if one.is_file()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"did you mean {near[0]}?" if near else f"check the path; there is no such file in {folder.absolute()}"


def read_text(path: Path, kind: str) -> str:
    """The file's text without a byte order mark. Raises FileMissing, FileUnreadable, ManifestInvalid."""
    require(path, kind)
    with readable(path):
        if path.stat().st_size > MAX_BYTES:
            raise refusal(path, "the file", f"is over {MAX_BYTES >> 20} MB", "split it")
        data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal(path, f"byte {error.start + 1}", "is not UTF-8", "save the file as UTF-8") from None


def read_tree(path: Path, kind: str) -> Tree:
    """The tree in a .json, .yaml or .yml file. Raises FileMissing, FileUnreadable, ManifestInvalid with the line."""
    text = read_text(path, kind)
    try:
        return json_tree(text) if path.suffix.lower() == ".json" else yaml_tree(text)
    except _Refused as error:
        raise refusal(path, error.where, error.message, error.remedy, error.value) from None


def refusal(path: Path, where: str, message: str, remedy: str, value: str = "") -> ManifestInvalid:
    """A file that is wrong as a whole, as one problem."""
    return ManifestInvalid([Problem(str(path), where, value, message, remedy)])


def json_tree(text: str) -> Tree:
    """A JSON text as a tree; numbers stay text, null is empty. Raises ValueError."""
    try:
        tree = json.loads(
            text, parse_int=str, parse_float=str, parse_constant=_no_constant, object_pairs_hook=_once_each
        )
    except json.JSONDecodeError as error:
        raise _Refused(f"line {error.lineno}, column {error.colno}", error.msg, "correct the JSON there") from None
    except RecursionError:
        raise _too_deep("the file") from None
    return _plain(tree, 0)


def _too_deep(where: str) -> _Refused:
    return _Refused(where, f"is nested over {MAX_DEPTH} deep", "write it flatter")


def _no_constant(word: str) -> str:
    raise _Refused("the file", "is no number that JSON knows", "write a finite number", word)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"key {again}", "is there twice in one object", "keep one of them")
    return made


def _plain(value: Any, depth: int) -> Tree:
    if isinstance(value, (dict, list)) and depth >= MAX_DEPTH:
        raise _too_deep("the file")
    if isinstance(value, dict):
        return {name: _plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "" if value is None else str(value)
    if UNPRINTABLE.search(text):
        raise _Refused("the file", "holds a control character", "remove it", text[:60])
    return text


def yaml_tree(text: str) -> Tree:
    """A YAML text as a tree. Raises ValueError."""
    import yaml

    builder = _Builder()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)          # libyaml where the wheel has it
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise _Refused(where, error.problem or "is no YAML", "correct the YAML there") from None
    except yaml.YAMLError as error:
        raise _Refused("the file", str(error).splitlines()[0], "correct the YAML") from None
    return builder.root


class _Builder:
    """Puts a tree together from parser events."""

    def __init__(self) -> None:
        self.root: Tree = ""
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []             # the key that waits for its value, one a level
        self._documents = 0

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        where = f"line {event.start_mark.line + 1}"
        if kind == "AliasEvent" or getattr(event, "anchor", None):
            raise _Refused(where, "has an anchor or alias (& or *)", "write the value out")
        if getattr(event, "tag", None):
            raise _Refused(where, "has a tag (!)", "write the plain value", event.tag)
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise _Refused(where, "starts a second document", "keep one document a file")
        elif kind == "ScalarEvent":
            self._put(_scalar(event, where), where)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin({} if kind.startswith("M") else [], where)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._open.pop()
            self._keys.pop()

    def _begin(self, made: dict[str, Any] | list[Any], where: str) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _too_deep(where)
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
            raise _Refused(where, "has a list or mapping as a key", "use a plain word as the key")
        self._put(made, where)
        self._open.append(made)
        self._keys.append(None)

    def _put(self, value: Any, where: str) -> None:
        if not self._open:
            self.root = value
            return
        inside, key = self._open[-1], self._keys[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif key is not None:
            inside[key] = value
            self._keys[-1] = None
        else:
            if value in inside:
                raise _Refused(where, "is there twice in one mapping", "keep one of them", value)
            self._keys[-1] = value


def _scalar(event: Any, where: str) -> str:
    plain = event.implicit[0]
    if plain and event.value.lower() in _NOT_FINITE:
        raise _Refused(where, "is no finite number", "write a finite number", event.value)
    return "" if plain and event.value in _NULLS else str(event.value)
