"""Script files: reading, checking, casting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callsheet.errors import FileMissing, ManifestInvalid
from callsheet.models import Actor, Transition
from callsheet.presets import TransitionKind
from callsheet.script import load_script

AVA = Actor(id="ava", name="Ava", lora="x")
LEO = Actor(id="leo", name="Leo", lora="x")

WHOLE = """
title: The signal
scenes:
  - prompt: a hill at night
    dialogue: "[S1] Leo: Do you hear that? [S2] Yes."
    seconds: 2.8
    cast: [S1, Ava]
    emotion: happy
    angle: three_quarter
    intensity: 0.7
    language: en-gb
    transition: wipe
  - prompt: stars
    transition: {kind: Zoom, seconds: 1.2}
sound:
  music: m.flac
  music_volume: 0.2
  ambience: m.flac
  ambience_volume: 0.3
  effects: ["m.flac@1.5:0.4", {file: m.flac, start: 2}]
"""


def write(folder: Path, text: str, name: str = "s.yaml") -> Path:
    (folder / "m.flac").touch()
    path = folder / name
    path.write_text(text)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ManifestInvalid) as refused:
        load_script(path)
    return [f"{problem.where} | {problem.value} | {problem.message} | {problem.remedy}"
            for problem in refused.value.problems]


def test_a_script_becomes_scenes_with_the_cast_it_is_given(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, WHOLE))
    first, second = script.play((LEO, AVA), {})
    assert script.title == "The signal"
    assert first.cast == ("leo", "ava")
    assert [(line.speaker, line.text) for line in first.lines] == [("leo", "Do you hear that?"), ("ava", "Yes.")]
    assert (first.seconds, first.emotion, first.angle, first.intensity) == (2.8, "happy", "three_quarter", 0.7)
    assert first.transition == Transition(kind=TransitionKind.WIPE)
    assert second.transition == Transition(kind=TransitionKind.ZOOM, seconds=1.2)
    assert (second.cast, second.lines, second.seconds) == ((), (), 5.0)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    from_yaml = load_script(write(tmp_path, "title: T\nscenes:\n  - {prompt: a, seconds: 3, transition: slide}\n"))
    tree = {"title": "T", "scenes": [{"prompt": "a", "seconds": 3, "transition": "slide"}]}
    from_json = load_script(write(tmp_path, json.dumps(tree), "s.json"))
    assert from_yaml.scenes == from_json.scenes


def test_what_a_scene_does_not_say_the_defaults_say(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, WHOLE))
    given = {"emotion": "intense", "language": "de", "transition": TransitionKind.SLIDE, "transition_seconds": 0.9}
    first, second = script.play((LEO, AVA), given)
    assert (first.emotion, first.language) == ("happy", "en-gb"), "the scene's own words win"
    assert first.transition == Transition(kind=TransitionKind.WIPE, seconds=0.9), "only its kind was its own"
    assert (second.emotion, second.language, second.angle) == ("intense", "de", "front")


def test_sounds_are_found_relative_to_the_script(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, WHOLE))
    assert script.sound.music == str(tmp_path / "m.flac")
    assert [(effect.start, effect.volume) for effect in script.sound.effects] == [(1.5, 0.4), (2.0, 1.0)]


def test_s1_is_the_first_of_the_scenes_own_cast(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, 'scenes: [{prompt: a, cast: [Ava], dialogue: "[S1] Hi. [S2] Ho."}]'))
    (scene,) = script.play((LEO, AVA), {})
    assert [line.speaker for line in scene.lines] == ["ava", "leo"]


def test_every_mistake_is_told_with_its_fields_path(tmp_path: Path) -> None:
    text = """
titel: x
scenes:
  - prompt: a
    seconds: abc
    emotoin: happy
    transition: {kind: wipp, seconds: 99}
  - dialogue: hello
    intensity: 1.5
    angle: Very Front
sound: {music: "http://x/y.mp3", effects: ["nonsense"], ambience: gone.flac}
"""
    told = problems(write(tmp_path, text))
    expected = {
        "titel |  | is no field here | did you mean title?",
        "scenes[0].seconds | abc | is no number | write a number with a point, such as 2.5",
        "scenes[0].emotoin |  | is no field here | did you mean emotion?",
        "scenes[0].transition.kind | wipp | is not a word known here | did you mean wipe?",
        "scenes[0].transition.seconds | 99 | is over 4 | use at most 4",
        "scenes[1].prompt |  | is missing | add it",
        "scenes[1].intensity | 1.5 | is over 1 | use at most 1",
        "sound.music | http://x/y.mp3 | is an address, not a local path | copy the file here and write its path",
    }
    assert expected <= set(told), "\n".join(sorted(expected - set(told)))
    assert any(line.startswith("sound.effects[0] | nonsense | is no effect") for line in told), told
    assert any(line.startswith("scenes[1].angle | Very Front | is no id") for line in told), told


def test_a_sound_that_is_not_there_is_a_mistake_of_the_script(tmp_path: Path) -> None:
    told = problems(write(tmp_path, "scenes: [{prompt: a}]\nsound: {ambience: gone.flac}\n"))
    assert told == ["sound.ambience | gone.flac | is not there | check the path; it is read relative to the script"]


def test_an_unknown_speaker_is_told_with_scene_and_cast(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, 'scenes: [{prompt: a}, {prompt: b, dialogue: "[S1] Marta: Hi."}]'))
    with pytest.raises(ManifestInvalid) as refused:
        script.play((LEO,), {})
    (problem,) = refused.value.problems
    assert (problem.where, problem.message) == ("scenes[1].dialogue", "'Marta' speaks, but the cast is Leo (leo)")


@pytest.mark.parametrize("text", ["", "scenes: []", "scenes: 5", "- a", "scenes: [5]", "scenes: [{prompt: ''}]",
                                  "scenes: [{prompt: a, cast: {x: y}}]", "scenes: [{prompt: a, dialogue: [x]}]",
                                  "scenes: [{prompt: a, lines: [x]}]", "scenes: [{prompt: a}]\nsound: [1]"])
def test_a_script_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(write(tmp_path, text))


def test_other_suffixes_and_missing_files_are_refused(tmp_path: Path) -> None:
    assert "write scripts as .yaml or .json" in problems(write(tmp_path, "x", "s.txt"))[0]
    with pytest.raises(FileMissing):
        load_script(tmp_path / "gone.yaml")
