"""What every restorer of faces keeps. A new one is one more name in RESTORERS_UNDER_TEST.

The network is a stand-in that brightens what it is given: what real ones make is in tests/faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.errors import EngineUnable, MediaUnreadable
from callsheet.faces.base import FaceRestorer
from callsheet.faces.choose import RESTORERS, choose_restorer
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.faces.gfpgan import Gfpgan
from callsheet.faces.spandrel_models import Pictures
from callsheet.media.ffmpeg import writer
from callsheet.media.probe import probe
from callsheet.recipes import RestoreRecipe
from callsheet.store.base import Outcome
from tests.faces.portrait import portrait
from tests.support.clips import Frames, decoded, ref, room
from tests.tiny.faces import place, settings_for

RATE, FRAMES, SIZE = Fraction(24), 6, (256, 192)


def brighter(pictures: Pictures) -> Pictures:
    """Stands for a network: what it has worked on can be seen."""
    return np.asarray(np.minimum(pictures.astype(np.int16) + 60, 255), np.uint8)


def gfpgan(models: Path) -> FaceRestorer:
    place(models, "gfpgan").touch()
    return Gfpgan(settings_for(models), opened=lambda path, device: brighter)


RESTORERS_UNDER_TEST: dict[str, Callable[[Path], FaceRestorer]] = {"gfpgan": gfpgan}


@pytest.fixture(params=RESTORERS_UNDER_TEST)
def restorer(request: pytest.FixtureRequest, tmp_path: Path) -> FaceRestorer:
    engine = RESTORERS_UNDER_TEST[request.param](tmp_path / "models")
    if engine.able():
        pytest.skip(engine.able())
    return engine


def shown(path: Path, *pictures: Image.Image) -> Path:
    """A clip of these frames."""
    with writer(encode_command(Picture(*pictures[0].size, RATE), 4, path, "write a clip")) as pipe:
        for picture in pictures:
            pipe.write(raw_of(picture))
    return path


def wall(width: int = SIZE[0], height: int = SIZE[1]) -> Image.Image:
    """Nobody is seen."""
    return Image.merge("RGB", [Image.linear_gradient("L").resize((width, height))] * 3)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves to the right."""
    faces = [portrait(*SIZE, centre=(0.4 + 0.02 * n, 0.5), half=0.16) for n in range(FRAMES)]
    return shown(tmp_path_factory.mktemp("clip") / "face.mp4", *faces)


def restored(restorer: FaceRestorer, clip: Path, folder: Path, **changes: object) -> Outcome:
    fields: dict[str, object] = {"engine": restorer.id, "clip": ref("clip")}
    return restorer.restore(RestoreRecipe.model_validate(fields | changes), room(folder, {ref("clip"): clip}))


def gained(outcome: Outcome, clip: Path) -> Frames:
    """How much brighter each pixel of each frame is: N x H x W."""
    difference: Frames = (decoded(outcome.files["main"]) - decoded(clip)).mean(-1)
    return difference


def test_every_restorer_that_can_be_chosen_is_held_to_this_contract() -> None:
    assert set(RESTORERS) == set(RESTORERS_UNDER_TEST)


def test_an_unknown_restorer_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(EngineUnable, match="gfpgan"):
        choose_restorer("unheard_of")


def test_a_clip_keeps_its_frames_size_and_rate(restorer: FaceRestorer, clip: Path, tmp_path: Path) -> None:
    facts = probe(restored(restorer, clip, tmp_path).files["main"])
    assert (facts.frames, facts.fps, facts.width, facts.height) == (FRAMES, RATE, *SIZE)
    assert (facts.video_codec, facts.pixel_format, facts.has_audio) == ("h264", "yuv420p", False)


def test_the_face_is_worked_on_where_it_is_in_each_frame_and_nothing_else(
    restorer: FaceRestorer, clip: Path, tmp_path: Path
) -> None:
    outcome = restored(restorer, clip, tmp_path)
    gain = gained(outcome, clip)
    assert outcome.facts["faces"] == FRAMES
    for n in range(FRAMES):
        x, y = int((0.4 + 0.02 * n) * SIZE[0]), SIZE[1] // 2
        face, corner = gain[n, y - 15 : y + 15, x - 15 : x + 15].mean(), np.abs(gain[n, :30, :30]).mean()
        assert face > 35 and corner < 1.5, f"frame {n}: {face:.1f} on the face, {corner:.2f} in the corner"


