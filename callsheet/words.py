"""What a cell of a manifest or a field of a script may say: types that read one text, and how a mistake is told.

Each type is an annotation for pydantic, so a table, a form and a script file read the same words alike. Ranges are
those of models.py. Nothing here looks at the disk.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints

from callsheet.errors import CallsheetError, DialogueInvalid
from callsheet.keys import SLUG_WORDS
from callsheet.models import Format
from callsheet.presets import Door, Quality, quality_from
from callsheet.units import Frozen, Seconds, Slug, Volume

MANY = 200
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FORMAT = re.compile(
    r"\s*([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})"
    r"\s*@\s*([0-9]{1,9}(?:\.[0-9]{1,9}|/0*[1-9][0-9]{0,8})?)\s*(?:fps)?\s*"
)
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^?#]+")
_WEIGHTS_SUFFIX = re.compile(r"\.(?!v[0-9]+$)[A-Za-z][A-Za-z0-9]{0,11}$")


class Mistaken(ValueError):
    """A word that a type cannot read, with the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def of(model: type[BaseModel], field: str) -> Any:
    """The annotation of a model's field with its ranges, without its default."""
    info = model.model_fields[field]
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def near(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or an empty text."""
    wanted, candidates = word.strip().lower(), list(known)
    if len(candidates) > MANY:                         # thousands of ids: only those that begin alike
        candidates = [one for one in candidates if one[:2] == wanted[:2] and abs(len(one) - len(wanted)) < 3][:MANY]
    found = difflib.get_close_matches(wanted, candidates, n=1, cutoff=0.6)
    return found[0] if found else ""


def meant(word: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy that names the near match, else what else to do."""
    guess = near(word, known)
    return f"did you mean {guess}?" if guess else otherwise


def _local(value: str) -> str:
    if _SCHEME.match(value) or value.startswith("//"):
        raise Mistaken("is an address, not a local path", "copy the file here and write its path")
    return value


def _lora(value: str) -> str:
    if value.startswith("s3:"):
        if not _S3.fullmatch(value):
            raise Mistaken("is no s3 address", "write s3://bucket/folder/name.safetensors, or a local path")
    else:
        _local(value)
    name = PurePosixPath(value).name
    suffix = _WEIGHTS_SUFFIX.search(name)
    if suffix and suffix[0].lower() != ".safetensors":
        raise Mistaken(f"is a {suffix[0]} file, which callsheet never loads", "convert it to .safetensors")
    return value if suffix else f"{value}.safetensors"


def _format(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _FORMAT.fullmatch(value)
    if found is None:
        raise Mistaken("is no format", "write width x height @ frames a second, such as 1080x1920@30")
    fps: Any = float(found[3]) if "." in found[3] else found[3]          # a decimal rate is a broadcast rate
    return {"width": int(found[1]), "height": int(found[2]), "fps": fps}


def _quality(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return quality_from(value, Door.SEGMENTS)
    except ValueError:
        known = [tier.value for tier in Quality]
        raise Mistaken("is no quality", meant(value, known, f"one of {', '.join(known)}")) from None


def _lowered(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(";") if part.strip()] if isinstance(value, str) else value


LocalPath = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_local)]
"""A file of this machine, relative to the file that names it; never a URL."""

LoraPath = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_lora)]
"""A LoRA's name, local path or s3:// URL; comes out with its .safetensors suffix."""

FormatText = Annotated[Format, BeforeValidator(_format)]
"""`1080x1920@30`; rates such as 29.97 and 30000/1001 too."""

QualityText = Annotated[Quality, BeforeValidator(_quality)]
"""A tier, in any case; fast means draft and ultra premium."""

OrientationText = Annotated[Literal["landscape", "portrait", "square"], BeforeValidator(_lowered)]
StatusText = Annotated[Literal["trained", "training"], BeforeValidator(_lowered)]
YesNo = Annotated[bool, BeforeValidator(_lowered)]
"""yes or no; true, false, on, off, 1 and 0 too."""

Ids = Annotated[tuple[Slug, ...], BeforeValidator(_split)]
"""Ids with `;` between them."""

Text = Annotated[str, StringConstraints(max_length=2000)]


def word_of(annotation: Any) -> Any:
    """The type whose words are lower case, read in any case."""
    return Annotated[annotation, BeforeValidator(_lowered)]


def _effect(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    file, at, rest = value.rpartition("@")
    start, _, volume = rest.partition(":")
    if not at or not file.strip() or not start.strip():
        raise Mistaken("is no effect", "write file@second or file@second:volume, such as chime.flac@3.5:0.6")
    return {"file": file.strip(), "start": start.strip(), **({"volume": volume.strip()} if volume else {})}


class EffectEntry(Frozen):
    """A sound at a moment of the film, as it is written."""

    file: LocalPath
    start: Seconds
    volume: Volume = 1.0


EffectText = Annotated[EffectEntry, BeforeValidator(_effect)]
"""`sounds/chime.flac@3.5:0.6`: file, second, volume."""

Effects = Annotated[tuple[EffectText, ...], BeforeValidator(_split)]
"""Effects with `;` between them."""

EXPECTED: Mapping[str, str] = {
    "string_pattern_mismatch": f"use {SLUG_WORDS}",
    "float_parsing": "write a number with a point, such as 2.5",
    "bool_parsing": "write yes or no",
    "bool_type": "write yes or no",
    "float_type": "write a number with a point, such as 2.5",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "string_type": "write a text",
    "tuple_type": "write a list",
    "list_type": "write a list",
    "model_type": "write a mapping of fields",
    "dict_type": "write a mapping of fields",
    "extra_forbidden": "remove it",
    "missing": "add it",
}

_NO_VALUE: Mapping[str, str] = {"int_parsing": "is no whole number", "bool_parsing": "is neither yes nor no"}


def told(details: Mapping[str, Any], known: Iterable[str] = ()) -> tuple[str, str]:
    """Message and remedy for one of pydantic's error details; `known` names the fields that exist."""
    kind, context = str(details["type"]), dict(details.get("ctx") or {})
    remedy = EXPECTED.get(kind, "correct it")
    if kind in ("greater_than_equal", "less_than_equal"):
        low = kind.startswith("greater")
        limit = f"{context['ge' if low else 'le']:.12g}"
        return f"is {'under' if low else 'over'} {limit}", f"use at {'least' if low else 'most'} {limit}"
    if kind in ("enum", "literal_error"):
        words = re.findall(r"'([^']*)'", str(context["expected"]))
        return "is not a word known here", meant(str(details["input"]), words, f"one of {', '.join(words)}")
    if kind == "extra_forbidden":
        return "is no field here", meant(str(details["loc"][-1]), known, "remove it")
    if kind == "string_pattern_mismatch" and "a-zA-Z" in str(context["pattern"]):
        return "is no language", "write a tag such as en-us"
    if kind == "string_pattern_mismatch":
        return "is no id", remedy
    if kind == "value_error":
        error = context["error"]
        return str(error), getattr(error, "remedy", remedy)
    if kind.endswith("_parsing"):
        return _NO_VALUE.get(kind, "is no number"), remedy
    if kind == "missing":
        return "is missing", remedy
    if kind.startswith("string_too"):
        return ("is empty", "write something") if "short" in kind else (
            f"is over {context['max_length']} characters", "shorten it")
    return str(details["msg"]).replace("Input should be", "should be"), remedy


def advice(error: CallsheetError) -> tuple[str, str]:
    """Message and remedy of one of our own errors, as a cell's problem tells them."""
    return (str(error.facts["detail"]) if isinstance(error, DialogueInvalid) else error.what), error.fix

