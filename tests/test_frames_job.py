"""A `frames` job as values: what a request may say, the order it stands for, and the recipes of that."""

from __future__ import annotations

from typing import Any

import pytest

from callsheet import plan
from callsheet.errors import RequestInvalid
from callsheet.film import Film
from callsheet.jobs.frames import Frames, FramesJob, Maker, frames_order
from callsheet.jobs.reading import read_request
from callsheet.models import Format
from callsheet.presets import DELIVER, Quality, TransitionKind
from callsheet.recipes import Choices, EngineId

ENGINE = EngineId(name="diffusers", version=1, model="wan2.2-ti2v-5b")
CHOICES = Choices(
    posters=ENGINE, clips=ENGINE, speech=ENGINE, lipsync=ENGINE, voices={}, clips_have_mouths=False,
    destination="file:///out", clip_steps=50, clip_cfg=5.0,
)
SCENES = ["Scene 1", "Scene 2", "Scene 3"]


def asked(**fields: Any) -> Frames:
    request = read_request({"input": {"job_type": "frames", **({} if "prompt" in fields else {"prompts": SCENES}),
                                      **fields}})
    assert isinstance(request, Frames)
    return request


def refusal(**fields: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        asked(**fields)
    return caught.value


def planned(**fields: Any) -> Film:
    return plan.film(frames_order(asked(**({"seed": 7} | fields))), CHOICES, {})


def test_it_has_the_sources_defaults() -> None:
    assert asked().model_dump(exclude={"prompts", "job_type"}) == {
        "job_id": None, "video_type": "multi_frame", "quality": "high", "transition": "crossfade",
        "duration_per_frame": 3.0, "use_ai_generation": True, "engine": "auto", "model": "",
        "num_inference_steps": 20, "guidance_scale": 7.5, "width": None, "height": None, "fps": None, "seed": None}


@pytest.mark.parametrize("fields", [
    {"prompt": "a pier"}, {"prompt": ["a pier"]}, {"prompts": "a pier"}, {"prompts": ["a pier"]}])
def test_one_prompt_is_a_list_of_one_by_either_name(fields: dict[str, Any]) -> None:
    request = read_request({"input": {"job_type": "frames", **fields}})
    assert isinstance(request, Frames) and request.prompts == ("a pier",)


@pytest.mark.parametrize("word", ["DRAFT", "draft", " Draft "])
def test_qualities_and_transitions_are_read_in_any_case(word: str) -> None:
    request = asked(quality=word, transition="WIPE")
    assert (request.tier, request.transition) == (Quality.DRAFT, "wipe")


@pytest.mark.parametrize(("fields", "where", "said"), [
    ({"prompts": []}, "input.prompts", "at least 1"),
    ({"prompts": ["a", " "]}, "input.prompts[1]", "is empty"),
    ({"prompts": [5]}, "input.prompts[0]", "valid string"),
    ({"quality": "hig"}, "input.quality", "did you mean high?"),
    ({"transition": "cut"}, "input.transition", "one of fade, crossfade, wipe, slide, zoom, dissolve"),
    ({"video_type": "single"}, "input.video_type", "one of multi_frame"),
    ({"guidance_scale": 0.5}, "input.guidance_scale", "is under 1"),
    ({"guidance_scale": 20.5}, "input.guidance_scale", "is over 20"),
    ({"num_inference_steps": 0}, "input.num_inference_steps", "is under 1"),
    ({"duration_per_frame": 4.6}, "input", "duration_per_frame 4.6 is over 4.5"),
    ({"prompts": ["a", "b"], "duration_per_frame": 5}, "input", "is over 4.75"),
    ({"prompts": "a", "duration_per_frame": 5.1}, "input.duration_per_frame", "is over 5"),
    ({"duration_per_frame": 0.5}, "input", "is under 0.567: transitions take 0.5 s of it"),
    ({"engine": "placeholder"}, "input", "set use_ai_generation to false"),
    ({"engine": "diffusers", "use_ai_generation": False}, "input", "leave one of them out"),
    ({"width": 62}, "input.width", "is under 64"),
    ({"seed": -1}, "input.seed", "is under 0"),
    ({"steps": 20}, "input.steps", "is no field here"),
])
def test_a_wrong_field_is_named_with_what_to_do(fields: dict[str, Any], where: str, said: str) -> None:
    error = refusal(**fields)
    assert error.facts["field"] == where, str(error)
    assert said in str(error), str(error)


@pytest.mark.parametrize("tier", list(Quality))
def test_each_tier_has_its_size_and_rate_and_a_field_beats_it(tier: Quality) -> None:
    size, own = DELIVER[tier], asked(quality=tier.value, width=640, fps="29.97").format
    assert asked(quality=tier.value).format == Format(width=size.width, height=size.height, fps=size.fps)
    assert (own.width, own.height, own.label.partition("@")[2]) == (640, size.height, "29.97")


def test_one_clip_serves_a_scene_and_has_half_a_transition_at_each_joined_end() -> None:
    film = planned(quality="draft")
    assert [one.num_frames for one in film.segments] == [78, 84, 78], "72 frames are 3 s, 6 half of 0.5 s"
    assert [(one.kind, one.frames) for one in film.splice.joins] == [(TransitionKind.CROSSFADE, 12)] * 2
    assert film.timeline.frames == 3 * 72 and film.mix.seconds == 9.0


def test_the_longest_scenes_are_still_one_clip_each() -> None:
    for count, seconds in ((1, 5), (2, 4.75), (3, 4.5)):
        for quality in ("draft", "standard", "premium"):
            film = planned(prompts=SCENES[:count], duration_per_frame=seconds, quality=quality)
            assert len(film.segments) == count, f"{len(film.segments)} clips for {count} scenes of {seconds} s"


@pytest.mark.parametrize("fps", [12, 24, "29.97", 30, 60])
def test_the_shortest_scenes_that_are_accepted_hold_their_transitions(fps: object) -> None:
    for count, seconds in ((1, 0.2), (2, 0.25), (3, 0.5), (5, 0.5)):
        accepted = seconds + (2 / float(str(fps)) if count > 1 else 0) + 0.001
        film = planned(prompts=["a"] * count, duration_per_frame=accepted, quality="draft", fps=fps)
        assert len(film.segments) == count


def test_its_steps_and_guidance_beat_the_tiers_and_the_models() -> None:
    assert {(one.steps, one.cfg) for one in planned(quality="premium").segments} == {(20, 7.5)}
    assert {(one.steps, one.cfg) for one in planned(num_inference_steps=25, guidance_scale=9).segments} == {(25, 9.0)}


def test_a_clip_is_made_from_its_prompt_as_it_is_written_and_from_nothing_else() -> None:
    film = planned(prompts=["A serene mountain landscape at sunrise", "a city"])
    assert [one.prompt for one in film.segments] == ["A serene mountain landscape at sunrise", "a city"]
    assert all((one.loras, one.first_frame, one.negative) == ((), None, "") for one in film.segments)
    assert [recipe.stage for recipe in film.recipes()] == [
        "segments", "segments", "conform", "conform", "splice", "mix", "check", "upload"]


def test_no_more_pixels_are_generated_than_are_delivered() -> None:
    sizes = [(one.width, one.height) for fields in ({}, {"width": 128, "height": 64})
             for one in planned(prompts="a", **fields).segments]
    assert sizes == [(1360, 768), (128, 64)]


def test_each_prompt_has_a_seed_of_its_own_that_follows_from_the_requests() -> None:
    once, again, other = (tuple(one.seed for one in planned(seed=seed).segments) for seed in (7, 7, 8))
    assert once == again and len({*once, *other}) == 6


def test_a_seed_that_is_left_out_is_settled_once() -> None:
    settled = asked().settled(lambda: 9)
    assert (settled.seed, settled.settled(lambda: 8).seed) == (9, 9)
    with pytest.raises(ValueError, match="not settled"):
        frames_order(asked())


def test_the_switch_decides_which_engine_is_asked() -> None:
    assert frames_order(asked(seed=1)).generate.engine == "auto"
    assert frames_order(asked(seed=1, use_ai_generation=False)).generate.engine == "placeholder"
    own = frames_order(asked(seed=1, engine="diffusers", model="animatediff-sd15")).generate
    assert (own.engine, own.model) == ("diffusers", "animatediff-sd15")


def test_the_same_request_without_an_id_has_the_same_one() -> None:
    ids = [planned(**fields).job_id for fields in ({}, {}, {"transition": "zoom"}, {"job_id": "own"})]
    assert ids[0] == ids[1] != ids[2] and ids[3] == "own"


def test_the_reply_tells_what_was_made_and_who_made_it() -> None:
    film = planned(job_id="f1", prompts=["a", "b"], fps=25)
    request = asked(job_id="f1", prompts=["a", "b"], fps=25, seed=7)
    job = FramesJob(request, film, [Maker("diffusers", "wan2.2-ti2v-5b"), Maker("placeholder")])
    assert job.metadata({}) == {
        "job_id": "f1", "quality": "high", "transition": "crossfade", "frames": 150, "duration": 6.0, "width": 1920,
        "height": 1080, "fps": 25, "seed": 7, "engines": [
            {"prompt": "a", "engine": "diffusers", "model": "wan2.2-ti2v-5b"},
            {"prompt": "b", "engine": "placeholder", "model": ""}]}
    urls = {"videos/f1/final.mp4": "https://x/v", "videos/f1/thumbnail.jpg": "https://x/t"}
    assert job.output(urls) == {"video": "https://x/v", "thumbnail": "https://x/t"}
