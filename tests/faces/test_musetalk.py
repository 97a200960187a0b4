"""MuseTalk's own laws on tiny random networks: what it hears, what it hides, and what of a face it paints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.errors import EngineUnable, OutOfMemory
from callsheet.faces import ears, extra, musetalk_network
from callsheet.faces.ears import WINDOW, Ears
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.faces.local_models import files_of
from callsheet.faces.musetalk import MuseTalk
from callsheet.faces.musetalk_network import SIDE, open_painter
from callsheet.media.ffmpeg import writer
from callsheet.presets import GENERATION_RATE
from callsheet.recipes import LipsyncRecipe, PlacedVoice
from callsheet.settings import Settings
from callsheet.store.base import Outcome
from tests.faces.portrait import portrait
from tests.support.clips import decoded, ref, room, write_voice
from tests.tiny.faces import need_models, one_thread, settings_for, write_musetalk

pytestmark = pytest.mark.slow
FRAMES, SIZE = 6, (256, 192)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    need_models("diffusers", "transformers")
    one_thread()
    folder = tmp_path_factory.mktemp("models")
    write_musetalk(folder)
    return settings_for(folder)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voice(tmp_path_factory.mktemp("voice") / "voice.wav", ((0.0, 1.0),), 1.0)


def synced(settings: Settings, folder: Path, clip: Path, *voices: tuple[Path, float]) -> Outcome:
    engine = MuseTalk(settings)
    if reason := extra.missing(extra.MESH):
        pytest.skip(reason)
    known = {ref("clip"): clip, **{ref(f"voice {n}"): path for n, (path, _) in enumerate(voices)}}
    placed = tuple(
        PlacedVoice(audio=ref(f"voice {n}"), speaker=f"speaker {n}", start=start) for n, (_, start) in enumerate(voices)
    )
    return engine.sync(LipsyncRecipe(engine=engine.id, clip=ref("clip"), voices=placed), room(folder, known))


def faces(path: Path, *pictures: Image.Image) -> Path:
    with writer(encode_command(Picture(*pictures[0].size, GENERATION_RATE), 4, path, "write a clip")) as pipe:
        for picture in pictures:
            pipe.write(raw_of(picture))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces(tmp_path_factory.mktemp("clip") / "face.mp4", *[portrait(*SIZE, half=0.2)] * FRAMES)


def listen(settings: Settings, folder: Path, voice: Path, start: float) -> Ears:
    placed = (PlacedVoice(audio=ref("voice"), speaker="ava", start=start),)
    whisper = files_of(settings, "musetalk-ears")[0].parent
    return Ears.of(placed, room(folder, {ref("voice"): voice}), whisper, "cpu")


def test_a_moment_is_heard_with_what_is_around_it_in_order(settings: Settings, voice: Path, tmp_path: Path) -> None:
    ears = listen(settings, tmp_path, voice, start=2.0)
    layers, width = 3, 16                             # two layers and what goes into the first
    assert ears.at("ava", 2.5).shape == (WINDOW * layers, width)
    now, later = ears.at("ava", 2.5), ears.at("ava", 2.52)
    assert np.array_equal(now[layers:], later[:-layers]), "a step later everything is heard one step earlier"


def test_before_and_after_a_voice_there_is_silence(settings: Settings, voice: Path, tmp_path: Path) -> None:
    ears = listen(settings, tmp_path, voice, start=2.0)
    assert not ears.at("ava", 0.5).any() and not ears.at("ava", 4.0).any()
    begins = ears.at("ava", 2.0).reshape(WINDOW, -1).any(1)
    assert begins.tolist() == [False] * 4 + [True] * 6


def test_a_voice_that_began_earlier_goes_on(settings: Settings, voice: Path, tmp_path: Path) -> None:
    here = listen(settings, tmp_path / "a", voice, start=0.0).at("ava", 0.7)
    assert np.array_equal(here, listen(settings, tmp_path / "b", voice, start=-0.5).at("ava", 0.2))


def test_the_network_sees_the_upper_half_as_it_is_and_its_sound(settings: Settings) -> None:
    unet = files_of(settings, "musetalk")
    painter = open_painter({".json": unet[0], ".pth": unet[1]}, files_of(settings, "musetalk-vae")[0].parent, "cpu")
    rng = np.random.default_rng(1)
    face = np.asarray(portrait(SIDE, SIDE))[None]
    one, other = (rng.standard_normal((30, 16)).astype(np.float32) for _ in range(2))
    said, again, else_said = painter(face, [one]), painter(face, [one]), painter(face, [other])
    assert said.shape == (1, SIDE, SIDE, 3) and np.array_equal(said, again)
    assert not np.array_equal(said, else_said), "what is heard changes nothing"
    moved = one.reshape(10, 3, 16)[::-1].reshape(30, 16)
    assert not np.array_equal(said, painter(face, [np.ascontiguousarray(moved)])), "the order of sounds counts"


def test_faces_painted_together_are_painted_as_they_are_alone(settings: Settings) -> None:
    unet = files_of(settings, "musetalk")
    painter = open_painter({".json": unet[0], ".pth": unet[1]}, files_of(settings, "musetalk-vae")[0].parent, "cpu")
    both = np.stack([np.asarray(portrait(SIDE, SIDE)), np.asarray(portrait(SIDE, SIDE, gap=0.2))])
    sounds = [np.full((30, 16), value, np.float32) for value in (0.1, -0.3)]
    together = painter(both, sounds).astype(int)
    alone = np.concatenate([painter(both[n : n + 1], sounds[n : n + 1]) for n in (0, 1)])
    assert np.abs(together - alone).max() <= 1


def test_only_the_lower_half_of_the_face_is_painted(
    settings: Settings, clip: Path, voice: Path, tmp_path: Path
) -> None:
    outcome = synced(settings, tmp_path, clip, (voice, 0.0))
    changed = np.abs(decoded(outcome.files["main"]) - decoded(clip)).mean((0, 3))
    mouth, eyes = changed[125:145, 110:146].mean(), changed[70:92, 90:166].mean()
    assert mouth > 10 > 4 > eyes, f"{mouth:.1f} at the mouth, {eyes:.1f} at the eyes"


def test_without_a_track_the_largest_face_speaks_for_everybody(
    settings: Settings, voice: Path, tmp_path: Path
) -> None:
    two = Image.new("RGB", (512, 192))
    two.paste(portrait(256, 192, half=0.13), (0, 0))
    two.paste(portrait(256, 192, half=0.2), (256, 0))
    clip = faces(tmp_path / "two.mp4", *[two] * 3)
    outcome = synced(settings, tmp_path, clip, (voice, 0.0), (voice, -0.1))
    changed = np.abs(decoded(outcome.files["main"]) - decoded(clip)).mean((0, 3))
    small, large = changed[:, :256].mean(), changed[:, 256:].mean()
    assert large > 3 * small and not outcome.warnings, f"{small:.2f} and {large:.2f}"


def test_a_still_without_a_face_is_refused(settings: Settings, voice: Path, tmp_path: Path) -> None:
    still = tmp_path / "wall.png"
    Image.linear_gradient("L").convert("RGB").save(still)
    with pytest.raises(EngineUnable, match="no face is found"):
        synced(settings, tmp_path, still, (voice, 0.0))


def test_weights_that_are_not_its_own_are_refused(settings: Settings, tmp_path: Path) -> None:
    unet = files_of(settings, "musetalk")
    broken = tmp_path / "unet.pth"
    broken.write_bytes(b"not weights")
    with pytest.raises(EngineUnable, match="callsheet models download musetalk"):
        open_painter({".json": unet[0], ".pth": broken}, files_of(settings, "musetalk-vae")[0].parent, "cpu")


def full(*_: object) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_card_that_is_full_while_loading_is_not_told_as_broken_weights(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    musetalk_network._WARM.clear()
    monkeypatch.setattr(musetalk_network, "_vae", full)
    unet = dict(zip((".json", ".pth"), files_of(settings, "musetalk"), strict=True))
    with pytest.raises(OutOfMemory, match="too little memory"):
        open_painter(unet, files_of(settings, "musetalk-vae")[0].parent, "cpu")


def test_ears_that_are_broken_or_do_not_fit_are_told(
    settings: Settings, voice: Path, tmp_path: Path
) -> None:
    placed = (PlacedVoice(audio=ref("voice"), speaker="a", start=0.0),)
    here = room(tmp_path / "room", {ref("voice"): voice})
    with pytest.raises(EngineUnable, match="its ears cannot be read.*download musetalk-ears"):
        Ears.of(placed, here, tmp_path, "cpu")
    whisper = files_of(settings, "musetalk-ears")[0].parent
    extract, _ = ears._loaded(whisper, "cpu")
    with pytest.raises(OutOfMemory, match="a voice that it listens to"):
        ears._states(np.zeros(16000, np.float32), extract, full_encoder, "cpu")


def full_encoder(*_: object, **__: object) -> None:
    full()
