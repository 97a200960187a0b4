"""The plan of a film as values: a change of the order changes these recipes and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from callsheet import persona, plan
from callsheet.errors import SceneTooShort
from callsheet.film import Film, order_fingerprint
from callsheet.models import (
    Actor,
    CaptionMode,
    Captions,
    CheckPolicy,
    Ducking,
    Effect,
    Format,
    Line,
    Order,
    Scene,
    Sound,
    SourceFile,
    SpokenWord,
    TakeSpec,
    Transition,
    Voice,
)
from callsheet.presets import Platform, Quality, TransitionKind
from callsheet.recipe import Recipe, Ref, Stage, digest
from callsheet.recipes import Choices, EngineId

SPOKEN_S = 1.0
"""Every line of these films takes as long, whatever it says."""

CHOICES = Choices(
    posters=EngineId(name="placeholder", version=1, model="flux1-dev-fp8"),
    clips=EngineId(name="placeholder", version=1),
    speech=EngineId(name="espeak", version=1),
    lipsync=EngineId(name="warp", version=1),
    voices={"ava": "en-us+f1", "leo": "en-us+m1"},
    clips_have_mouths=True,
    destination="file:///delivery",
)


def file(name: str) -> SourceFile:
    return SourceFile(path=f"/somewhere/{name}", sha256=digest(name))


AVA = Actor(id="ava", name="Ava", lora=file("ava.safetensors"), seed=1)
LEO = Actor(id="leo", name="Leo", lora=file("leo.safetensors"), seed=2)

ORDER = Order(
    title="t",
    cast=(AVA,),
    scenes=(
        Scene(prompt="a street", seconds=7, lines=(Line(speaker="ava", text="Hello."),),
              transition=Transition(kind=TransitionKind.CROSSFADE, seconds=0.5)),
        Scene(prompt="a garden", seconds=2, lines=(Line(speaker="ava", text="Goodbye."),), emotion="happy",
              transition=Transition(kind=TransitionKind.WIPE, seconds=0.5)),
        Scene(prompt="a hill", seconds=2),
    ),
    sound=Sound(music=file("music.flac"), effects=(Effect(file=file("bell.flac"), start=1.0),)),
    captions=Captions(mode=CaptionMode.BURNED),
    quality=Quality.DRAFT,
)
"""Four segments: the first scene takes two. The middle of the film is spoken, its end is not."""


def film(order: Order = ORDER, choices: Choices = CHOICES, spoken: Callable[[str], float] | None = None) -> Film:
    lines = [line for scene in plan.lines(order, choices) for line in scene]
    lengths = {line.fingerprint: spoken(line.text) if spoken else SPOKEN_S for line in lines}
    words = {
        line.fingerprint: (SpokenWord(text=line.text, start=0.0, end=lengths[line.fingerprint]),) for line in lines
    }
    return plan.film(order, choices, lengths, words)


def changed(value: Any, path: str, to: object) -> Any:
    """A copy in which what `path` names, such as `scenes.0.prompt`, is another."""
    name, _, rest = path.partition(".")
    old = value[int(name)] if isinstance(value, tuple) else getattr(value, name)
    new = changed(old, rest, to) if rest else to
    if isinstance(value, tuple):
        at = int(name)
        return (*value[:at], new, *value[at + 1:])
    assert isinstance(value, BaseModel)
    assert new != old, f"{path} is {to!r} already"
    return value.model_copy(update={name: new})


def made_anew(after: Film, before: Film) -> dict[str, int]:
    """Stage -> how many recipes of it have a fingerprint that the film before did not have."""
    known = {recipe.fingerprint for recipe in before.recipes()}
    counts: dict[str, int] = {}
    for recipe in after.recipes():
        if recipe.fingerprint not in known:
            counts[recipe.stage] = counts.get(recipe.stage, 0) + 1
    return counts


FILM = {"mix": 1, "check": 1, "upload": 1}
END = {"splice": 1, **FILM}
ALL_PICTURES = {"poster": 1, "takes": 4, "segments": 4, "lipsync": 2, "conform": 4, **END}

CHANGES: list[tuple[str, str, object, dict[str, int]]] = [
    ("music volume", "sound.ducking.base_volume", 0.4, FILM),
    ("music file", "sound.music", file("other.flac"), {"intake": 1, **FILM}),
    ("an effect's moment", "sound.effects.0.start", 2.0, FILM),
    ("loudness", "sound.loudness_lufs", -16.0, FILM),
    ("the platform", "sound.platform", Platform.PODCAST, FILM),
    ("stems", "sound.stems", True, FILM),
    ("what findings lead to", "check.policy", CheckPolicy.STOP, {"upload": 1}),
    ("a retake", "scenes.2.retake", 1, {"segments": 1, "conform": 1, **END}),
    ("a scene that is meant to stand still", "scenes.2.still", True, {"check": 1, "upload": 1}),
    ("the margin", "generate.margin", False, {**ALL_PICTURES, "poster": 0}),
    ("the highlight's colour without karaoke", "captions.style.highlight_color", "red", {"upload": 1}),
    ("karaoke", "captions.style.karaoke", True, {"conform": 2, **END}),
    ("a line's words", "scenes.0.lines.0.text", "Good day.",
     {"speech": 1, "align": 1, "lipsync": 1, "conform": 1, **END}),
    ("captions beside", "captions.mode", CaptionMode.BESIDE, {"conform": 2, **END}),
    ("captions off", "captions.mode", CaptionMode.OFF, {"conform": 2, **END}),
    ("the captions' size", "captions.style.font_size", 60, {"conform": 2, **END}),
    ("a transition's kind", "scenes.0.transition.kind", TransitionKind.SLIDE, END),
    # Handles on both sides of the transition grow: the segment before it and the one after it, which both speak.
    ("a transition's length", "scenes.1.transition.seconds", 0.75,
     {"segments": 2, "lipsync": 1, "conform": 2, **END}),
    ("the last scene's transition", "scenes.2.transition.kind", TransitionKind.SLIDE, {"upload": 1}),
    # The first scene's second segment starts from the first one's last frame.
    ("a prompt", "scenes.0.prompt", "a square", {"segments": 2, "lipsync": 1, "conform": 2, **END}),
    ("the last scene's prompt", "scenes.2.prompt", "a tower", {"segments": 1, "conform": 1, **END}),
    ("an emotion", "scenes.2.emotion", "happy", {"segments": 1, "conform": 1, **END}),
    ("the last scene's length", "scenes.2.seconds", 2.5, {"segments": 1, "conform": 1, **END}),
    ("the order's seed", "seed", 5, {"segments": 4, "lipsync": 2, "conform": 4, **END}),
    ("the actor's seed", "cast.0.seed", 5, ALL_PICTURES),
    ("quality", "quality", Quality.STANDARD, {**ALL_PICTURES, "poster": 0}),
    ("the same shape in more pixels", "format", Format(width=1708, height=960, fps=24), {"conform": 4, **END}),
    ("another shape", "format", Format(width=480, height=854, fps=24),
     {"segments": 4, "lipsync": 2, "conform": 4, **END}),
    ("the LoRA's bytes", "cast.0.lora.sha256", digest("trained again"), {"train_complete": 1, **ALL_PICTURES}),
    ("the LoRA's strength", "cast.0.lora_strength", 0.9, ALL_PICTURES),
    ("what the actor looks like", "cast.0.description", "tall", {**ALL_PICTURES}),
    ("the speed of the voice", "cast.0.voice", Voice(words_per_minute=120),
     {"speech": 2, "align": 2, "lipsync": 2, **END, "conform": 2}),
    ("the poster's style", "poster.style_lora_strength", 0.5, ALL_PICTURES),
    ("the takes", "takes", (TakeSpec(emotion="sad"),),
     {"takes": 1, "segments": 4, "lipsync": 2, "conform": 4, **END}),
    ("the title", "title", "another", {"upload": 1}),
    ("the name of the job", "job_id", "job_1", {"upload": 1}),
]


@pytest.mark.parametrize(("path", "to", "remade"), [change[1:] for change in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_change_gives_exactly_these_stages_new_recipes(path: str, to: object, remade: dict[str, int]) -> None:
    expected = {stage: count for stage, count in remade.items() if count}
    assert made_anew(film(changed(ORDER, path, to)), film()) == expected


def test_the_same_order_has_the_same_recipes() -> None:
    assert made_anew(film(ORDER.model_copy(deep=True)), film()) == {}


def test_another_voice_of_the_engine_speaks_every_line_anew() -> None:
    other = CHOICES.model_copy(update={"voices": {**CHOICES.voices, "ava": "en-gb+f2"}})
    assert made_anew(film(choices=other), film()) == {"speech": 2, "align": 2, "lipsync": 2, "conform": 2, **END}


def test_a_newer_version_of_the_clip_engine_makes_all_pictures_anew() -> None:
    newer = {"version": 2}
    other = CHOICES.model_copy(update={
        "posters": CHOICES.posters.model_copy(update=newer), "clips": CHOICES.clips.model_copy(update=newer)})
    assert made_anew(film(choices=other), film()) == ALL_PICTURES


def test_another_delivery_gets_the_files_and_nothing_is_made_anew() -> None:
    other = CHOICES.model_copy(update={"destination": "s3://bucket"})
    assert made_anew(film(choices=other), film()) == {"upload": 1}


def test_a_line_that_outgrows_its_scene_makes_the_scene_longer_and_moves_what_follows() -> None:
    longer = changed(ORDER, "scenes.1.lines.0.text", "Goodbye to you all.")
    grown = film(longer, spoken=lambda text: 3.0 if "all" in text else SPOKEN_S)
    assert grown.timeline.seconds == pytest.approx(7 + 0.3 + 3.0 + 0.4 + 2, abs=1 / 24)
    remade = made_anew(grown, film())
    only_its_own_scene = {"speech": 1, "align": 1, "segments": 1, "lipsync": 1, "conform": 1, **END}
    assert remade == only_its_own_scene


# ---- the order's fingerprint

def test_the_fingerprint_of_an_order_does_not_depend_on_where_files_lie() -> None:
    moved = changed(changed(ORDER, "cast.0.lora.path", "s3://bucket/ava"), "sound.music.path", "elsewhere/m.flac")
    assert order_fingerprint(moved) == order_fingerprint(ORDER)
    assert made_anew(film(moved), film()) == {}


@pytest.mark.parametrize(("path", "to"), [
    ("cast.0.lora.sha256", digest("other")), ("sound.effects.0.file.sha256", digest("other")), ("title", "other"),
    ("scenes.2.transition.kind", TransitionKind.ZOOM), ("sound.effects.0.volume", 0.5),
])
def test_the_fingerprint_of_an_order_depends_on_everything_it_says(path: str, to: object) -> None:
    assert order_fingerprint(changed(ORDER, path, to)) != order_fingerprint(ORDER)


def test_a_job_is_named_by_the_orders_fingerprint_unless_the_order_names_it() -> None:
    assert film().job_id == order_fingerprint(ORDER)
    named = changed(ORDER, "job_id", "job_1")
    assert film(named).job_id == "job_1"
    assert order_fingerprint(named) == order_fingerprint(ORDER), "its name is no part of what it says"
    assert {key.key.split("/")[1] for key in film(named).upload.files if key.key.startswith("videos/")} == {"job_1"}


# ---- what films share

def test_a_guest_brings_poster_and_takes_from_her_own_film() -> None:
    theirs = film(ORDER.model_copy(update={"cast": (LEO, AVA), "seed": 9, "format": Format(
        width=480, height=480, fps=30)}))
    assert film().posters[0].fingerprint in {recipe.fingerprint for recipe in theirs.posters}
    own, all_of_them = ({recipe.fingerprint for recipe in each.takes} for each in (film(), theirs))
    assert own < all_of_them
    assert len(all_of_them) == 8


def test_what_is_in_a_film_twice_is_one_recipe() -> None:
    same = Line(speaker="ava", text="Hello.")
    twice = film(changed(changed(ORDER, "scenes.1.lines.0", same), "sound.effects", (
        Effect(file=file("bell.flac"), start=1.0), Effect(file=file("bell.flac"), start=2.0))))
    assert [recipe.text for recipe in twice.speech] == ["Hello."]
    assert [recipe.label for recipe in twice.sources] == ["music.flac", "bell.flac"]


def test_a_name_that_is_only_a_label_changes_no_fingerprint() -> None:
    recipe = film().splice
    assert recipe.model_copy(update={"label": "another"}).fingerprint == recipe.fingerprint


# ---- what the finished film has to be

def test_scenes_that_are_meant_to_stand_still_are_told_to_the_check_as_frames() -> None:
    assert film().check.still == ()
    made = film(changed(changed(ORDER, "scenes.0.still", True), "scenes.2.still", True))
    first, _, last = made.timeline.scenes
    assert made.check.still == ((0, first.frames), (last.start, made.timeline.frames))


@pytest.mark.parametrize(("sound", "heard"), [
    (Sound(), False),
    (Sound(music=file("m")), True),
    (Sound(music=file("m"), ducking=Ducking(base_volume=0)), False),
    (Sound(ambience=file("a")), True),
    (Sound(ambience=file("a"), ambience_volume=0), False),
    (Sound(effects=(Effect(file=file("e"), start=1, volume=0),)), False),
    (Sound(effects=(Effect(file=file("e"), start=1, volume=0), Effect(file=file("f"), start=1))), True),
], ids=["nothing", "music", "music at 0", "ambience", "ambience at 0", "an effect at 0", "one effect of two"])
def test_a_film_has_to_be_heard_where_something_in_it_has_a_volume(sound: Sound, heard: bool) -> None:
    speechless = tuple(scene.model_copy(update={"lines": ()}) for scene in ORDER.scenes)
    assert film(ORDER.model_copy(update={"sound": sound, "scenes": speechless})).check.heard is heard
    spoken = film(ORDER.model_copy(update={"sound": sound}))
    assert spoken.check.heard, "somebody speaks"


# ---- the shape of a plan

def test_recipes_come_after_what_they_are_made_from() -> None:
    seen: set[str] = set()
    for recipe in film(ORDER.model_copy(update={"cast": (AVA, LEO)})).recipes():
        missing = [ref for ref in recipe.refs() if ref.fingerprint not in seen]
        assert not missing, f"{recipe.stage} {recipe.label} before {missing}"
        seen.add(recipe.fingerprint)


def test_every_stage_is_in_a_film_with_sound_speech_restored_faces_and_an_upscaler() -> None:
    larger = changed(ORDER, "format", Format(width=1920, height=1080, fps=24))
    choices = CHOICES.model_copy(update={
        "restore": EngineId(name="gfpgan", version=1), "upscale": EngineId(name="realesrgan", version=1)})
    assert list(dict.fromkeys(recipe.stage for recipe in film(larger, choices).recipes())) == list(Stage)


def test_a_clip_is_enlarged_by_the_least_whole_factor_that_covers_the_delivery() -> None:
    choices = CHOICES.model_copy(update={"upscale": EngineId(name="realesrgan", version=1)})
    factors = [
        {recipe.factor for recipe in film(changed(ORDER, "format", size), choices).upscale}
        for size in (Format(width=640, height=360, fps=24), Format(width=1280, height=720, fps=24),
                     Format(width=1920, height=1080, fps=24), Format(width=3840, height=2160, fps=24))
    ]
    assert factors == [set(), {2}, {3}, {4}], "the clips are 688x384"


def test_only_the_cues_of_karaoke_carry_words() -> None:
    plain, sung = film(), film(changed(ORDER, "captions.style.karaoke", True))
    assert not any(cue.words for clip in plain.conform for cue in clip.cues)
    assert [word.text for cue in sung.conform[0].cues for word in cue.words] == ["Hello."]


def test_a_silent_order_without_sound_or_takes_needs_seven_stages_less() -> None:
    plain = Order(title="t", cast=(AVA,), scenes=(Scene(prompt="x", seconds=1),), takes=(), quality=Quality.DRAFT)
    assert {recipe.stage for recipe in film(plain).recipes()} == set(Stage) - {
        Stage.INTAKE, Stage.SPEECH, Stage.ALIGN, Stage.TAKES, Stage.LIPSYNC, Stage.RESTORE, Stage.UPSCALE}
    assert [key.key.rpartition("/")[2] for key in film(plain).upload.files][:2] == ["final.mp4", "thumbnail.jpg"]
    assert film(plain).segments[0].first_frame == film(plain).posters[0].ref()


def test_a_segment_starts_from_the_nearest_take_and_the_next_from_its_last_frame() -> None:
    made = film()
    first, second, third, fourth = made.segments
    happy = next(n for n, take in enumerate(ORDER.takes) if take.emotion == "happy")
    assert first.first_frame == made.takes[0].ref("last_frame")
    assert second.first_frame == first.ref("last_frame")
    assert third.first_frame == made.takes[happy].ref("last_frame")
    assert fourth.first_frame == made.takes[0].ref("last_frame")


@pytest.mark.parametrize(("mode", "files"), [
    (CaptionMode.OFF, []), (CaptionMode.BESIDE, ["captions.srt", "captions.vtt"]),
    (CaptionMode.BURNED, ["captions.srt", "captions.vtt"]),
])
def test_caption_files_are_delivered_unless_captions_are_off(mode: CaptionMode, files: list[str]) -> None:
    made = film(ORDER if mode is CaptionMode.BURNED else changed(ORDER, "captions.mode", mode))
    names = [file.key.rpartition("/")[2] for file in made.upload.files]
    assert [name for name in names if name.startswith("captions")] == files
    assert [cue.text for cue in made.mix.cues] == (["Hello.", "Goodbye."] if files else [])


def test_only_the_segment_that_is_spoken_in_is_lip_synced() -> None:
    made = film()
    assert [recipe.clip for recipe in made.lipsync] == [made.segments[0].ref(), made.segments[2].ref()]
    sources: list[Ref] = [clip.clip for clip in made.conform]
    assert sources == [made.lipsync[0].ref(), made.segments[1].ref(), made.lipsync[1].ref(), made.segments[3].ref()]


def test_a_line_over_a_segments_end_is_spoken_in_both() -> None:
    long = film(spoken=lambda text: 6.0 if text == "Hello." else SPOKEN_S)
    voices = [recipe.voices[0] for recipe in long.lipsync[:2]]
    assert voices[0].audio == voices[1].audio
    assert voices[0].start == pytest.approx(0.3)
    assert voices[1].start == pytest.approx(0.3 - 5.0), "it began in the segment before"


def test_a_plan_is_exact_once_every_line_is_spoken() -> None:
    assert film().exact
    assert not plan.film(ORDER, CHOICES, {}).exact


def test_an_estimate_refuses_nothing_but_what_was_spoken_does() -> None:
    strict = changed(changed(ORDER, "fit", "error"), "scenes.0.lines.0.text", "word " * 40)
    assert plan.film(strict, CHOICES, {}).timeline.seconds > 15, "it is laid out with the estimate"
    assert plan.film(strict, CHOICES, {}).order.fit == "error"
    assert film(strict).exact, "the reader was quicker than the estimate"
    with pytest.raises(SceneTooShort, match="scene 1 lasts 7.0 s but needs 9.7 s for its dialogue"):
        film(strict, spoken=lambda _: 9.0)


# ---- the nearest take

TAKES = (
    TakeSpec(emotion="neutral", angle="front", intensity=0.5),
    TakeSpec(emotion="happy", angle="closeup", intensity=0.9),
    TakeSpec(emotion="happy", angle="front", intensity=0.2),
    TakeSpec(emotion="happy", angle="front", intensity=0.8),
)


@pytest.mark.parametrize(("emotion", "angle", "intensity", "nearest"), [
    ("neutral", "front", 0.5, 0),
    ("neutral", "closeup", 0.9, 0),                   # emotion goes before angle and intensity
    ("happy", "closeup", 0.0, 1),                     # angle goes before intensity
    ("happy", "front", 0.3, 2),
    ("happy", "front", 0.7, 3),
    ("happy", "front", 0.5, 2),                       # of two equally near ones the first
    ("happy", "profile", 0.85, 1),                    # an angle nobody has: intensity decides
    ("sad", "front", 0.5, 0),                         # an emotion nobody has: angle, then intensity
    ("sad", "closeup", 0.5, 1),
])
def test_the_nearest_take_is_of_the_emotion_then_of_the_angle_then_of_the_intensity(
    emotion: str, angle: str, intensity: float, nearest: int
) -> None:
    scene = Scene(prompt="x", emotion=emotion, angle=angle, intensity=intensity)
    assert persona.nearest_take(scene, TAKES) == nearest


def test_a_file_that_is_not_admitted_cannot_be_planned() -> None:
    with pytest.raises(ValueError, match="is not admitted"):
        film(changed(ORDER, "cast.0.lora", SourceFile(path="ava.safetensors")))


def test_ducking_is_a_value_of_the_mix_and_what_follows_alone() -> None:
    ducked = changed(ORDER, "sound.ducking", Ducking(duck_db=-20))
    assert [type(recipe).__name__ for recipe in _new(ducked)] == ["MixRecipe", "CheckRecipe", "UploadRecipe"]


def _new(order: Order) -> list[Recipe]:
    known = {recipe.fingerprint for recipe in film().recipes()}
    return [recipe for recipe in film(order).recipes() if recipe.fingerprint not in known]
