"""From an envelope, `{"input": {"job_type": ..., ...}}`, to a request. Every mistake is told, by its field.

Strict JSON in, a checked request out; no file is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from callsheet.errors import RequestInvalid
from callsheet.jobs.base import MAX_INLINE_CHARS, Request
from callsheet.jobs.requests import JOBS, AnyRequest
from callsheet.words import meant, told

MAX_ENVELOPE_BYTES = 2 * MAX_INLINE_CHARS
MAX_DEPTH = 20
ENVELOPE = 'write {{"input": {{"job_type": ..., ...}}}}'
"""A remedy is a template: braces are doubled."""
_SHOWN = 60


def parse_envelope(text: str) -> dict[str, Any]:
    """The object in a JSON text: no key twice, no NaN, not nested over 20 deep. Raises RequestInvalid."""
    if len(text) > MAX_ENVELOPE_BYTES:
        raise _no_envelope(f"it is over {MAX_ENVELOPE_BYTES >> 20} MB", "send large files as URLs")
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        raise _no_envelope(f"line {error.lineno}, column {error.colno}: {error.msg}", "write valid JSON") from None
    except (RecursionError, ValueError) as error:     # ValueError: a number of thousands of digits
        raise _no_envelope(str(error).partition(":")[0][:200], "write plain JSON") from None
    if _depth(value) > MAX_DEPTH:
        raise _no_envelope(f"it is nested over {MAX_DEPTH} deep", "write it flatter")
    if not isinstance(value, dict):
        raise _no_envelope("it is no object", ENVELOPE)
    return value


def read_request(envelope: Mapping[str, Any]) -> AnyRequest:
    """The request in an envelope. Raises RequestInvalid naming each wrong field as `input.field`.

    What a provider puts beside `input`, such as an id of its own, is not looked at.
    """
    fields = envelope.get("input")
    if not isinstance(fields, dict):
        raise RequestInvalid(
            field="input", detail="is missing" if fields is None else "is no object",
            remedy=ENVELOPE,
        )
    job_type = fields.get("job_type")
    if not isinstance(job_type, str) or job_type not in JOBS:
        known = ", ".join(JOBS)
        raise RequestInvalid(
            field="input.job_type",
            detail="is missing" if job_type is None else f"{_shown(job_type)} is no job type",
            remedy=meant(str(job_type), JOBS, f"name one of {known}") if job_type else f"name one of {known}",
        )
    model = JOBS[job_type]
    try:
        return model.model_validate_json(json.dumps(fields, allow_nan=False), strict=True)
    except ValidationError as error:
        raise _refusal(error, model) from None
    except (TypeError, ValueError) as error:
        raise RequestInvalid(field="input", detail=f"is not plain JSON ({error})", remedy="write plain JSON") from None


def _refusal(error: ValidationError, model: type[Request]) -> RequestInvalid:
    told_all = []
    for details in error.errors(include_url=False):
        loc = details["loc"]
        known = _fields_at(model, loc[:-1])
        message, remedy = told({**details}, known)
        value = "" if isinstance(details["input"], (dict, list)) else f"{_shown(details['input'])} "
        told_all.append((_path(loc), message if details["type"] == "missing" else value + message, remedy))
    (field, detail, remedy), *others = told_all
    more = "".join(f"; {where} {what} ({how})" for where, what, how in others)
    return RequestInvalid(field=field, detail=detail + more, remedy=remedy, fields=[where for where, *_ in told_all])


def _path(loc: Sequence[int | str]) -> str:
    return "input" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The fields that exist where a mistake was made."""
    here: Any = model
    for step in loc:
        if isinstance(step, int):
            continue
        info = here.model_fields.get(step)
        inner = _parts(info.annotation) if info else []
        here = next((part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)), None)
        if here is None:
            return []
    return list(here.model_fields)


def _parts(annotation: Any) -> list[Any]:
    """A type and what it is made of: `tuple[X, ...]` has an X in it."""
    found = [annotation]
    for part in getattr(annotation, "__args__", ()):
        found += _parts(part)
    return found


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _no_envelope(detail: str, remedy: str) -> RequestInvalid:
    return RequestInvalid(field="(the envelope)", detail=detail, remedy=remedy)


def _no_constant(word: str) -> float:
    raise _no_envelope(f"{word} is no number that JSON knows", "write a finite number")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise _no_envelope(f"key {again[:_SHOWN]!r} is there twice in one object", "keep one of them")
    return made


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)
