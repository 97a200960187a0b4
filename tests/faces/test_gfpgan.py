"""GFPGAN's own architecture, with random numbers in it, through the engine. The contract has the rest."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from callsheet.errors import EngineUnable
from callsheet.faces import extra
from callsheet.faces.choose import choose_restorer
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.faces.gfpgan import open_gfpgan
from callsheet.media.ffmpeg import writer
from callsheet.presets import GENERATION_RATE
from callsheet.recipes import RestoreRecipe
from tests.faces.portrait import portrait
from tests.support.clips import decoded, ref, room
from tests.tiny.faces import need_models, one_thread, settings_for, write_gfpgan, write_upscaler

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_models()
    one_thread()
    folder = tmp_path_factory.mktemp("models")
    write_gfpgan(folder)
    return folder


def test_its_weights_are_loaded_and_restore_a_face_where_it_is(models: Path, tmp_path: Path) -> None:
    engine = choose_restorer("auto", settings_for(models))
    if reason := extra.missing(extra.MESH):
        pytest.skip(reason)
    clip = tmp_path / "face.mp4"
    with writer(encode_command(Picture(256, 192, GENERATION_RATE), 4, clip, "write a clip")) as pipe:
        pipe.write(raw_of(portrait(256, 192, half=0.16)))
    recipe = RestoreRecipe(engine=engine.id, clip=ref("clip"))
    outcome = engine.restore(recipe, room(tmp_path / "room", {ref("clip"): clip}))
    changed = np.abs(decoded(outcome.files["main"]) - decoded(clip)).mean(-1)[0]
    assert (engine.id.name, outcome.facts["faces"]) == ("gfpgan", 1)
    assert changed[80:110, 112:144].mean() > 5 * max(1.0, float(changed[:30, :30].mean())), changed[80:110].mean()


@pytest.mark.soak
def test_the_same_face_gives_the_same_pixels(models: Path) -> None:
    network = open_gfpgan(models / "facerestore_models" / "GFPGANv1.4.pth", "cpu")
    face = np.asarray(portrait(512, 512))[None]
    one, other = network(face), network(face)
    assert one.shape == (1, 512, 512, 3) and (one == other).all(), "noise is random in it"


def test_a_network_that_enlarges_is_no_restorer(tmp_path: Path) -> None:
    need_models()
    with pytest.raises(EngineUnable, match="Compact"):
        open_gfpgan(write_upscaler(tmp_path), "cpu")


def test_a_pickle_in_its_place_is_refused(tmp_path: Path) -> None:
    need_models()
    path = tmp_path / "GFPGANv1.4.pth"
    path.write_bytes(pickle.dumps({"params_ema": print}))
    with pytest.raises(EngineUnable, match=r"GFPGANv1\.4\.pth"):
        open_gfpgan(path, "cpu")
