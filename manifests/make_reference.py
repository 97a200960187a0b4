"""Write what is generated from the code: the column table in README.md and the JSON schemas.

    python manifests/make_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path

from callsheet.manifest_schema import columns_table, manifest_schema, script_schema

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- columns: generated -->\n", "<!-- columns: end -->"


def reference() -> dict[Path, str]:
    """Every generated file with its text."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    return {
        FOLDER / "README.md": f"{head}{BEGIN}{columns_table()}{END}{tail}",
        FOLDER / "schema" / "manifest.schema.json": json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n",
        FOLDER / "schema" / "script.schema.json": json.dumps(script_schema(), indent=2, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for path, text in reference().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
