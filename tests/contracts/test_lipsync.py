"""What every lip-sync engine keeps. A new engine is one more name in ENGINES_UNDER_TEST."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from callsheet.alignment import Alignment, Phone
from callsheet.engines.choose import choose as choose_clips
from callsheet.errors import EngineUnable, MediaUnreadable
from callsheet.faces.base import LipsyncEngine
from callsheet.faces.choose import ENGINES, choose
from callsheet.media.probe import probe
from callsheet.recipes import LipsyncRecipe, PlacedVoice
from callsheet.settings import Settings
from callsheet.store.base import Outcome
from tests.faces.portrait import portrait
from tests.support.clips import AVA, LEO, Frames, clip_recipe, decoded, ref, room, write_voice
from tests.tiny.faces import need_models, one_thread, settings_for, write_latentsync, write_musetalk

ENGINES_UNDER_TEST = ("latentsync", "musetalk", "mouth_warp", "placeholder")
SHAPING = ("mouth_warp", "placeholder")
"""Those whose mouths are worked out; of the others only trained weights know what a mouth looks like."""
SLOW = ("musetalk",)
REACH = {"placeholder": 0.8, "mouth_warp": 2.0, "musetalk": 2.5, "latentsync": 4.6}
"""How far an engine may touch the picture around a mouth: a share of its width to each side of its centre."""
FRAMES = 24


class Footage:
    """A clip of two characters, its mouth track, and a voice that is loud from 0.25 to 0.6 s."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clips = choose_clips("placeholder")
        recipe = clip_recipe(clips.id, num_frames=FRAMES, loras=(AVA, LEO), width=384, height=224)
        made = clips.shoot(recipe, room(folder / "clip"))
        self.clip, self.mouths = made.files["main"], made.files["mouths"]
        self.voice = write_voice(folder / "voice.wav", ((0.25, 0.6),), 0.8)
        self.before = decoded(self.clip)
        self.track: dict[str, list[list[float]]] = json.loads(self.mouths.read_text())["mouths"]

    def box(self, who: str, index: int, reach: float = 0.8) -> tuple[slice, slice]:
        x, y, width = self.track[who][index]
        reach = reach * width + 2
        return slice(int(y - reach), int(y + reach) + 1), slice(int(x - reach), int(x + reach) + 1)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return Footage(tmp_path_factory.mktemp("footage"))


class Stage:
    def __init__(self, engine: LipsyncEngine, footage: Footage, folder: Path) -> None:
        self.engine, self.footage, self.folder = engine, footage, folder
        self._jobs = itertools.count()

    def sync(
        self, *placed: tuple[Path, str, float], clip: Path | None = None, track: bool = True,
        phones: Path | None = None, **changes: object,
    ) -> Outcome:
        known = {ref("clip"): clip or self.footage.clip, ref("mouths"): self.footage.mouths}
        known |= {ref(f"voice {n}"): path for n, (path, _, _) in enumerate(placed)}
        known |= {ref("phones"): phones} if phones else {}
        fields: dict[str, object] = {
            "engine": self.engine.id, "clip": ref("clip"), "mouths": ref("mouths") if track else None,
            "voices": tuple(
                PlacedVoice(
                    audio=ref(f"voice {n}"), speaker=who, start=start, alignment=ref("phones") if phones else None
                )
                for n, (_, who, start) in enumerate(placed)
            ),
        }
        return self.engine.sync(
            LipsyncRecipe.model_validate(fields | changes), room(self.folder / str(next(self._jobs)), known)
        )

    def changed(self, outcome: Outcome) -> Frames:
        """What differs from the clip: N x H x W, the largest of the three colours."""
        difference: Frames = np.abs(decoded(outcome.files["main"]) - self.footage.before).max(-1)
        return difference


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Settings]:
    """Settings with the tiny networks of an engine, written once."""
    folder = tmp_path_factory.mktemp("networks")

    @cache
    def settings(name: str) -> Settings:
        if name == "musetalk":
            need_models("diffusers", "transformers")
            one_thread()
            write_musetalk(folder / name)
        if name == "latentsync":
            write_latentsync(folder / name, folder / "checkout")
        return settings_for(folder / name, CALLSHEET_LATENTSYNC=str(folder / "checkout"))

    return settings


def staged(name: str, footage: Footage, folder: Path, networks: Callable[[str], Settings]) -> Stage:
    engine = ENGINES[name](networks(name))
    if engine.able():
        pytest.skip(engine.able())
    return Stage(engine, footage, folder)


@pytest.fixture(params=[
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ENGINES_UNDER_TEST
])
def stage(
    request: pytest.FixtureRequest, footage: Footage, tmp_path: Path, networks: Callable[[str], Settings]
) -> Stage:
    return staged(request.param, footage, tmp_path, networks)


@pytest.fixture(params=SHAPING)
def shaping(
    request: pytest.FixtureRequest, footage: Footage, tmp_path: Path, networks: Callable[[str], Settings]
) -> Stage:
    return staged(request.param, footage, tmp_path, networks)


