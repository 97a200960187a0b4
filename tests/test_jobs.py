"""Single jobs as values: what a request may say, what becomes of it, and what the reply looks like."""

from __future__ import annotations

import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from callsheet import persona
from callsheet.errors import DownloadFailed, RequestInvalid
from callsheet.jobs import acting, personas, talking
from callsheet.jobs.base import Job
from callsheet.jobs.inputs import ClipEngines, Inputs, TalkEngines
from callsheet.jobs.reading import parse_envelope, read_request
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import (
    JOBS,
    Animation,
    AnyRequest,
    LipsyncOnly,
    PersonaBuild,
    PosterFrame,
    Segment,
    VideoRender,
)
from callsheet.models import CaptionMode, Ducking, Format, SourceFile
from callsheet.recipes import Choices, EngineId

EXAMPLES = Path(__file__).parents[1] / "manifests" / "examples" / "jobs"
MANUAL = EXAMPLES.parents[2] / "docs" / "jobs.md"
ENGINE = EngineId(name="placeholder", version=1)
CLIPS = ClipEngines(clips=ENGINE, destination="file:///out")
TALK = TalkEngines(lipsync=ENGINE, destination="file:///out")
CHOICES = Choices(
    posters=ENGINE, clips=ENGINE, speech=ENGINE, lipsync=ENGINE, voices={}, clips_have_mouths=True,
    destination="file:///out",
)
A, B = "https://example.com/a", "https://example.com/b"

LEAST: dict[str, dict[str, Any]] = {
    "lipsync_only": {"image": A, "audio": B},
    "video_render": {"image": A, "audio": B},
    "persona_build": {"persona_id": "persona_123", "primary_image": A},
    "poster_frame": {"actor_id": "0001_european_20_female", "character_lora_name": "0001_european_20_female"},
    "segment": {"prompt": "waves"},
    "animation": {"prompt": "waves", "character": "temo"},
    "frames": {"prompts": ["waves"]},
}
"""The fewest fields of each job type."""

FULL_RENDER = {
    "job_type": "video_render", "job_id": "unique_id", "image": A, "audio": B, "music_url": "https://example.com/m",
    "ambience_url": "https://example.com/n",
    "sfx_tracks": [{"url": "https://example.com/s", "start_time": 2.5, "volume": 0.5}],
    "captions": [{"text": "Hello world", "start": 0.0, "end": 1.5}],
    "caption_style": {
        "font_size": 48, "color": "white", "stroke_color": "black", "stroke_width": 2, "position_y": 0.75},
    "format": {"width": 1080, "height": 1920, "fps": 30},
    "quality": "premium",
    "ducking_config": {"base_volume": 0.15, "attack_ms": 50, "release_ms": 300},
}
"""The source system's own example."""


def asked(job_type: str, **fields: Any) -> AnyRequest:
    return read_request({"input": {"job_type": job_type, **LEAST[job_type], **fields}})