def test_the_edge_of_what_is_worked_on_is_soft(restorer: FaceRestorer, clip: Path, tmp_path: Path) -> None:
    row = gained(restored(restorer, clip, tmp_path), clip)[0, SIZE[1] // 2]
    assert np.abs(np.diff(row)).max() < 25, f"a step of {np.abs(np.diff(row)).max():.0f}"


def test_every_face_is_worked_on(restorer: FaceRestorer, tmp_path: Path) -> None:
    two = Image.new("RGB", (512, 192))
    for n in (0, 1):
        two.paste(portrait(*SIZE, half=0.16), (256 * n, 0))
    clip = shown(tmp_path / "two.mp4", two, two)
    gain = gained(restored(restorer, clip, tmp_path), clip)
    left, right = (float(gain[:, 80:110, x - 15 : x + 15].mean()) for x in (128, 384))
    assert min(left, right) > 35, f"{left:.1f} and {right:.1f}"


def test_a_frame_without_a_face_stays(restorer: FaceRestorer, tmp_path: Path) -> None:
    clip = shown(tmp_path / "comes.mp4", *[wall()] * 8, *[portrait(*SIZE, half=0.16)] * 3)
    outcome = restored(restorer, clip, tmp_path)
    gain = np.abs(gained(outcome, clip)).mean((1, 2))
    assert gain[:8].max() < 1 < gain[9:].min(), gain.round(2)
    assert 2 <= outcome.facts["faces"] <= 3


def test_a_clip_without_faces_stays_and_says_so(restorer: FaceRestorer, tmp_path: Path) -> None:
    clip = shown(tmp_path / "wall.mp4", wall(), wall())
    outcome = restored(restorer, clip, tmp_path)
    assert (outcome.facts["faces"], outcome.facts["frames"]) == (0, 2)
    assert np.abs(gained(outcome, clip)).mean() < 1


def test_strength_says_how_much_of_it_is_taken(restorer: FaceRestorer, clip: Path, tmp_path: Path) -> None:
    x, y = int(0.4 * SIZE[0]), SIZE[1] // 2
    made = (restored(restorer, clip, tmp_path / str(s), strength=s) for s in (0.0, 0.5, 1.0))
    none, half, whole = (float(gained(each, clip)[0, y - 9 : y + 9, x - 9 : x + 9].mean()) for each in made)
    assert abs(none) < 1.5 and half == pytest.approx(whole / 2, abs=4), f"{none:.1f}, {half:.1f}, {whole:.1f}"


def test_the_same_clip_gives_the_same_bytes(restorer: FaceRestorer, clip: Path, tmp_path: Path) -> None:
    one, other = (restored(restorer, clip, tmp_path / name).files["main"].read_bytes() for name in "ab")
    assert one == other


def test_what_is_no_clip_is_refused_by_name(restorer: FaceRestorer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"neither sound nor picture" * 20)
    with pytest.raises(MediaUnreadable, match=r"broken\.bin"):
        restored(restorer, broken, tmp_path / "room")


def test_progress_grows_to_one(restorer: FaceRestorer, clip: Path, tmp_path: Path) -> None:
    told: list[float] = []
    recipe = RestoreRecipe(engine=restorer.id, clip=ref("clip"))
    restorer.restore(recipe, replace(room(tmp_path, {ref("clip"): clip}), progress=lambda share, _: told.append(share)))
    assert told == sorted(told) and told[-1] == pytest.approx(1.0), told


@pytest.mark.parametrize("after", [0, 3])
def test_what_progress_raises_ends_the_work(
    restorer: FaceRestorer, clip: Path, tmp_path: Path, after: int
) -> None:
    class Stop(Exception):
        pass

    told: list[str] = []

    def progress(share: float, what: str) -> None:
        told.append(what)
        if len(told) > after:
            raise Stop

    recipe = RestoreRecipe(engine=restorer.id, clip=ref("clip"))
    with pytest.raises(Stop):
        restorer.restore(recipe, replace(room(tmp_path, {ref("clip"): clip}), progress=progress))
    assert len(told) == after + 1


def test_without_its_weights_it_says_what_to_fetch(tmp_path: Path) -> None:
    for make in RESTORERS.values():
        assert "callsheet models download" in make(settings_for(tmp_path)).able()
