"""Real-ESRGAN against interpolation, and its tiles. Needs the extra `faces`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from callsheet.engines.choose import choose
from callsheet.errors import EngineUnable
from callsheet.faces import extra, realesrgan
from callsheet.faces.enlarging import enlarged
from callsheet.faces.footage import Picture
from callsheet.faces.realesrgan import Enlarger
from callsheet.presets import GENERATION_RATE
from tests.support.clips import poster_recipe, room

pytestmark = pytest.mark.skipif(bool(extra.missing(extra.ESRGAN)), reason=extra.missing(extra.ESRGAN))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Image.Image:
    engine = choose("placeholder")
    made = engine.paint(poster_recipe(engine.id, width=512, height=512), room(tmp_path_factory.mktemp("poster")))
    with Image.open(made.files["main"]) as opened:
        return opened.convert("RGB").crop((96, 64, 416, 384))


def psnr(one: Image.Image, other: Image.Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)))


@pytest.mark.slow
def test_a_drawn_face_is_restored_better_than_by_interpolation(drawn: Image.Image) -> None:
    small = drawn.resize((80, 80), Image.Resampling.BICUBIC)
    made = psnr(Enlarger("realesr-animevideov3-x4", 4, 4)(small), drawn)
    interpolated = psnr(small.resize(drawn.size, Image.Resampling.BICUBIC), drawn)
    assert made > interpolated + 0.5, f"{made:.2f} dB against {interpolated:.2f} dB"


@pytest.mark.slow
def test_tiles_leave_no_seams(drawn: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    small = drawn.resize((96, 80), Image.Resampling.BICUBIC)
    enlarge = Enlarger("realesr-animevideov3-x2", 2, 2)
    whole = np.asarray(enlarge(small), float)
    monkeypatch.setattr(realesrgan, "TILE", 32)
    apart = np.abs(np.asarray(enlarge(small), float) - whole)
    assert apart.max() <= 4, f"{apart.max():.0f} at most, {apart.mean():.3f} in the mean"


def test_a_result_that_no_player_shows_is_refused() -> None:
    with pytest.raises(EngineUnable, match="9600x5400"):
        enlarged(Picture(2400, 1350, GENERATION_RATE), 4, "realesrgan")
