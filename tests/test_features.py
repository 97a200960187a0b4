"""docs/features.md keeps its word: every feature is listed once, and what it names is there.

The ids are those of the specification, which is not part of this repository; where it lies beside the checkout,
the list here is compared with it. Whether a test holds what its row says is for readers to judge.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "features.md"
SPECIFICATION = ROOT.parent / "shared" / "spec.md"

NOT_YET = "not yet"
LATER = re.compile(r"later \((real models|doors)\): (\S+(?: \S+)*)")


def numbered(section: int, last: int, without: tuple[int, ...] = ()) -> list[str]:
    return [f"{section}.{n:02}" for n in range(1, last + 1) if n not in without]


def planned(section: int, last: int) -> list[str]:
    """What the sources only plan."""
    return [f"{section}.F{n}" for n in range(1, last + 1)]


SPECIFIED = [
    *(f"U.{n}" for n in range(1, 9)),
    *numbered(0, 40), *planned(0, 6),
    *numbered(1, 34),
    *numbered(2, 24),
    *numbered(3, 14),
    *numbered(4, 13, without=(11,)), *planned(4, 6),
]
OURS = [*(f"V.{n}" for n in range(1, 12)), *(f"C.{n}" for n in range(5))]
"""The specification numbers neither its vocabulary nor its claims."""


class Row(NamedTuple):
    id: str
    feature: str
    built: str
    held: str

    @property
    def files(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.built)

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`(tests/[^`]+)`", self.held)


@cache
def rows() -> tuple[Row, ...]:
    """Every row of every table, without headings."""
    found = []
    for line in PAGE.read_text().splitlines():
        if not line.startswith("|") or line.startswith(("| id |", "|---")):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 4, f"{len(cells)} cells in {line}"
        found.append(Row(*cells))
    return tuple(found)


@cache
def names_in(file: str) -> frozenset[str]:
    """Names of the tests in a file, at its top level."""
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_every_feature_is_listed_once_and_in_order() -> None:
    ids = [row.id for row in rows()]
    wanted = [*SPECIFIED, *OURS]
    twice = sorted(name for name, count in Counter(ids).items() if count > 1)
    assert not twice, f"more than once: {twice}"
    assert set(ids) == set(wanted), f"missing {set(wanted) - set(ids)}, unknown {set(ids) - set(wanted)}"
    assert ids == wanted, "they are all there, in another order"


@pytest.mark.skipif(not SPECIFICATION.is_file(), reason="the specification is not beside this checkout")
def test_the_list_of_ids_is_the_specifications() -> None:
    found = set()
    for section in SPECIFICATION.read_text().split("\n## ")[1:]:
        prefix = section[0]
        if not re.match(r"[U0-4] ", section):
            continue
        for first, last in re.findall(rf"(?<![\w.]){prefix}\.(F\d|\d\d|\d)(?![\d.])(?:-(\d\d))?", section):
            if prefix != "U" and len(first) == 1:
                continue                              # a figure such as 0.7, not an id
            ends = range(int(first), int(last) + 1) if last else ()
            found |= {f"{prefix}.{n:02}" for n in ends} or {f"{prefix}.{first}"}
    assert found == set(SPECIFIED), f"missing {found - set(SPECIFIED)}, unknown {set(SPECIFIED) - found}"


def test_no_cell_is_empty() -> None:
    empty = [row.id for row in rows() if not all(re.search(r"\w", cell) for cell in row)]
    assert not empty, f"rows with an empty cell: {empty}"


def test_every_file_named_is_there() -> None:
    missing = [f"{row.id}: {file}" for row in rows() for file in row.files if not (ROOT / file).is_file()]
    assert not missing, missing


def test_every_test_named_is_there() -> None:
    missing = []
    for row in rows():
        for named in row.tests:
            file, _, name = named.partition("::")
            if not (ROOT / file).is_file() or name not in names_in(file):
                missing.append(f"{row.id}: {named}")
    assert not missing, missing


def test_what_is_built_names_files_and_what_is_not_says_what_it_waits_for() -> None:
    wrong = []
    for row in rows():
        built = bool(row.files) and row.built == ", ".join(f"`{file}`" for file in row.files)
        if row.built == NOT_YET:
            fine = not row.tests and bool(LATER.fullmatch(row.held))
        else:
            fine = built and (bool(row.tests) or bool(LATER.fullmatch(row.held)))
        if not fine:
            wrong.append(f"{row.id}: {row.built} | {row.held}")
    assert not wrong, wrong


def test_what_holds_a_row_is_tests_and_then_what_comes_later() -> None:
    wrong = []
    for row in rows():
        tests, *later = row.held.split("; later (")
        if row.tests:
            whole = tests == ", ".join(f"`{test}`" for test in row.tests)
            fine = whole and all(LATER.fullmatch(f"later ({part}") for part in later)
        else:
            fine = bool(LATER.fullmatch(row.held))
        if not fine:
            wrong.append(f"{row.id}: {row.held}")
    assert not wrong, wrong
