"""One manifest with twenty kinds of mistakes gives twenty clear lines."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from callsheet.errors import ManifestInvalid
from callsheet.manifest import read_manifest

GOOD = {"prompt": "a street", "status": "trained", "lora": "ava"}

# What is written, and what the line must say: column, value as shown, words of the message, words of the remedy.
MISTAKES: list[tuple[dict[str, str], str, str, str, str]] = [
    ({"id": "Ava Lee"}, "id", "'Ava Lee'", "is no id", "lower-case letters"),
    ({"id": " A1 "}, "id", "' A1 '", "is the id of row 2 too", "an id of its own"),
    ({"lora_strength": "7"}, "lora_strength", "'7'", "is over 2", "use at most 2"),
    ({"base_model": "sdlx"}, "base_model", "'sdlx'", "is not a word known here", "did you mean sdxl?"),
    ({"lora": "ava.ckpt"}, "lora", "'ava.ckpt'", "is a .ckpt file", "convert it to .safetensors"),
    ({"lora": "marta"}, "lora", "'marta.safetensors'", "is not there, though status says trained", "copy the LoRA"),
    ({"music": "https://x.org/a.mp3"}, "music", "'https://x.org/a.mp3'", "is an address", "copy the file here"),
    ({"prompt": "", "script": "gone.yaml"}, "script", "'gone.yaml'", "is not there", "relative to the manifest"),
    ({"script": "ok.yaml"}, "prompt", "'a street'", "stands beside a script", "empty the script's cell"),
    ({"prompt": ""}, "script", "", "is missing, and so is prompt", "write prompt and dialogue"),
    ({"with": "a1x"}, "with", "'a1x'", "names nobody of this manifest", "did you mean a1?"),
    ({"transition": "crosfade"}, "transition", "'crosfade'", "is not a word known here", "did you mean crossfade?"),
    ({"music_volume": "1e9"}, "music_volume", "'1e9'", "is over 4", "use at most 4"),
    ({"effects": "chime.flac"}, "effects", "'chime.flac'", "is no effect", "file@second"),
    ({"captions": "burnt"}, "captions", "'burnt'", "is not a word known here", "did you mean burned?"),
    ({"format": "1080x1920"}, "format", "'1080x1920'", "is no format", "1080x1920@30"),
    ({"quality": "standart"}, "quality", "'standart'", "is no quality", "did you mean standard?"),
    ({"seed": "4.5"}, "seed", "'4.5'", "is no whole number", "write a whole number"),
    ({"dialogue": "[S1] Tom: Hi."}, "dialogue", "'[S1] Tom: Hi.'", "'Tom' speaks, but the cast is", "name one of them"),
]
"""And the twentieth: a column that nobody knows."""


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    (tmp_path / "ava.safetensors").touch()
    (tmp_path / "ok.yaml").write_text("scenes: [{prompt: a}]")
    rows = [{"id": "a1", **GOOD}] + [{"id": f"b{n:02}", **GOOD, **wrong} for n, (wrong, *_) in enumerate(MISTAKES)]
    names = [*dict.fromkeys(name for row in rows for name in row), "cloting"]
    with (tmp_path / "mistakes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ManifestInvalid) as refused:
        read_manifest(tmp_path / "mistakes.csv")
    assert refused.value.what.startswith("20 mistakes in "), refused.value.what
    return [str(problem) for problem in refused.value.problems]


def test_twenty_mistakes_give_twenty_lines_in_the_files_order(lines: list[str]) -> None:
    assert len(lines) == 20, "\n".join(lines)
    unknown, *others = lines
    assert unknown.endswith("mistakes.csv: row 1, column cloting: is no column of a manifest: did you mean clothing?")
    rows = [int(line.split("row ")[1].split(",")[0]) for line in others]
    assert rows == list(range(3, 22)), rows


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_each_line_names_row_column_value_and_remedy(lines: list[str], number: int) -> None:
    _, column, value, message, remedy = MISTAKES[number]
    line = lines[number + 1]
    place = f"mistakes.csv: row {number + 3}, column {column}:{' ' if value else ''}{value}"
    missing = [words for words in (place, message, remedy) if words not in line]
    assert not missing, f"{missing} not in: {line}"
    assert line.index(message) < line.rindex(remedy), line