def test_every_engine_that_can_be_chosen_is_held_to_this_contract() -> None:
    assert set(ENGINES) == set(ENGINES_UNDER_TEST)


def test_an_unknown_engine_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(EngineUnable) as caught:
        choose("unheard_of")
    assert "unheard_of" in str(caught.value) and all(name in str(caught.value) for name in ("auto", *ENGINES))


def test_a_clip_keeps_its_frames_size_and_rate(stage: Stage) -> None:
    outcome = stage.sync((stage.footage.voice, AVA.name, 0.0))
    before, after = probe(stage.footage.clip), probe(outcome.files["main"])
    assert (after.frames, after.fps) == (before.frames, before.fps)
    assert (after.width, after.height) == (before.width, before.height)
    assert (after.video_codec, after.pixel_format, after.has_audio) == ("h264", "yuv420p", False)


def test_the_mouth_opens_while_speech_sounds_and_not_in_silence(stage: Stage) -> None:
    changed = stage.changed(stage.sync((stage.footage.voice, AVA.name, 0.0)))
    moved = [float(changed[n][stage.footage.box(AVA.name, n)].mean()) for n in range(FRAMES)]
    shaping = stage.engine.id.name in SHAPING
    loud, silent = moved[7:13], [*moved[:5], *moved[16:]] if shaping else [*moved[:4], *moved[17:]]
    assert min(loud) > 6, f"least while speaking {min(loud):.1f}"
    assert max(silent) < (3 if shaping else min(loud) / 3), f"most in silence {max(silent):.1f}"


def test_nothing_outside_the_speakers_mouth_changes_beyond_codec_noise(stage: Stage) -> None:
    changed = stage.changed(stage.sync((stage.footage.voice, AVA.name, 0.0), quality="premium"))
    for n in range(FRAMES):
        changed[n][stage.footage.box(AVA.name, n, REACH[stage.engine.id.name])] = 0
    assert changed.mean() < 1.2 and np.percentile(changed, 99.9) < 20, f"{changed.mean():.2f}"


def test_each_speaker_moves_its_own_mouth(stage: Stage) -> None:
    changed = stage.changed(stage.sync((stage.footage.voice, LEO.name, 0.0)))
    his, hers = (float(changed[9][stage.footage.box(who, 9)].mean()) for who in (LEO.name, AVA.name))
    assert his > 6 and hers < 3, f"his {his:.1f}, hers {hers:.1f}"


def test_a_voice_that_began_in_an_earlier_segment_goes_on(stage: Stage) -> None:
    changed = stage.changed(stage.sync((stage.footage.voice, AVA.name, -0.25)))
    moved = [float(changed[n][stage.footage.box(AVA.name, n)].mean()) for n in range(FRAMES)]
    assert moved[2] > 6 and moved[5] > 6 and moved[12] < 3, [round(m, 1) for m in moved]


def test_a_louder_moment_opens_the_mouth_wider(shaping: Stage, tmp_path: Path) -> None:
    voice = write_voice(tmp_path / "crescendo.wav", ((0.0, 1.0),), 1.0, swell=True)
    frames = decoded(shaping.sync((voice, AVA.name, 0.0)).files["main"])
    boxes = [shaping.footage.box(AVA.name, n) for n in range(FRAMES)]
    dark, drawn = (
        np.array([(pictures[n][box].mean(-1) < 70).sum() for n, box in enumerate(boxes)])
        for pictures in (frames, shaping.footage.before)
    )
    opened = (dark - drawn).astype(float)
    assert opened[18:23].mean() > 1.5 * opened[6:10].mean() > 0, opened


def said(path: Path, *phones: str, each: float = 0.2) -> Path:
    """An alignment of phones that last equally long."""
    spoken = tuple(Phone(symbol=p, start=n * each, end=(n + 1) * each) for n, p in enumerate(phones))
    path.write_text(Alignment(words=(), phones=spoken, method="aligned").model_dump_json())
    return path


def darkness(stage: Stage, outcome: Outcome) -> list[int]:
    """Dark pixels about the mouth that the clip does not have, by frame."""
    frames = decoded(outcome.files["main"])
    boxes = [stage.footage.box(AVA.name, n) for n in range(FRAMES)]
    return [
        int((frames[n][box].mean(-1) < 70).sum()) - int((stage.footage.before[n][box].mean(-1) < 70).sum())
        for n, box in enumerate(boxes)
    ]


def test_lips_close_on_m_in_the_middle_of_a_loud_voice_and_open_on_a_vowel(shaping: Stage, tmp_path: Path) -> None:
    voice = write_voice(tmp_path / "mama.wav", ((0.0, 1.0),), 1.0)
    phones = said(tmp_path / "phones.json", "M", "AA", "M", "AA", "M")
    outcome = shaping.sync((voice, AVA.name, 0.0), phones=phones)
    dark = darkness(shaping, outcome)
    vowels, closed = min(dark[6], dark[7], dark[16]), max(dark[11], dark[12], dark[21])
    assert vowels > 15 and closed < vowels / 3, dark
    assert (outcome.facts["voices_by_phones"], outcome.facts["voices_by_loudness"]) == (1, 0)


