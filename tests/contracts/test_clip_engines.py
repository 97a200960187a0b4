"""What every engine for pictures and clips keeps. A new engine is one more line in tests/support/engine_benches.py.

What only a drawing engine can keep is in test_drawing_engines.py.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.engines.base import Asked
from callsheet.engines.choose import ENGINES, choose
from callsheet.errors import Cancelled, EngineUnable, MediaUnreadable, WrongFamily
from callsheet.media.probe import probe
from callsheet.models import Family
from callsheet.recipes import TakeRecipe
from tests.support.clips import Frames, apart, decoded, ref, room
from tests.support.engine_benches import BENCHES, benches
from tests.support.studio import Studio


@pytest.fixture(params=benches())
def studio(request: pytest.FixtureRequest, tmp_path: Path) -> Studio:
    return Studio(BENCHES[request.param].bench(tmp_path), tmp_path)


@pytest.fixture
def clips(studio: Studio) -> Studio:
    if studio.bench.clip_model is None:
        pytest.skip(f"{studio.engine.id.name} makes no clips")
    return studio


@pytest.fixture
def posters(studio: Studio) -> Studio:
    if studio.bench.poster_model is None:
        pytest.skip(f"{studio.engine.id.name} makes no posters")
    return studio


def test_every_engine_that_can_be_chosen_is_held_to_this_contract() -> None:
    assert set(ENGINES) == {entry.engine for entry in BENCHES.values()}


def test_auto_takes_an_engine_that_is_able() -> None:
    assert choose("auto").able().able


def test_an_unknown_engine_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(EngineUnable) as caught:
        choose("unheard_of")
    assert "unheard_of" in str(caught.value) and all(name in str(caught.value) for name in ("auto", *ENGINES))


def test_an_engine_on_its_bench_is_able_and_is_called_as_it_is_chosen(
    studio: Studio, request: pytest.FixtureRequest
) -> None:
    entry = BENCHES[request.node.callspec.params["studio"]]
    assert studio.engine.able().able, studio.engine.able()
    assert studio.engine.id.name == entry.engine


@pytest.mark.parametrize(
    ("frames", "fps", "width", "height"), [(1, 24, 320, 192), (7, 24, 192, 320), (5, Fraction(30000, 1001), 250, 130)]
)
def test_a_clip_has_exactly_the_frames_rate_and_size_asked_for(
    clips: Studio, frames: int, fps: Fraction, width: int, height: int
) -> None:
    outcome = clips.shoot(num_frames=frames, fps=fps, width=width, height=height)
    facts = probe(outcome.files["main"])
    assert (facts.frames, facts.fps, facts.width, facts.height) == (frames, fps, width, height)
    told = [outcome.facts[name] for name in ("frames", "fps", "width", "height")]
    assert told == [frames, str(Fraction(fps)), width, height]


def test_a_clip_is_h264_in_yuv420p_without_sound(clips: Studio) -> None:
    outcome = clips.shoot()
    facts = probe(outcome.files["main"])
    assert (facts.video_codec, facts.pixel_format, facts.has_audio) == ("h264", "yuv420p", False)
    assert outcome.made_by == clips.engine.id.name


def test_the_last_frame_is_a_png_of_the_last_picture(clips: Studio) -> None:
    outcome = clips.shoot()
    with Image.open(outcome.files["last_frame"]) as image:
        assert image.format == "PNG" and image.size == (320, 192)
        still = np.asarray(image.convert("RGB"), np.float32)
    difference = apart(_coarse(still), _coarse(decoded(outcome.files["main"])[-1]))
    assert difference < 3, f"{difference:.2f}"


def _coarse(picture: Frames) -> Frames:
    """Squares of 16 pixels: an untrained model's noise does not survive encoding, their means do."""
    height, width = (side // 16 * 16 for side in picture.shape[:2])
    return picture[:height, :width].reshape(height // 16, 16, width // 16, 16, 3).mean(axis=(1, 3))


def test_a_poster_is_a_jpeg_of_exactly_the_size_asked_for(posters: Studio) -> None:
    for size in ((256, 256), (320, 192), (250, 130)):
        path = posters.paint(width=size[0], height=size[1])
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", size)
        assert path.read_bytes()[:3] == b"\xff\xd8\xff"


def test_the_same_clip_recipe_gives_the_same_bytes_and_another_seed_others(clips: Studio) -> None:
    if not clips.bench.seeded:
        pytest.skip("this engine takes no seed")
    one, other, seeded = clips.shoot(), clips.shoot(), clips.shoot(seed=4)
    for name, path in one.files.items():
        assert path.read_bytes() == other.files[name].read_bytes(), name
    assert seeded.files["main"].read_bytes() != one.files["main"].read_bytes()


def test_the_same_poster_recipe_gives_the_same_bytes_and_another_seed_others(posters: Studio) -> None:
    if not posters.bench.seeded:
        pytest.skip("this engine takes no seed")
    assert posters.paint().read_bytes() == posters.paint().read_bytes()
    assert apart(posters.painted(), posters.painted(seed=4)) > SEEN


SEEN = 1.0
"""Two pictures whose mean difference is larger look different, in steps of 255."""


def test_the_strength_of_a_character_is_really_wired(posters: Studio) -> None:
    if not posters.bench.uses_loras:
        pytest.skip("this engine loads no LoRA")
    bench = posters.bench
    off, on = (bench.ava.model_copy(update={"strength": strength}) for strength in (0.0, 1.0))
    difference = apart(posters.painted(loras=(bench.style, off)), posters.painted(loras=(bench.style, on)))
    assert difference > SEEN, f"{difference:.2f} between a character at 0.0 and at 1.0"


def test_another_characters_lora_gives_another_poster(posters: Studio) -> None:
    if not posters.bench.uses_loras:
        pytest.skip("this engine loads no LoRA")
    bench = posters.bench
    difference = apart(posters.painted(), posters.painted(loras=(bench.style, bench.leo)))
    assert difference > SEEN, f"{difference:.2f}"


def test_a_first_frame_changes_the_clip_or_is_said_to_be_left_out(clips: Studio, tmp_path: Path) -> None:
    given = tmp_path / "first.png"
    Image.new("RGB", (640, 640), (200, 30, 60)).save(given)
    with_it = clips.shoot(inputs={"first": given}, first_frame=ref("first"), num_frames=5)
    without = clips.shoot(num_frames=5)
    difference = apart(decoded(with_it.files["main"])[0], decoded(without.files["main"])[0])
    if clips.bench.starts_from_pictures:
        assert difference > SEEN, f"{difference:.2f}"
    else:
        assert difference == 0 and any("first picture" in warning for warning in with_it.warnings), with_it.warnings


def test_a_first_frame_that_is_no_picture_is_refused(clips: Studio, tmp_path: Path) -> None:
    broken = tmp_path / "first.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(MediaUnreadable, match=r"first\.png cannot be read as a picture"):
        clips.shoot(inputs={"first": broken}, first_frame=ref("first"))


def test_a_lora_of_another_family_is_refused_in_one_sentence_before_anything_is_loaded(posters: Studio) -> None:
    if not posters.engine.loads_files:
        pytest.skip("this engine loads no LoRA files")
    model = posters.bench.poster_model or ""
    wrong = Family.SD15 if posters.engine.cast(Asked(poster_model=model, clips=False)).poster != "sd15" else Family.SDXL
    with pytest.raises(WrongFamily) as caught:
        posters.engine.cast(Asked(families={"loras/0001.safetensors": wrong}, poster_model=model))
    words = str(caught.value)
    assert "loras/0001.safetensors" in words and wrong.value in words and caught.value.facts["wanted"] in words
    assert "\n" not in words


def test_progress_never_goes_back(studio: Studio, tmp_path: Path) -> None:
    for name, work in studio.works():
        told: list[float] = []
        watched = dataclasses.replace(room(tmp_path / name, studio.bench.inputs),
                                      progress=lambda share, what, told=told: told.append(share))
        work(watched)
        assert told and told == sorted(told) and told[0] >= 0 and told[-1] <= 1, (name, told)


def test_what_progress_raises_ends_the_work_at_once(studio: Studio, tmp_path: Path) -> None:
    for name, work in studio.works():
        for after in (1, 2, 4):
            told: list[str] = []

            def stop(share: float, what: str, told: list[str] = told, after: int = after) -> None:
                told.append(what)
                if len(told) >= after:
                    raise Cancelled(what="the work")

            cancelled = dataclasses.replace(room(tmp_path / f"{name}{after}", studio.bench.inputs), progress=stop)
            try:
                work(cancelled)
            except Cancelled:
                assert len(told) == after, f"{name} went on after it was cancelled: {told}"
            else:
                assert len(told) < after, f"{name} swallowed the cancelling: {told}"


def test_a_take_is_made_like_a_segment(clips: Studio) -> None:
    outcome = clips.shoot(kind=TakeRecipe, num_frames=3)
    assert probe(outcome.files["main"]).frames == 3
