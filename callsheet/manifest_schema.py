"""What editors and people read about manifests and scripts, generated from the code.

`manifests/make_reference.py` writes these into manifests/; a test keeps the files equal to what is said here.
"""

from __future__ import annotations

from typing import Any

from callsheet.manifest_columns import COLUMNS, Column
from callsheet.models import Scene
from callsheet.script import MAX_DIALOGUE

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
YES_NO = ("stems", "karaoke", "margin")
_BY_TEXT: dict[str, dict[str, Any]] = {
    "with": {"type": ["string", "array"], "items": {"type": "string"}},
    "effects": {"type": ["string", "array"], "items": {"type": "string"}},
    **{name: {"type": ["boolean", "string"]} for name in YES_NO},
    "format": {"type": "string", "pattern": "^ *[0-9]+ *[xX×] *[0-9]+ *@ *[0-9]+([.][0-9]+|/[0-9]+)? *(fps)? *$"},
    "quality": {"type": "string"},
    "status": {"type": "string"},
}


def columns_table() -> str:
    """The columns as a Markdown table."""
    lines = ["| column | type | what it says | example | also called |", "|---|---|---|---|---|"]
    for column in COLUMNS:
        also = ", ".join(f"`{alias}`" for alias in column.aliases)
        lines.append(f"| `{column.name}` | {type_words(column)} | {column.help} | `{column.example}` | {also} |")
    return "\n".join(lines) + "\n"


def type_words(column: Column) -> str:
    """A column's type for people, with its range."""
    schema = _column_schema(column)
    if "enum" in schema:
        return ", ".join(schema["enum"])
    kind = schema["type"]
    if column.name in YES_NO:
        return "yes, no"
    if kind in ("number", "integer"):
        number = "whole number" if kind == "integer" else "number"
        even = ", even" if schema.get("multipleOf") == 2 else ""
        return f"{number} {schema['minimum']} to {schema['maximum']}{even}"
    if column.name in ("lora", "script", "music", "ambience"):
        return "path"
    if column.name in ("format", "quality", "status", "effects"):
        return {"format": "WxH@fps", "quality": "draft, standard, high, premium, cinematic",
                "status": "trained, training", "effects": "list"}[column.name]
    if column.name == "with":
        return "ids"
    return "id" if schema.get("pattern", "").startswith("^[a-z0-9]") else "text"


def _column_schema(column: Column) -> dict[str, Any]:
    if column.name in _BY_TEXT:
        return dict(_BY_TEXT[column.name])
    schema = column.adapter.json_schema()
    definitions = schema.pop("$defs", {})
    for option in schema.pop("anyOf", ()):             # `X or None`: an empty cell is the None
        schema |= option if option.get("type") != "null" else {}
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return {name: value for name, value in schema.items() if name not in ("title", "description", "default")}


def manifest_schema() -> dict[str, Any]:
    """JSON schema of a manifest in JSON or YAML."""
    properties: dict[str, Any] = {}
    for column in COLUMNS:
        said = _column_schema(column)
        properties[column.name] = {**said, "description": column.help, "examples": [_example(column, said)]}
        properties |= {alias: {**said, "description": f"The same as {column.name}."} for alias in column.aliases}
    return {
        "$schema": _DRAFT,
        "title": "callsheet manifest",
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            "anyOf": [{"required": ["id"]}, {"required": ["actor_id"]}],
        },
    }


def _example(column: Column, said: dict[str, Any]) -> Any:
    if said.get("type") == "number":
        return float(column.example)
    return int(column.example) if said.get("type") == "integer" else column.example


def script_schema() -> dict[str, Any]:
    """JSON schema of a script file, for editors."""
    scene = Scene.model_json_schema()
    transition = scene["$defs"].pop("Transition")
    kind = scene["$defs"].pop("TransitionKind")
    transition["properties"]["kind"] = {"enum": kind["enum"], "default": "crossfade"}
    transition["required"] = ["kind"]
    transition["properties"]["seconds"].pop("title")
    transition.pop("title")
    fields = {name: scene["properties"][name] for name in Scene.model_fields if name != "lines"}
    for field in fields.values():
        field.pop("title", None)
    fields |= {
        "dialogue": {"type": "string", "maxLength": MAX_DIALOGUE,
                     "description": "[S1] Name: what is said. [S2] Name: the answer."},
        "cast": {"type": "array", "items": {"type": "string"}, "description": "Tags, ids or names of who is seen."},
        "transition": {"anyOf": [{"enum": kind["enum"]}, transition], "description": "Into the next scene."},
    }
    return {
        "$schema": _DRAFT,
        "title": "callsheet script",
        "type": "object",
        "additionalProperties": False,
        "required": ["scenes"],
        "properties": {
            "title": {"type": "string", "maxLength": 200},
            "scenes": {"type": "array", "minItems": 1, "maxItems": 500,
                       "items": {"type": "object", "additionalProperties": False, "required": ["prompt"],
                                 "properties": fields}},
            "sound": _sound_schema(),
        },
    }


def _sound_schema() -> dict[str, Any]:
    volume = {"type": "number", "minimum": 0, "maximum": 4}
    effect = {
        "anyOf": [
            {"type": "string", "pattern": "^.+@[0-9.]+(:[0-9.]+)?$"},
            {"type": "object", "additionalProperties": False, "required": ["file", "start"],
             "properties": {"file": {"type": "string"}, "start": {"type": "number", "minimum": 0}, "volume": volume}},
        ]
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "music": {"type": "string"}, "music_volume": volume,
            "ambience": {"type": "string"}, "ambience_volume": volume,
            "effects": {"type": "array", "maxItems": 100, "items": effect},
        },
    }
