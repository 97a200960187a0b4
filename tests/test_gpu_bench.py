"""The GPU bench on tiny models and a CPU: every workload runs, each rung has a figure or a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("diffusers", reason="the extra `models` is not installed")
pytest.importorskip("peft", reason="the extra `models` is not installed")


def run(tmp_path: Path, only: str, ways: str) -> tuple[list[dict[str, object]], dict[str, str]]:
    from bench import gpu

    out = tmp_path / "gpu.json"
    gpu.main(["--tiny", "--device", "cpu", "--repeat", "1", "--box", "5", "--only", only, "--ways", ways,
              "--out", str(out)])
    told = json.loads(out.read_text())
    return told["rows"], told["about"]


def test_a_hot_swapped_actor_has_the_pixels_of_one_loaded_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, about = run(tmp_path, "actors", "eager")
    assert [row["skipped"] for row in rows] == ["", ""], rows
    assert "pixels as with unload and load: yes" in str(rows[1]["note"]), rows[1]
    assert about["models"] == "tiny" and about["card"] == "none (CPU)", about
    assert "| hot-swap, eager |" in capsys.readouterr().out


@pytest.mark.soak
def test_every_workload_has_a_figure(tmp_path: Path) -> None:
    rows, _ = run(tmp_path, "flux,wan,claim-002,claim-004-sdxl,claim-004-sd15", "MagCache, eager")
    assert len(rows) == 6, [row["rung"] for row in rows]
    for row in rows:
        assert not row["skipped"] and float(str(row["seconds"])) > 0, row
        assert not row["note"], f"random weights are to give finite pixels: {row}"


def test_a_rung_that_cannot_run_is_told_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    from bench import gpu

    bench = gpu.Bench("cpu", True, 5.0, 60.0, 1)

    def work() -> None:
        raise RuntimeError("no such kernel here")

    assert gpu.guarded(bench, gpu.Row("a", "b", "c"), work).skipped == "RuntimeError: no such kernel here"
    late = gpu.Bench("cpu", True, 5.0, 60.0, 1, deadline=0.0)
    assert gpu.guarded(late, gpu.Row("a", "b", "c"), work).skipped == "no time left"


def test_steps_that_do_not_fit_the_box_are_reckoned_and_marked(tmp_path: Path) -> None:
    from bench import gpu

    row = gpu.Row("A ladder", "a way", "clip", seconds=12.0, reckoned=True, steps=50, steps_run=8, runs=[12.0])
    assert "| a way | ~12.000 |" in gpu.table([row])
    assert "8 of 50 steps run" in gpu.table([row])
