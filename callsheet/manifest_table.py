"""A manifest file as a table of texts: CSV, Parquet, JSON (list of objects), YAML (list of mappings).

Every cell is the text that was written, so ids like 0001 and NA survive. Covers reading files and naming rows as
an editor shows them; what a cell means is in manifest_columns.py.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.errors import Problem
from callsheet.manifest_columns import Mistake, headings
from callsheet.textdata import read_text, read_tree, refusal, require

if TYPE_CHECKING:
    import pandas

MAX_ROWS = 100_000
MAX_DECODED_BYTES = 512 << 20
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Table:
    """`frame` has one text column for each known heading, under the column's own name."""

    frame: pandas.DataFrame
    numbers: tuple[int, ...]
    """Each row's number: its first line in a CSV file, else its position counted from 1."""
    problems: tuple[tuple[int, Problem], ...]
    """With the row each belongs to; 0 is the heading."""


def read_table(path: Path) -> Table:
    """Read a manifest. Raises FileMissing, FileUnreadable, or ManifestInvalid when the file as a whole is wrong."""
    require(path, "manifest")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise refusal(path, "the file", "is no manifest format", f"use one of {known}", path.suffix)
    table = reader(path)
    if not table.numbers:
        raise refusal(path, "the file", "has no rows", "write one row an actor")
    if len(table.numbers) > MAX_ROWS:
        raise refusal(path, "the file", f"has over {MAX_ROWS} rows", "split it")
    return table


def dialect_of(text: str) -> tuple[str, str]:
    """Delimiter and line end of a CSV text, from its first line."""
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    return (delimiter if delimiter in first else ","), ("\r\n" if first.endswith("\r") else "\n")


def _csv(path: Path) -> Table:
    text = read_text(path, "manifest")
    delimiter, _ = dialect_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    spelled: list[str] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    problems: list[tuple[int, Problem]] = []
    line = 1
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                pass                                  # an empty line is nobody's row
            elif not spelled:
                spelled, header_line = cells, line
            else:
                problems += _ragged(path, line, cells, len(spelled))
                rows.append([*cells, *[""] * len(spelled)][: len(spelled)])
                numbers.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = "check the quotes: each opening one needs its partner"
        raise refusal(path, f"row {line}", f"is no CSV ({error})", remedy) from None
    return _table(path, spelled, rows, numbers, problems, f"row {header_line}, " if spelled else "")


def _ragged(path: Path, line: int, cells: Sequence[str], width: int) -> list[tuple[int, Problem]]:
    if len(cells) == width:
        return []
    message = f"has {len(cells)} cells, but there are {width} columns"
    return [(line, Problem(str(path), f"row {line}", "", message, "put cells with a comma in double quotes"))]


def _table(
    path: Path,
    spelled: Sequence[str],
    rows: list[list[str]],
    numbers: Sequence[int],
    problems: Sequence[tuple[int, Problem]],
    header: str,
) -> Table:
    import pandas

    names, mistakes = headings(spelled)
    placed = [(0, _placed(path, header, mistake)) for mistake in mistakes]
    frame = pandas.DataFrame(rows, columns=range(len(names)), dtype=str)
    kept = {n: name for n, name in enumerate(names) if name is not None}
    return Table(frame[list(kept)].rename(columns=kept), tuple(numbers), (*placed, *problems))


def _placed(path: Path, header: str, mistake: Mistake) -> Problem:
    return Problem(str(path), f"{header}column {mistake.column}", mistake.value, mistake.message, mistake.remedy)


def _tree(path: Path) -> Table:
    tree = read_tree(path, "manifest")
    if not isinstance(tree, list):
        raise refusal(path, "the file", "is no list", "write a list with one mapping an actor")
    problems: list[tuple[int, Problem]] = []
    records: list[Mapping[str, Any]] = []
    for number, item in enumerate(tree, 1):
        if not isinstance(item, dict):
            wrong = Problem(str(path), f"row {number}", str(item)[:60], "is no mapping", "write id: and so on")
            problems.append((number, wrong))
            item = {}
        records.append(item)
    spelled = list(dict.fromkeys(name for record in records for name in record))
    rows = [[_cell(record.get(name, "")) for name in spelled] for record in records]
    for number, record in enumerate(records, 1):
        problems += [
            (number, Problem(str(path), f"row {number}, column {name}", "", "is nested",
                             "write one text, or a list of texts"))
            for name, value in record.items()
            if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(v, str) for v in value))
        ]
    return _table(path, spelled, rows, range(1, len(rows) + 1), problems, "")


def _cell(value: Any) -> str:
    """A value as a cell's text; a list's parts with ; between them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ";".join(part for part in value if isinstance(part, str))
    return ""


def _parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        facts = parquet.read_metadata(path)
        decoded = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
        if facts.num_rows > MAX_ROWS or decoded > MAX_DECODED_BYTES:
            raise refusal(path, "the file", f"has over {MAX_ROWS} rows or {MAX_DECODED_BYTES >> 20} MB", "split it")
        # Not through pandas, which turns whole numbers beside empty cells into floats.
        stored = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise refusal(path, "the file", f"is no whole Parquet file ({error})", "write it again") from None
    kept = [n for n, name in enumerate(stored.column_names) if not name.startswith("__index_level_")]
    spelled = [stored.column_names[n] for n in kept]
    columns = [[_parquet_cell(value) for value in stored.column(n).to_pylist()] for n in kept]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return _table(path, spelled, rows, range(1, len(rows) + 1), [], "")


def _parquet_cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:                # a missing number is stored as NaN
        return ""
    if isinstance(value, list):
        return ";".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


READERS: Mapping[str, Callable[[Path], Table]] = {
    ".csv": _csv, ".parquet": _parquet, ".json": _tree, ".yaml": _tree, ".yml": _tree,
}
