"""The README is true: its files exist, its commands are commands, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from callsheet.doors.cli import app

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TREE = TEXT.split("## Where things are")[1].split("```")[1]


def test_every_command_named_exists_and_every_command_is_named() -> None:
    named = set(re.findall(r"\bcallsheet ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|```[^`]+```", TEXT))))
    assert named - COMMANDS == set()
    assert COMMANDS - named - {"version"} == set()


def test_every_file_in_the_tree_exists() -> None:
    folder, missing = ROOT, []
    for line in TREE.splitlines():
        words = line.split("  ")[0].split() if not line.startswith(" ") else line.split("   ")[0].split()
        if not line.startswith(" ") and words and words[0].endswith("/"):
            folder = ROOT / words[0]
        for word in words:
            base = ROOT if not line.startswith(" ") else folder
            if re.fullmatch(r"[\w./*-]+(\.\w+|/)", word) and not list(base.glob(word.rstrip("/"))):
                missing.append(f"{base.name}/{word}")
    assert not missing, missing


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)", TEXT))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert "make test" in (ROOT / ".ci" / "run").read_text()
