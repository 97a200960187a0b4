"""A talking picture whose faces are restored and which is enlarged: the jobs' own way through both stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callsheet.faces import choose
from callsheet.faces.extra import MESH, missing
from callsheet.faces.gfpgan import Gfpgan
from callsheet.faces.spandrel_models import Pictures
from callsheet.jobs.reading import read_request
from callsheet.jobs.reply import Reply
from tests.faces.portrait import portrait
from tests.support.clips import write_voice
from tests.support.prefect_server import unconfigured
from tests.tiny.faces import need_models, one_thread, place, write_upscaler

pytestmark = pytest.mark.slow


def brighter(faces: Pictures) -> Pictures:
    """Stands for a network."""
    return np.asarray(np.minimum(faces, 200) + 55, np.uint8)


@pytest.fixture
def home(prefect_here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with a tiny upscaler, and a restorer that brightens faces."""
    need_models()
    one_thread()
    if reason := missing(MESH):
        pytest.skip(reason)
    unconfigured(monkeypatch)
    models = tmp_path / "models"
    write_upscaler(models)
    place(models, "gfpgan").touch()
    for name, value in (("HOME", tmp_path / "home"), ("MODELS", models), ("DEVICE", "cpu")):
        monkeypatch.setenv(f"CALLSHEET_{name}", str(value))
    monkeypatch.setattr(choose, "RESTORERS", {
        "gfpgan": lambda settings: Gfpgan(settings, opened=lambda path, device: brighter)
    })
    portrait(96, 128, half=0.25).save(tmp_path / "ava.png")
    write_voice(tmp_path / "line.wav", ((0.0, 0.2),), 0.2)
    return tmp_path


def stages(home: Path, job_type: str, **fields: Any) -> tuple[Reply, dict[str, bool]]:
    """The reply, and each stage with whether it was made already."""
    from callsheet.doors.job import flow_of
    from tasks.inputs import inbox
    from tasks.run import Seen, watching

    seen: list[Seen] = []
    paths = {"image": str(home / "ava.png"), "audio": str(home / "line.wav")}
    request = read_request({"input": {"job_type": job_type, "job_id": "restored", **paths, **fields}})
    with inbox(True) as box, watching(seen.append):
        reply: Reply = flow_of(request)(box.keep(request))
    return reply, {one.recipe.stage.value: one.cached for one in seen}


def test_a_render_restores_the_face_and_enlarges_the_picture_once(home: Path) -> None:
    size = {"width": 192, "height": 256, "fps": 24}
    reply, first = stages(home, "video_render", format=size)
    assert reply.success and not {"restore", "upscale"} - set(first)
    _, again = stages(home, "video_render", format=size)
    assert all(again.values()), again
    _, draft = stages(home, "video_render", format=size, quality="draft")
    assert not {"restore", "upscale"} & set(draft)


def test_a_lipsync_job_restores_the_face_and_keeps_the_size(home: Path) -> None:
    reply, made = stages(home, "lipsync_only", quality="high")
    assert reply.success and "restore" in made and "upscale" not in made
