"""What is generated from the code is what lies in manifests/."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from callsheet.manifest_columns import COLUMNS, read_cells
from callsheet.manifest_schema import manifest_schema, script_schema
from callsheet.models import Scene

MANIFESTS = Path(__file__).parents[2] / "manifests"
REFERENCE = runpy.run_path(str(MANIFESTS / "make_reference.py"))["reference"]()


@pytest.mark.parametrize("path", sorted(REFERENCE), ids=lambda path: path.name)
def test_the_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == REFERENCE[path], "run python manifests/make_reference.py"


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_columns_example_is_read_without_a_mistake(column: object) -> None:
    values, mistakes = read_cells({column.name: column.example})
    assert not mistakes, mistakes
    assert column.name in values


def test_the_manifest_schema_has_every_column_and_alias() -> None:
    names = {name for column in COLUMNS for name in (column.name, *column.aliases)}
    assert set(manifest_schema()["items"]["properties"]) == names


def test_the_script_schema_has_every_field_of_a_scene() -> None:
    fields = set(script_schema()["properties"]["scenes"]["items"]["properties"])
    assert fields == {*Scene.model_fields} - {"lines"} | {"dialogue"}


def test_the_schemas_hold_no_reference_that_leads_nowhere() -> None:
    assert "$ref" not in json.dumps([manifest_schema(), script_schema()])