def test_a_whispered_vowel_opens_less_than_a_spoken_one(shaping: Stage, tmp_path: Path) -> None:
    phones = said(tmp_path / "phones.json", "AA", each=1.0)
    spoken = write_voice(tmp_path / "spoken.wav", ((0.0, 1.0),), 1.0)
    whispered = write_voice(tmp_path / "whispered.wav", ((0.0, 1.0),), 1.0, volume=0.03)
    loud, soft = (darkness(shaping, shaping.sync((v, AVA.name, 0.0), phones=phones))[12] for v in (spoken, whispered))
    assert 0 < soft < 0.8 * loud, f"{soft} against {loud}"


def test_an_alignment_without_phones_leaves_the_mouth_to_the_loudness(shaping: Stage, tmp_path: Path) -> None:
    outcome = shaping.sync((shaping.footage.voice, AVA.name, 0.0), phones=said(tmp_path / "none.json"))
    assert (outcome.facts["voices_by_phones"], outcome.facts["voices_by_loudness"]) == (0, 1)
    assert darkness(shaping, outcome)[10] > 5


def test_a_speaker_who_is_not_seen_is_told_and_moves_nothing(stage: Stage) -> None:
    outcome = stage.sync((stage.footage.voice, "narrator", 0.0))
    assert any("narrator" in warning for warning in outcome.warnings), outcome.warnings
    assert stage.changed(outcome).mean() < 1.5


def test_the_same_recipe_gives_the_same_bytes(stage: Stage) -> None:
    one, other = (stage.sync((stage.footage.voice, AVA.name, 0.0)).files["main"].read_bytes() for _ in range(2))
    assert one == other


def test_a_higher_quality_is_closer_to_the_clip(stage: Stage) -> None:
    draft, premium = (
        float(stage.changed(stage.sync((stage.footage.voice, LEO.name, 0.0), quality=word)).mean())
        for word in ("draft", "premium")
    )
    assert premium < draft, f"{premium:.3f} against {draft:.3f}"


def test_an_unknown_quality_is_refused(stage: Stage) -> None:
    with pytest.raises(EngineUnable, match="draft"):
        stage.sync((stage.footage.voice, AVA.name, 0.0), quality="finest")


@pytest.mark.parametrize(("fps", "start", "frames"), [(24, 0.0, 20), (30, 0.5, 39), (24, -0.3, 12)])
def test_a_still_lasts_as_long_as_its_last_voice(
    stage: Stage, tmp_path: Path, fps: int, start: float, frames: int
) -> None:
    still = tmp_path / "still"                        # a store's file need not have an extension
    portrait(201, 151, half=0.2).save(still, "JPEG")
    outcome = stage.sync((stage.footage.voice, AVA.name, start), clip=still, track=False, fps=fps)
    facts = probe(outcome.files["main"])
    assert (facts.frames, facts.fps) == (frames, Fraction(fps))
    assert facts.width % 2 == facts.height % 2 == 0


@pytest.mark.parametrize("what", ["clip", "voice", "mouths", "phones"])
def test_a_file_of_another_kind_is_refused_by_name(stage: Stage, tmp_path: Path, what: str) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"neither sound nor picture" * 20)
    known = {ref("clip"): stage.footage.clip, ref("mouths"): stage.footage.mouths, ref("voice"): stage.footage.voice}
    known[ref("phones")] = said(tmp_path / "phones.json", "AA")
    voice = PlacedVoice(audio=ref("voice"), speaker=AVA.name, start=0.0, alignment=ref("phones"))
    recipe = LipsyncRecipe(engine=stage.engine.id, clip=ref("clip"), mouths=ref("mouths"), voices=(voice,))
    with pytest.raises(MediaUnreadable, match=r"broken\.bin"):
        stage.engine.sync(recipe, room(tmp_path / "room", known | {ref(what): broken}))


def test_a_track_that_is_shorter_than_the_clip_is_refused(stage: Stage, tmp_path: Path) -> None:
    short = tmp_path / "mouths.json"
    short.write_text(json.dumps({"fps": 24, "mouths": {AVA.name: stage.footage.track[AVA.name][:3]}}))
    known = {ref("clip"): stage.footage.clip, ref("mouths"): short, ref("voice"): stage.footage.voice}
    recipe = LipsyncRecipe(
        engine=stage.engine.id, clip=ref("clip"), mouths=ref("mouths"),
        voices=(PlacedVoice(audio=ref("voice"), speaker=AVA.name, start=0.0),),
    )
    with pytest.raises(MediaUnreadable, match="3 frames"):
        stage.engine.sync(recipe, room(tmp_path / "room", known))