def refusal(job_type: str, **fields: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as caught:
        asked(job_type, **fields)
    return caught.value


def inputs_of(request: AnyRequest, seconds: float = 12.5, size: tuple[int, int] = (600, 800)) -> Inputs:
    """As if each file had been fetched: the digest tells its field's text."""
    files = {
        path: SourceFile(path=f"/tmp/{path}", sha256=hashlib.sha256(text.encode()).hexdigest())
        for path, text in request.sources().items()
    }
    facts = {
        recipe.fingerprint: {"width": size[0], "height": size[1]} if recipe.kind == "picture" else {"duration": seconds}
        for recipe in Inputs(files).recipes()
    }
    return Inputs(files, facts)


def lora(letter: str) -> SourceFile:
    return SourceFile(path=f"/loras/{letter}.safetensors", sha256=letter * 64)


# ---- fields and defaults


@pytest.mark.parametrize("job_type", JOBS)
def test_each_job_type_is_read_as_its_own_request(job_type: str) -> None:
    assert type(asked(job_type)) is JOBS[job_type]


def test_lipsync_only_has_the_sources_defaults() -> None:
    assert asked("lipsync_only").model_dump(exclude={"image", "audio"}) == {
        "job_type": "lipsync_only", "job_id": None, "quality": "standard"}


def test_video_render_has_the_sources_defaults() -> None:
    request = asked("video_render")
    assert isinstance(request, VideoRender)
    assert request.format.format.label == "1080x1920@30"
    assert request.ducking_config == Ducking(base_volume=0.15, attack_ms=50, release_ms=300, duck_db=-8)
    assert request.caption_style.model_dump(exclude={"karaoke", "highlight_color"}) == {
        "font_size": 48, "color": "white", "stroke_color": "black", "stroke_width": 2, "position_y": 0.75}
    assert (request.quality, request.captions, request.sfx_tracks, request.music_url) == ("standard", (), (), None)


def test_the_sources_full_render_is_read_as_it_is_written() -> None:
    request = read_request({"input": FULL_RENDER})
    assert isinstance(request, VideoRender)
    ours = {"job_type": True, "captions": {"__all__": {"words"}}, "caption_style": {"karaoke", "highlight_color"}}
    assert request.model_dump(mode="json", exclude=ours) | {"format": None, "ducking_config": None} == {
        **{k: v for k, v in FULL_RENDER.items() if k != "job_type"}, "format": None, "ducking_config": None}
    assert (request.format.fps, request.ducking_config.base_volume) == (30, 0.15)


def test_persona_build_makes_the_sources_four_takes() -> None:
    request = asked("persona_build")
    assert isinstance(request, PersonaBuild)
    assert [(t.emotion, t.angle, t.intensity) for t in request.takes_to_generate] == [
        ("neutral", "front", 0.5), ("neutral", "three_quarter", 0.5), ("happy", "three_quarter", 0.7),
        ("intense", "closeup", 0.9)]


def test_poster_frame_has_the_sources_defaults() -> None:
    assert asked("poster_frame").model_dump(exclude={"actor_id", "character_lora_name", "job_type", "background"}) == {
        "job_id": None, "width": 1024, "height": 1024, "steps": 22, "sampler_name": "euler",
        "scheduler_name": "simple", "flux_guidance": 6.5, "model": "flux1-dev-fp8",
        "style_lora_name": "SBai_style_101", "style_lora_strength": 1.0, "custom_actor_description": "",
        "user_id": None, "character_lora_strength": 0.7, "seed": None}


def test_animation_has_the_sources_defaults() -> None:
    assert asked("animation").model_dump(exclude={"prompt", "character", "characters", "job_type"}) == {
        "job_id": None, "seed": None, "dialogue_text": "", "width": 1024, "height": 1024, "num_frames": 48,
        "guidance_scale": 12.0, "num_inference_steps": 50}


def test_a_segment_has_120_frames_and_its_tiers_figures() -> None:
    request = asked("segment")
    assert isinstance(request, Segment)
    assert (request.num_frames, request.tier) == (120, "standard")
    assert (request.width, request.height, request.num_inference_steps, request.guidance_scale) == (None,) * 4


@pytest.mark.parametrize(("word", "tier"), [("fast", "draft"), ("standard", "standard"), ("high", "premium")])
def test_lipsync_has_its_own_words_for_quality(word: str, tier: str) -> None:
    request = asked("lipsync_only", quality=word)
    assert isinstance(request, LipsyncOnly) and request.tier == tier


@pytest.mark.parametrize(("word", "tier"), [("fast", "draft"), ("ultra", "premium"), ("high", "high")])
def test_a_segment_has_its_doors_words_for_quality(word: str, tier: str) -> None:
    request = asked("segment", quality=word)
    assert isinstance(request, Segment) and request.tier == tier


@pytest.mark.parametrize("fields", [{"steps": 20, "guidance": 7}, {"num_inference_steps": 20, "guidance_scale": 7.0},
                                    {"steps": 20, "cfg": 7}])
def test_steps_and_guidance_of_a_segment_go_by_both_names(fields: dict[str, Any]) -> None:
    request = asked("segment", **fields)
    assert isinstance(request, Segment) and (request.num_inference_steps, request.guidance_scale) == (20, 7.0)


def test_one_character_or_several_mean_the_same() -> None:
    one = read_request({"input": {"job_type": "animation", "prompt": "waves", "characters": ["temo"]}})
    assert isinstance(one, Animation)
    assert one.characters_named == asked("animation").characters_named == ("temo",)


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_seed_is_random_and_settled_once(empty: str | None) -> None:
    request = asked("animation", seed=empty)
    assert isinstance(request, Animation) and request.seed is None
    settled = request.settled(lambda: 7)
    assert settled.seed == 7 and settled.settled(lambda: 8).seed == 7


def test_a_seed_that_was_given_stays() -> None:
    assert asked("segment", seed=0).settled(lambda: 7).seed == 0          # type: ignore[union-attr]


@pytest.mark.parametrize("rate", [29.97, "29.97", "30000/1001"])
def test_a_broadcast_rate_is_exact_however_it_is_written(rate: object) -> None:
    request = asked("video_render", format={"fps": rate})
    assert isinstance(request, VideoRender) and request.format.fps == Fraction(30000, 1001)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_is_read_as_the_job_it_is_named_after(path: Path) -> None:
    request = read_request(parse_envelope(path.read_text()))
    assert request.job_type == path.stem
    assert len(list(EXAMPLES.glob("*.json"))) == len(JOBS)


def _blocks() -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", MANUAL.read_text(), re.DOTALL)]


def test_every_request_and_reply_in_the_manual_is_one() -> None:
    requests = [read_request(block) for block in _blocks() if "input" in block]
    replies = [block for block in _blocks() if "input" not in block]
    assert {request.job_type for request in requests} == set(JOBS)
    for block in replies:
        assert json.loads(Reply.model_validate(block).model_dump_json()) == block


@pytest.mark.parametrize("job_type", JOBS)
def test_the_manual_has_every_field_of_a_job(job_type: str) -> None:
    text = MANUAL.read_text().partition(f"\n## {job_type}\n")[2].partition("\n## ")[0]
    fields = set(JOBS[job_type].model_fields) - {"job_type", "job_id"}
    assert not {field for field in fields if f"`{field}`" not in text}


# ---- refusals


@pytest.mark.parametrize(("job_type", "fields", "where", "said"), [
    ("lipsync_only", {"image": ""}, "input.image", "is empty"),
    ("lipsync_only", {"image": 5}, "input.image", "should be a valid string"),
    ("lipsync_only", {"quality": "fsat"}, "input.quality", "did you mean fast?"),
    ("lipsync_only", {"quality": "premium"}, "input.quality", "one of fast, standard, high"),
    ("lipsync_only", {"imgae": A}, "input.imgae", "did you mean image?"),
    ("lipsync_only", {"job_id": "../x"}, "input.job_id", "is no id"),
    ("lipsync_only", {"job_id": "Job 1"}, "input.job_id", "lower-case letters"),
    ("lipsync_only", {"job_id": "x" * 65}, "input.job_id", "is no id"),
    ("lipsync_only", {"job_id": "a\n"}, "input.job_id", "is no id"),
    ("lipsync_only", {"num_frames": 5}, "input.num_frames", "is no field here"),
    ("video_render", {"format": {"widht": 100}}, "input.format.widht", "did you mean width?"),
    ("video_render", {"format": {"width": 1081}}, "input.format.width", "multiple of 2"),
    ("video_render", {"format": {"width": 9000}}, "input.format.width", "is over 7680"),
    ("video_render", {"format": {"fps": 1000000}}, "input.format.fps", "is over 120"),
    ("video_render", {"format": {"fps": "1/0"}}, "input.format.fps", "is no rate"),
    ("video_render", {"format": {"fps": [30]}}, "input.format.fps", "is no rate"),
    ("video_render", {"format": {"fps": True}}, "input.format.fps", "is no rate"),
    ("video_render", {"format": "1080x1920"}, "input.format", "write a mapping of fields"),
    ("video_render", {"sfx_tracks": [{"url": A, "volume": 1e9}]}, "input.sfx_tracks[0].volume", "is over 4"),
    ("video_render", {"sfx_tracks": [{"start_time": 1}]}, "input.sfx_tracks[0].url", "is missing"),
    ("video_render", {"sfx_tracks": [{"url": A, "start": 1}]}, "input.sfx_tracks[0].start", "did you mean start_time?"),
    ("video_render", {"sfx_tracks": [{"url": A}] * 101}, "input.sfx_tracks", "at most 100"),
    ("video_render", {"captions": [{"text": "x", "start": 2, "end": 1}]}, "input.captions[0]", "must end after"),
    ("video_render", {"captions": [{"text": "x", "start": -1, "end": 1}]}, "input.captions[0].start", "is under 0"),
    ("video_render", {"captions": [{"text": "x", "start": 0, "end": 1}] * 501}, "input.captions", "at most 500"),
    ("video_render", {"caption_style": {"color": "whiet"}}, "input.caption_style.color", "is no colour"),
    ("video_render", {"caption_style": {"font_size": 4}}, "input.caption_style.font_size", "is under 8"),
    ("video_render", {"caption_style": {"position_y": 2}}, "input.caption_style.position_y", "is over 1"),
    ("video_render", {"ducking_config": {"base_volume": 5}}, "input.ducking_config.base_volume", "is over 4"),
    ("video_render", {"quality": "fast"}, "input.quality", "is not a word known here"),
    ("persona_build", {"persona_id": "Ä"}, "input.persona_id", "is no id"),
    ("persona_build", {"job_id": "a"}, "input.job_id", "is no field here"),
    ("persona_build", {"takes_to_generate": []}, "input.takes_to_generate", "at least 1"),
    ("persona_build", {"takes_to_generate": [{"intensity": 1.1}]}, "input.takes_to_generate[0].intensity", "is over 1"),
    ("persona_build", {"takes_to_generate": [{"emotoin": "sad"}]}, "input.takes_to_generate[0].emotoin",
     "did you mean emotion?"),
    ("poster_frame", {"actor_id": "a/b"}, "input.actor_id", "is no id"),
    ("poster_frame", {"user_id": ".."}, "input.user_id", "is no id"),
    ("poster_frame", {"steps": 0}, "input.steps", "is under 1"),
    ("poster_frame", {"width": 14}, "input.width", "is under 16"),
    ("poster_frame", {"flux_guidance": 31}, "input.flux_guidance", "is over 30"),
    ("poster_frame", {"character_lora_strength": -0.1}, "input.character_lora_strength", "is under 0"),
    ("poster_frame", {"seed": 2**32}, "input.seed", "is over"),
    ("segment", {"num_frames": 121}, "input.num_frames", "is over 120"),
    ("segment", {"num_frames": 0}, "input.num_frames", "is under 1"),
    ("segment", {"num_frames": "48"}, "input.num_frames", "valid integer"),
    ("segment", {"steps": 20, "num_inference_steps": 30}, "input.steps", "is no field here"),
    ("segment", {"width": 62}, "input.width", "is under 64"),
    ("segment", {"characters": ["a"], "character": "b"}, "input", "keep one of them"),
    ("animation", {"num_frames": 121}, "input.num_frames", "is over 120"),
    ("animation", {"num_frames": 4}, "input.num_frames", "is under 5"),
    ("animation", {"character": None}, "input", "names no character"),
    ("animation", {"characters": ["x"] * 9, "character": None}, "input.characters", "at most 8"),
    ("animation", {"prompt": ""}, "input.prompt", "is empty"),
    ("animation", {"seed": 1.5}, "input.seed", "integer"),
    ("animation", {"seed": True}, "input.seed", "integer"),
    ("animation", {"guidance_scale": 30.5}, "input.guidance_scale", "is over 30"),
    ("animation", {"num_inference_steps": 201}, "input.num_inference_steps", "is over 200"),
])
def test_a_wrong_field_is_named_with_what_to_do(job_type: str, fields: dict[str, Any], where: str, said: str) -> None:
    error = refusal(job_type, **fields)
    assert error.facts["field"] == where, str(error)
    assert said in str(error), str(error)


@pytest.mark.parametrize(("job_type", "field"), [(kind, name) for kind, least in LEAST.items() for name in least])
def test_a_field_without_a_default_has_to_be_there(job_type: str, field: str) -> None:
    fields = {name: value for name, value in LEAST[job_type].items() if name != field}
    with pytest.raises(RequestInvalid) as caught:
        read_request({"input": {"job_type": job_type, **fields}})
    assert caught.value.facts["field"] in (f"input.{field}", "input")


def test_every_mistake_of_a_request_is_told_at_once() -> None:
    error = refusal("video_render", quality="fast", format={"width": 3, "fps": 0}, captons=[])
    assert set(error.facts["fields"]) == {"input.quality", "input.format.width", "input.format.fps", "input.captons"}
    assert all(path in str(error) for path in error.facts["fields"]), str(error)


def test_braces_in_a_request_are_repeated_as_they_are() -> None:
    assert "{detail}" in str(refusal("lipsync_only", quality="{detail}"))


def test_a_long_value_is_not_repeated_as_a_whole() -> None:
    assert len(str(refusal("lipsync_only", quality="x" * 10_000))) < 400


@pytest.mark.parametrize(("envelope", "said"), [
    ({}, "field input: is missing"),
    ({"input": []}, "field input: is no object"),
    ({"input": {}}, "field input.job_type: is missing"),
    ({"input": {"job_type": "lipsync"}}, "did you mean lipsync_only?"),
    ({"input": {"job_type": 5}}, "is no job type"),
    ({"input": {"job_type": "lipsync_only", "image": object(), "audio": B}}, "is not plain JSON"),
    ({"input": {"job_type": "segment", "prompt": "x", "intensity": float("nan")}}, "is not plain JSON"),
])
def test_an_envelope_that_holds_no_request_says_what_to_write(envelope: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        read_request(envelope)
    assert said in str(caught.value), str(caught.value)


def test_what_a_provider_puts_beside_the_input_is_not_looked_at() -> None:
    envelope = {"id": "abc-1", "webhook": "https://example.com", "input": {"job_type": "segment", "prompt": "waves"}}
    assert read_request(envelope).job_type == "segment"


@pytest.mark.parametrize(("text", "said"), [
    ("", "line 1, column 1"),
    ('{"input": }', "line 1, column 11"),
    ("[]", "it is no object"),
    ('{"input": {"a": 1, "a": 2}}', "key 'a' is there twice"),
    ('{"input": {"intensity": NaN}}', "NaN is no number"),
    ('{"input": {"intensity": -Infinity}}', "-Infinity is no number"),
    ('{"input": ' + "[" * 100_000, "JSON"),
    ('{"input": ' + "[" * 30 + "]" * 30 + "}", "nested over 20 deep"),
    ('{"input": {"seed": ' + "9" * 5000 + "}}", "plain JSON"),
])
def test_a_text_that_is_no_plain_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_envelope(text)
    assert said in str(caught.value), str(caught.value)


def test_a_number_that_overflows_is_refused_like_infinity() -> None:
    with pytest.raises(RequestInvalid):
        read_request(parse_envelope('{"input": {"job_type": "segment", "prompt": "x", "intensity": 1e999}}'))


# ---- files and ids


def test_sources_are_named_by_the_path_of_their_field() -> None:
    assert list(read_request({"input": FULL_RENDER}).sources()) == [
        "image", "audio", "music_url", "ambience_url", "sfx_tracks[0].url"]


def test_sources_are_replaced_wherever_they_stand() -> None:
    request = read_request({"input": FULL_RENDER}).with_sources({"audio": "x", "sfx_tracks[0].url": "y"})
    assert request.sources() == {"image": A, "audio": "x", "music_url": "https://example.com/m",
                                 "ambience_url": "https://example.com/n", "sfx_tracks[0].url": "y"}


def test_a_job_without_an_id_gets_one_that_follows_from_its_bytes() -> None:
    first, moved = asked("lipsync_only"), asked("lipsync_only", image="https://elsewhere.example.com/a")
    files = inputs_of(first).files
    assert isinstance(first, Job) and isinstance(moved, Job)
    assert first.named(files) == moved.named(files), "the same bytes from another place are the same job"
    other = {**files, "audio": lora("c")}
    better = asked("lipsync_only", quality="high")
    assert isinstance(better, Job)
    assert len({first.named(files), first.named(other), better.named(files)}) == 3


def test_a_job_keeps_the_id_it_was_given() -> None:
    request = asked("lipsync_only", job_id="unique_id")
    assert isinstance(request, Job) and request.named(inputs_of(request).files) == "unique_id"


def test_a_file_that_is_named_twice_is_taken_in_once() -> None:
    request = asked("video_render", music_url=B, sfx_tracks=[{"url": B}])
    assert [recipe.kind for recipe in inputs_of(request).recipes()] == ["picture", "audio"]


# ---- recipes


def test_a_lipsync_job_is_the_picture_in_its_own_size_for_as_long_as_the_voice() -> None:
    request = asked("lipsync_only", quality="high")
    assert isinstance(request, LipsyncOnly)
    talk = talking.lipsync_only(request, inputs_of(request, seconds=2.01), TALK)
    made = talk.conform
    assert (made.width, made.height, made.fps, made.frames) == (600, 800, 24, 49)
    assert (made.encode.crf, made.encode.preset, made.encode.max_kbit) == (18, "slow", None)
    assert talk.lipsync.quality == "premium" and talk.mix.captions is CaptionMode.OFF


@pytest.mark.parametrize(("size", "delivered"), [
    ((4000, 3000), (1920, 1440)), ((601, 801), (600, 800)), ((3, 5000), (16, 1920)), ((8, 8), (16, 16))])
def test_a_lipsynced_picture_has_even_sides_of_at_most_1920(size: tuple[int, int], delivered: tuple[int, int]) -> None:
    request = asked("lipsync_only")
    assert isinstance(request, LipsyncOnly)
    made = talking.lipsync_only(request, inputs_of(request, size=size), TALK).conform
    assert (made.width, made.height) == delivered


@pytest.mark.parametrize(("tier", "crf", "preset"), [
    ("draft", 28, "ultrafast"), ("standard", 23, "medium"), ("premium", 18, "slow"), ("cinematic", 15, "veryslow")])
def test_a_render_is_encoded_with_the_sources_presets(tier: str, crf: int, preset: str) -> None:
    request = asked("video_render", quality=tier)
    assert isinstance(request, VideoRender)
    made = talking.video_render(request, inputs_of(request), TALK).conform.encode
    assert (made.crf, made.preset, made.max_kbit) == (crf, preset, None), "its own format has no cap"


def test_everything_in_a_render_reaches_its_recipes() -> None:
    request = read_request({"input": FULL_RENDER})
    assert isinstance(request, VideoRender)
    inputs = inputs_of(request)
    talk = talking.video_render(request, inputs, TALK)
    assert (talk.conform.cues, talk.conform.style) == (request.captions, request.caption_style)
    assert (talk.conform.width, talk.conform.height, talk.conform.fps, talk.conform.frames) == (1080, 1920, 30, 375)
    assert (talk.mix.music, talk.mix.ambience) == (inputs.ref("music_url"), inputs.ref("ambience_url"))
    assert [(e.audio, e.start, e.volume) for e in talk.mix.effects] == [(inputs.ref("sfx_tracks[0].url"), 2.5, 0.5)]
    assert (talk.mix.ducking, talk.mix.seconds, talk.mix.reel) == (request.ducking_config, 12.5, talk.conform.ref())
    assert [file.key for file in talk.upload.files] == ["videos/unique_id/final.mp4", "videos/unique_id/thumbnail.jpg"]


def test_a_preview_and_a_render_of_one_voice_share_the_lipsync() -> None:
    quick, full = asked("lipsync_only", job_id="a"), asked("video_render", job_id="b", format={"fps": 60})
    assert isinstance(quick, LipsyncOnly) and isinstance(full, VideoRender)
    one = talking.lipsync_only(quick, inputs_of(quick), TALK).lipsync
    assert one.fingerprint == talking.video_render(full, inputs_of(full), TALK).lipsync.fingerprint


@pytest.mark.parametrize(("fields", "where"), [
    ({"captions": [{"text": "a", "start": 0, "end": 1}, {"text": "b", "start": 2, "end": 3}]},
     "input.captions[1].start"),
    ({"sfx_tracks": [{"url": A, "start_time": 2.5}]}, "input.sfx_tracks[0].start_time"),
])
def test_what_would_begin_after_the_end_is_refused(fields: dict[str, Any], where: str) -> None:
    request = asked("video_render", **fields)
    assert isinstance(request, VideoRender)
    with pytest.raises(RequestInvalid, match=r"the audio lasts 2\.00 s") as caught:
        talking.video_render(request, inputs_of(request, seconds=2.0), TALK)
    assert caught.value.facts["field"] == where


def test_a_caption_that_lasts_too_long_ends_with_the_video() -> None:
    request = asked("video_render", captions=[{"text": "a", "start": 1, "end": 60}])
    assert isinstance(request, VideoRender)
    (cue,) = talking.video_render(request, inputs_of(request, seconds=2.0), TALK).conform.cues
    assert (cue.start, cue.end) == (1.0, 2.0)


def test_a_sound_without_length_is_refused() -> None:
    request = asked("lipsync_only")
    assert isinstance(request, LipsyncOnly)
    with pytest.raises(RequestInvalid, match=r"input\.audio: lasts under a frame"):
        talking.lipsync_only(request, inputs_of(request, seconds=0.0), TALK)


def test_a_personas_takes_start_from_its_picture_and_last_five_seconds() -> None:
    request = asked("persona_build", archetype="hero")
    assert isinstance(request, PersonaBuild)
    inputs = inputs_of(request)
    takes = personas.persona_build(request, inputs, CLIPS).takes
    assert {(t.first_frame, t.num_frames, t.fps, t.width, t.steps) for t in takes} == {
        (inputs.ref("primary_image"), 120, 24, 768, 30)}
    assert takes[3].prompt == "persona_123, hero, very intense expression, close-up"


def test_a_take_that_was_made_is_reused_among_others() -> None:
    spec = {"emotion": "happy", "angle": "front", "intensity": 0.4}
    alone, among = (asked("persona_build", takes_to_generate=takes) for takes in ([spec], [{}, spec]))
    assert isinstance(alone, PersonaBuild) and isinstance(among, PersonaBuild)
    first = personas.persona_build(alone, inputs_of(alone), CLIPS).takes[0]
    assert first.fingerprint == personas.persona_build(among, inputs_of(among), CLIPS).takes[1].fingerprint


def test_a_poster_job_makes_the_poster_of_a_film_with_the_same_seed() -> None:
    request = asked("poster_frame", seed=101, custom_actor_description="a woman", character_lora_strength=0.8)
    assert isinstance(request, PosterFrame)
    order = acting.poster_order(request, [lora("a")])
    made = acting.poster_frame(request, order, CHOICES)
    assert made.poster == persona.poster(order, order.cast[0], CHOICES)
    style, character = made.poster.loras
    assert (style.name, style.strength, character.name, character.strength) == (
        "SBai_style_101", 1.0, "0001_european_20_female", 0.8)
    assert "(0001_european_20_female, a woman) in a full body image" in made.poster.prompt
    assert made.poster.engine == CHOICES.posters


def test_another_seed_is_another_poster() -> None:
    made = []
    for seed in (None, 1, 42):
        request = asked("poster_frame", seed=seed)
        assert isinstance(request, PosterFrame)
        made.append(acting.poster_frame(request, acting.poster_order(request, [lora("a")]), CHOICES).poster.fingerprint)
    assert len(set(made)) == 3


def test_a_posters_key_has_the_user_where_there_is_one() -> None:
    keys = []
    for user in (None, "user_12345"):
        request = asked("poster_frame", user_id=user)
        assert isinstance(request, PosterFrame)
        made = acting.poster_frame(request, acting.poster_order(request, [lora("a")]), CHOICES)
        keys.append(made.upload.files[0].key)
    assert keys[0].startswith("actors/0001_european_20_female/poster_frames/poster_{timestamp}_")
    assert keys[1].startswith("characters/user_12345/0001_european_20_female/poster_frames/poster_")


def test_a_segments_fields_beat_its_tiers_figures() -> None:
    request = asked("segment", character="Temo.safetensors", quality="fast", num_frames=48, height=256, guidance=0,
                    seed=42, negative_prompt="rain", image=A, emotion="happy", intensity=1.0)
    assert isinstance(request, Segment)
    inputs = inputs_of(request)
    made = acting.segment(request, acting.cast(request, [lora("a")]), inputs, CLIPS).segment
    assert (made.num_frames, made.width, made.height, made.steps, made.cfg, made.seed) == (48, 512, 256, 20, 0, 42)
    assert (made.first_frame, made.negative) == (inputs.ref("image"), "rain")
    assert made.prompt == "waves, very happy expression, front view, temo"
    assert [(use.name, use.strength, use.sha256) for use in made.loras] == [("temo", 0.7, "a" * 64)]


def test_a_segment_may_follow_a_clip_and_keep_to_control_pictures() -> None:
    request = asked("segment", video=A, control=B, freedom=0.4, seed=1)
    assert isinstance(request, Segment)
    inputs = inputs_of(request)
    made = acting.segment(request, [], inputs, CLIPS).segment
    assert (made.follows, made.control, made.freedom) == (inputs.ref("video"), inputs.ref("control"), 0.4)
    assert [inputs.recipe(name).kind for name in ("video", "control")] == ["clip", "clip"]


def test_fields_that_came_later_leave_what_was_made_before_as_it_is() -> None:
    plain = asked("segment", seed=1)
    assert isinstance(plain, Segment)
    made = acting.segment(plain, [], inputs_of(plain), CLIPS).segment
    freer = made.model_copy(update={"freedom": 0.4})
    assert made.fingerprint == "adb6fa4668ee484255b57516e096ffbbf204f070f5ce5f44fbd85a2b09cff76c"
    assert freer.fingerprint != made.fingerprint


def test_a_random_seed_makes_a_job_of_its_own() -> None:
    ids = set()
    for seed in (1, 2):
        request = asked("segment").settled(lambda seed=seed: seed)        # type: ignore[misc]
        assert isinstance(request, Segment)
        ids.add(acting.segment(request, (), Inputs({}), CLIPS).job_id)
    assert len(ids) == 2


def test_an_animation_is_a_film_of_one_scene_with_equal_characters_and_no_poster() -> None:
    request = asked("animation", character=None, characters=["temo", "felfel.safetensors"], seed=1, num_frames=32,
                    dialogue_text="[S1] Temo: Look! [S2] Felfel: Amazing.")
    assert isinstance(request, Animation)
    order = acting.animation_order(request, [lora("a"), lora("b")])
    assert [(a.id, a.lora_strength) for a in order.cast] == [("temo", 0.7), ("felfel", 0.7)]
    assert [(line.speaker, line.text) for line in order.scenes[0].lines] == [("temo", "Look!"), ("felfel", "Amazing.")]
    assert (order.poster, order.takes, order.captions.mode) == (None, (), "off")
    assert order.delivered == Format(width=1024, height=1024, fps=Fraction(24))
    assert (order.generate.steps, order.generate.cfg, order.generate.px) == (50, 12.0, 1024)


def test_an_animations_frames_are_exactly_those_asked_for() -> None:
    from callsheet import plan

    for frames in range(5, 121):
        request = asked("animation", num_frames=frames, seed=1)
        assert isinstance(request, Animation)
        film = plan.film(acting.animation_order(request, [lora("a")]), CHOICES, {})
        assert (film.timeline.frames, [s.num_frames for s in film.segments]) == (frames, [frames])
        assert film.posters == film.takes == () and film.segments[0].first_frame is None


@pytest.mark.parametrize(("name", "actor_id"), [
    ("temo", "temo"), ("Temo.safetensors", "temo"), ("loras/My Actor.safetensors", "my-actor"),
    ("s3://bucket/a/0001_european_20_female", "0001_european_20_female"), ("x" * 80, "x" * 64)])
def test_a_loras_name_is_an_actors_id(name: str, actor_id: str) -> None:
    assert acting.actor_id_of(name) == actor_id


def test_a_name_without_letters_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="is no name"):
        acting.actor_id_of("???")


def test_a_character_that_is_named_twice_is_refused() -> None:
    request = asked("animation", character=None, characters=["temo", "Temo.safetensors"])
    assert isinstance(request, Animation)
    with pytest.raises(RequestInvalid, match="temo is there twice"):
        acting.cast(request, [lora("a"), lora("a")])


# ---- replies


def test_a_lipsync_reply_has_the_sources_shape() -> None:
    request = asked("lipsync_only", job_id="unique_id", quality="fast")
    assert isinstance(request, LipsyncOnly)
    talk = talking.lipsync_only(request, inputs_of(request), TALK)
    urls = {"videos/unique_id/lipsync.mp4": "https://r2.dev/videos/unique_id/lipsync.mp4"}
    assert (talk.output(urls), talk.metadata(urls)) == (
        {"video": "https://r2.dev/videos/unique_id/lipsync.mp4"}, {"quality": "fast", "job_id": "unique_id"})


@pytest.mark.parametrize(("fps", "told"), [(30, 30), (29.97, 29.97), ("24000/1001", 23.976)])
def test_a_render_reply_has_the_sources_shape(fps: object, told: float) -> None:
    request = read_request({"input": FULL_RENDER | {"format": {"width": 1080, "height": 1920, "fps": fps}}})
    assert isinstance(request, VideoRender)
    talk = talking.video_render(request, inputs_of(request), TALK)
    urls = {file.key: f"https://r2.dev/{file.key}" for file in talk.upload.files}
    assert talk.output(urls) == {"video": "https://r2.dev/videos/unique_id/final.mp4",
                                 "thumbnail": "https://r2.dev/videos/unique_id/thumbnail.jpg"}
    metadata = talk.metadata(urls)
    assert abs(metadata.pop("duration") - 12.5) < 1 / 23
    assert metadata == {"job_id": "unique_id", "quality": "premium",
                        "format": {"width": 1080, "height": 1920, "fps": told}}


def test_a_persona_reply_has_the_sources_shape() -> None:
    request = asked("persona_build", archetype="hero", takes_to_generate=[
        {"emotion": "neutral", "angle": "front", "intensity": 0.5}])
    assert isinstance(request, PersonaBuild)
    made = personas.persona_build(request, inputs_of(request), CLIPS)
    url = "https://r2.dev/personas/persona_123/takes/take_0.mp4"
    urls = {"personas/persona_123/takes/take_0.mp4": url}
    assert (made.output(urls), made.metadata(urls)) == ({}, {
        "persona_id": "persona_123", "archetype": "hero", "base_takes": [
            {"id": "persona_123_take_0", "emotion": "neutral", "angle": "front", "intensity": 0.5, "video_url": url,
             "duration": 5}]})


def test_a_reply_of_success_has_four_fields() -> None:
    reply = Reply(success=True, output={"video": "u"}, metadata={"job_id": "x"}, duration_ms=15234)
    assert json.loads(reply.model_dump_json()) == {
        "success": True, "output": {"video": "u"}, "metadata": {"job_id": "x"}, "duration_ms": 15234}


def test_a_failed_reply_says_what_who_and_what_to_do() -> None:
    request = asked("lipsync_only", job_id="unique_id")
    error = DownloadFailed(url="https://example.com/a", detail="HTTP 503")
    assert json.loads(Reply.failed(request, error, 12).model_dump_json()) == {
        "success": False, "output": {}, "metadata": {"job_id": "unique_id", "quality": "standard"}, "duration_ms": 12,
        "error": {"code": "download.failed", "message": "https://example.com/a could not be fetched (HTTP 503)",
                  "remedy": "check the address and the network, then run again"}}


def test_a_reply_to_an_envelope_that_could_not_be_read_names_nobody() -> None:
    assert Reply.failed(None, RequestInvalid(field="input", detail="is missing"), 0).metadata == {}


def test_a_replys_text_is_read_back_as_the_same_reply() -> None:
    reply = Reply.failed(asked("segment"), ValueError("x"), 1)
    assert reply.error is not None and reply.error.message == "ValueError: x"
    assert Reply.model_validate_json(reply.model_dump_json()) == reply


# ---- restored faces and larger pictures of talking ones

RESTORE, ENLARGE = EngineId(name="gfpgan", version=1), EngineId(name="realesrgan_gpu", version=1)
WITH_NETWORKS = TalkEngines(lipsync=ENGINE, restore=RESTORE, upscale=ENLARGE, destination="file:///out")


def stages(talk: talking.Talk) -> list[str]:
    return [recipe.stage.value for recipe in talk.recipes()]


@pytest.mark.parametrize(("quality", "restored"), [("draft", False), ("standard", True), ("premium", True)])
def test_a_render_restores_faces_and_enlarges_from_standard_upwards(quality: str, restored: bool) -> None:
    request = asked("video_render", quality=quality)
    assert isinstance(request, VideoRender)
    talk = talking.video_render(request, inputs_of(request), WITH_NETWORKS)
    expected = ["lipsync", "restore", "upscale"] if restored else ["lipsync"]
    assert stages(talk) == [*expected, "conform", "mix", "upload"]
    assert talk.conform.clip == talk.recipes()[len(expected) - 1].ref()


@pytest.mark.parametrize(("size", "factor"), [((600, 800), 3), ((200, 300), 4), ((1080, 1920), None)])
def test_a_picture_is_enlarged_only_as_far_as_its_video_is_larger(size: tuple[int, int], factor: int | None) -> None:
    request = asked("video_render")
    assert isinstance(request, VideoRender)
    talk = talking.video_render(request, inputs_of(request, size=size), WITH_NETWORKS)
    assert [recipe.factor for recipe in talk.upscale] == ([factor] if factor else [])
    assert all(recipe.clip == talk.restore[0].ref() for recipe in talk.upscale)


def test_a_lipsync_job_restores_faces_and_keeps_the_pictures_size() -> None:
    for quality, expected in (("fast", ["lipsync"]), ("standard", ["lipsync", "restore"])):
        request = asked("lipsync_only", quality=quality)
        assert isinstance(request, LipsyncOnly)
        talk = talking.lipsync_only(request, inputs_of(request), WITH_NETWORKS)
        assert stages(talk) == [*expected, "conform", "mix", "upload"], quality


def test_where_no_network_is_a_talking_picture_is_what_it_was() -> None:
    request = asked("video_render")
    assert isinstance(request, VideoRender)
    talk = talking.video_render(request, inputs_of(request), TALK)
    assert stages(talk) == ["lipsync", "conform", "mix", "upload"]
    assert talk.conform.clip == talk.lipsync.ref()


def test_freedom_without_a_clip_to_leave_is_told_and_not_ignored() -> None:
    with pytest.raises(RequestInvalid, match="freedom is given, and no video"):
        read_request({"input": {"job_type": "segment", "prompt": "a street", "freedom": 0.2}})
    with_clip = {"job_type": "segment", "prompt": "a street", "freedom": 0.2, "video": "https://a.example/a.mp4"}
    assert read_request({"input": with_clip})
