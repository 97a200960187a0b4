"""The OpenAI engine against a loopback server: the request, every way it can fail, and the key's secrecy."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import logging
import pickle
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from callsheet.engines import openai_api
from callsheet.engines.base import Asked
from callsheet.engines.choose import choose
from callsheet.engines.openai import MAX_PROMPT, MODEL, OpenAIEngine
from callsheet.engines.openai_answers import seconds
from callsheet.engines.openai_api import ImagesApi
from callsheet.errors import (
    AddressRefused,
    AnswerLost,
    CallsheetError,
    Cancelled,
    DownloadFailed,
    DownloadGone,
    EngineError,
    EngineUnable,
    FrameFailed,
    PromptRefused,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnpaid,
    SettingInvalid,
    SettingMissing,
)
from callsheet.media.probe import probe
from callsheet.models import Family
from callsheet.presets import Quality
from callsheet.settings import Settings
from callsheet.store.base import Outcome
from tests.support.clips import AVA, STYLE, clip_recipe, poster_recipe, ref, room
from tests.support.openai_server import KEY, Answer, Server, entry, png, problem, running

ID = OpenAIEngine(KEY).id.model_copy(update={"model": "gpt-image-1.5/low"})


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as it:
        yield it


def engine(server: Server, key: SecretStr | None = KEY, timeout_s: float = 30.0) -> OpenAIEngine:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return OpenAIEngine(key, ImagesApi(server.url, timeout_s), frozenset({(host, int(port))}))


def paint(folder: Path, painter: OpenAIEngine, **changes: Any) -> Outcome:
    return painter.paint(poster_recipe(ID, **{"label": "Ava", **changes}), room(folder / "room"))


def test_the_request_is_as_the_api_documents_it(tmp_path: Path, server: Server) -> None:
    paint(tmp_path, engine(server), negative="blurry, text")
    seen = server.seen[0]
    assert (seen.path, seen.authorization) == ("/v1/images/generations", f"Bearer {KEY.get_secret_value()}")
    assert seen.body == {
        "model": "gpt-image-1.5", "prompt": "vibrant artistic illustration\n\nAvoid: blurry, text", "n": 1,
        "size": "1024x1024", "quality": "low", "output_format": "png", "background": "opaque",
    }


@pytest.mark.parametrize(("width", "height", "asked"), [
    (1024, 1024, "1024x1024"), (512, 512, "1024x1024"), (1280, 720, "1536x1024"), (720, 1280, "1024x1536"),
    (1100, 1000, "1024x1024"), (300, 250, "1024x1024"), (2048, 512, "1536x1024"),
])
def test_the_nearest_shape_is_asked_for_and_fitted_exactly(
    tmp_path: Path, server: Server, width: int, height: int, asked: str
) -> None:
    outcome = paint(tmp_path, engine(server), width=width, height=height)
    assert server.seen[0].body["size"] == asked
    with Image.open(outcome.files["main"]) as image:
        assert (image.format, image.size) == ("JPEG", (width, height))
        left, right = image.getpixel((width // 4, height // 2)), image.getpixel((3 * width // 4, height // 2))
    assert left != right, "the middle is cut out, so both halves are there"
    made = tuple(map(int, asked.split("x")))
    assert any("enlarged" in warning for warning in outcome.warnings) is (width > made[0] or height > made[1])


def test_what_a_picture_does_not_show_is_said_with_it(tmp_path: Path, server: Server) -> None:
    outcome = paint(tmp_path, engine(server), loras=(STYLE, AVA))
    assert outcome.warnings == (
        "Ava: gpt-image-1.5/low made it from words alone: seed, steps, sampler and guidance have no effect",
        "Ava: openai loads no LoRA, so it does not show who is meant by SBai_style_101, Ava",
    )
    assert outcome.facts["usage"] == {"total_tokens": 1100} and outcome.made_by == "openai"
    assert len(paint(tmp_path, engine(server), loras=()).warnings) == 1


def test_a_picture_that_comes_by_address_is_fetched(tmp_path: Path, server: Server) -> None:
    server.files["/made.png"] = png("1024x1024", "x")
    server.answers.append(entry(url=f"{server.url}/made.png", revised_prompt="a better one"))
    outcome = paint(tmp_path, engine(server))
    assert outcome.facts["revised_prompt"] == "a better one"
    assert [path.name for path in (tmp_path / "room").iterdir()] == ["poster.jpg"]


@pytest.mark.parametrize(("url", "kind"), [
    ("http://127.0.0.1:1/secret", AddressRefused), ("http://10.0.0.1/x", AddressRefused),
    ("file:///etc/passwd", AddressRefused), ("{server}/gone.png", DownloadGone),
])
def test_an_address_is_opened_as_a_strangers(
    tmp_path: Path, server: Server, url: str, kind: type[CallsheetError]
) -> None:
    server.answers.append(entry(url=url.format(server=server.url)))
    with pytest.raises(kind):
        paint(tmp_path, engine(server))


@pytest.mark.parametrize(("answer", "kind", "says", "again"), [
    (problem(401, "invalid_api_key", "Incorrect API key"), ProviderDenied, "OPENAI_API_KEY", False),
    (problem(403, None, "Your organization must be verified"), ProviderDenied, "must be verified", False),
    (problem(404, "model_not_found", "does not exist"), EngineUnable, "instead of gpt-image-1.5", False),
    (problem(400, "moderation_blocked", "rejected", "image_generation_user_error"), PromptRefused,
     "refused the words of Ava.*change the prompt", False),
    (problem(400, "content_policy_violation", "rejected"), PromptRefused, "rejected", False),
    (problem(400, None, "Your request was rejected as a result of our safety system."), PromptRefused, "safety", False),
    (problem(400, "billing_hard_limit_reached", "Billing hard limit"), ProviderUnpaid, "OpenAI account", False),
    (problem(429, "insufficient_quota", "exceeded your current quota"), ProviderUnpaid, "add credit", False),
    (problem(429, "rate_limit_exceeded", "slow down", retry_after="7"), ProviderBusy, "429: slow down", True),
    (problem(400, "invalid_value", "bad size"), ProviderRefused, "400: bad size.*check the picture's prompt", False),
    (problem(500, None, "oops", "server_error"), ProviderError, "500: oops", True),
    (Answer(503, b"<html>busy</html>"), ProviderError, "503: <html>busy", True),
    (Answer(502, b""), ProviderError, "502: no message", True),
    (Answer(408, b"[]"), ProviderError, "408", True),
    (Answer(307, b"", {"location": "http://127.0.0.1:9/"}), ProviderError, "307", True),
    (Answer(200, b"{}"), AnswerLost, "no picture is in its answer", False),
    (Answer(200, b"oops"), AnswerLost, "no picture is in its answer: 'oops'", False),
    (Answer(200, b'{"data": []}'), AnswerLost, "no picture", False),
    (Answer(200, b'{"data": ["x"]}'), AnswerLost, "no picture", False),
    (entry(b64_json="!!"), AnswerLost, "no picture", False),
    (entry(b64_json=base64.b64encode(b"no picture").decode()), AnswerLost, "what it sent is no picture", False),
    (Answer(200, b"{", claimed_length=900), AnswerLost, "RemoteProtocolError", False),
], ids=lambda value: f"{value.status}-{value.body[:40]!r}" if isinstance(value, Answer) else "")
def test_each_answer_becomes_the_error_that_says_what_to_do(
    tmp_path: Path, server: Server, answer: Answer, kind: type[CallsheetError], says: str, again: bool
) -> None:
    server.answers.append(answer)
    with pytest.raises(kind, match=says) as failed:
        paint(tmp_path, engine(server))
    assert type(failed.value) is kind and failed.value.retryable is again
    assert list((tmp_path / "room").iterdir()) == [], "a failed picture leaves no file"
    assert len(server.seen) == 1, "a redirect must not be followed: the key would go along"


def test_a_busy_service_says_how_long_it_wants_to_be_left_alone(tmp_path: Path, server: Server) -> None:
    server.answers.append(problem(429, "rate_limit_exceeded", "slow down", retry_after="7"))
    with pytest.raises(ProviderBusy) as busy:
        paint(tmp_path, engine(server))
    assert busy.value.facts["retry_after_s"] == 7.0


@pytest.mark.parametrize(("said", "wait_s"), [
    ("20", 20.0), ("0.5", 0.5), ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0), ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
    ("", None), ("soon", None), ("nan", None), ("inf", None), ("-3", 0.0),
])
def test_a_wait_is_read_from_numbers_and_dates(said: str, wait_s: float | None) -> None:
    assert seconds(said, lambda: datetime(2026, 11, 20, 12, tzinfo=UTC)) == wait_s


def test_an_answer_that_drips_is_ended_at_the_total_deadline(tmp_path: Path, server: Server) -> None:
    server.answers.append(Answer(200, bytes(6000), drip_s=0.05))
    with pytest.raises(AnswerLost, match=r"no end after 0\.4 s.*second time") as failed:
        paint(tmp_path, engine(server, timeout_s=0.4))
    assert not failed.value.retryable, "it may be paid already"


def test_a_server_that_is_not_there_can_be_tried_again(tmp_path: Path) -> None:
    with running() as gone:
        url = gone.url
    with pytest.raises(DownloadFailed, match="ConnectError") as failed:
        paint(tmp_path, OpenAIEngine(KEY, ImagesApi(url)))
    assert failed.value.retryable


def test_progress_is_told_while_it_is_at_work_and_cancelling_ends_it_soon(tmp_path: Path, server: Server) -> None:
    server.answers.append(Answer(200, b"{}", wait_s=4.0))
    told: list[str] = []

    def cancel(share: float, what: str) -> None:
        told.append(what)
        if len(told) == 2:
            raise Cancelled(what="a poster")

    begun = time.monotonic()
    watched = dataclasses.replace(room(tmp_path / "room"), progress=cancel)
    with pytest.raises(Cancelled):
        engine(server).paint(poster_recipe(ID), watched)
    took = time.monotonic() - begun
    assert told[1] == "gpt-image-1.5 is at work" and took < 3.5, f"{told}, {took:.1f} s"


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr(" \n")])
def test_without_a_key_nothing_is_asked_and_the_setting_is_named(
    tmp_path: Path, server: Server, key: SecretStr | None
) -> None:
    unset = engine(server, key)
    assert not unset.able().able and unset.able().remedy == "set OPENAI_API_KEY"
    with pytest.raises(SettingMissing, match="OpenAI API key is required: set OPENAI_API_KEY"):
        paint(tmp_path, unset)
    assert server.seen == []


def test_a_key_with_a_line_end_from_its_file_works_and_one_with_a_break_inside_does_not(
    tmp_path: Path, server: Server
) -> None:
    paint(tmp_path, engine(server, SecretStr(f"{KEY.get_secret_value()}\n")))
    with pytest.raises(SettingMissing, match="without spaces"):
        paint(tmp_path, engine(server, SecretStr("sk-canary\nx: y012345")))
    assert len(server.seen) == 1


@pytest.mark.parametrize("url", ["http://api.example.com", "ftp://api.example.com", "api.example.com"])
def test_a_key_never_travels_unencrypted(url: str) -> None:
    with pytest.raises(AddressRefused):
        ImagesApi(url)


@pytest.mark.parametrize("url", ["http://pictures.example.com", "http://localhost.example.com", "https://a b"])
def test_a_setting_that_would_send_the_key_unencrypted_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid, match="CALLSHEET_OPENAI_URL"):
        Settings.load({"CALLSHEET_OPENAI_URL": url})


def test_another_service_is_a_setting(tmp_path: Path, server: Server) -> None:
    there = Settings.load({"CALLSHEET_OPENAI_URL": server.url, "OPENAI_API_KEY": KEY.get_secret_value()})
    paint(tmp_path, OpenAIEngine.of(there))
    assert len(server.seen) == 1


@pytest.mark.parametrize("prompt", ["", "  \n", "x" * (MAX_PROMPT + 1)])
def test_a_prompt_that_the_api_does_not_take_is_refused_before_anything_is_paid(
    tmp_path: Path, server: Server, prompt: str
) -> None:
    with pytest.raises(EngineUnable, match="describe it in 1 to 32000"):
        paint(tmp_path, engine(server), prompt=prompt)
    assert server.seen == []


def test_it_works_inside_a_running_event_loop(tmp_path: Path, server: Server) -> None:
    async def inside() -> Outcome:
        return paint(tmp_path, engine(server))

    assert asyncio.run(inside()).files["main"].is_file()


@pytest.mark.parametrize("case", ["refused", "echoed", "gone", "drip", "no json"])
def test_the_key_is_in_no_error_and_no_log(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    caplog.set_level(logging.DEBUG)
    key = SecretStr("sk-wrong-canary-0123") if case == "refused" else KEY
    server.answers += {
        "echoed": [Answer(500, f"bad header authorization: {KEY.get_secret_value()}".encode())],
        "drip": [Answer(200, bytes(600), drip_s=0.05)],
        "no json": [Answer(200, b"oops")],
    }.get(case, [])
    if case == "gone":
        with running() as gone:
            server.url = gone.url
    asked = engine(server, key, timeout_s=0.5)
    with pytest.raises(CallsheetError) as failed:
        paint(tmp_path, asked)
    error = failed.value
    shown = [str(error), repr(error), repr(asked), repr(asked.__dict__), pickle.dumps(error).decode("latin-1"),
             "".join(traceback.format_exception(error)), caplog.text]
    assert [text for text in shown if "canary" in text] == []


# ---- what it is cast for


@pytest.mark.parametrize(("asked", "quality", "model"), [
    ("", Quality.DRAFT, f"{MODEL}/low"), ("flux1-dev-fp8", Quality.STANDARD, f"{MODEL}/medium"),
    ("flux1-dev", Quality.HIGH, f"{MODEL}/high"), ("gpt-image-1", Quality.CINEMATIC, "gpt-image-1/high"),
    ("gpt-image-2/low", Quality.CINEMATIC, "gpt-image-2/low"),
    ("gpt-image-1-mini", Quality.DRAFT, "gpt-image-1-mini/low"),
])
def test_a_poster_gets_the_apis_model_in_the_tiers_quality(asked: str, quality: Quality, model: str) -> None:
    families = {"loras/0001.safetensors": Family.SDXL}
    casting = OpenAIEngine(KEY).cast(Asked(families=families, poster_model=asked, clips=False, quality=quality))
    assert (casting.poster, casting.clips, casting.unloaded) == (model, "", frozenset(families))


@pytest.mark.parametrize("model", ["sdxl-base-1.0", "gpt-image-", "gpt-image-1/best", "../x"])
def test_a_model_of_others_is_refused_with_one_it_has(model: str) -> None:
    with pytest.raises(EngineUnable, match=f"no model '{model}'.*set the poster's model to {MODEL}"):
        OpenAIEngine(KEY).cast(Asked(poster_model=model, clips=False))


def test_clips_are_refused_before_anything_is_planned() -> None:
    with pytest.raises(EngineUnable, match="openai cannot make clips .it makes single pictures"):
        OpenAIEngine(KEY).cast(Asked())


def test_auto_never_takes_it_and_its_name_does() -> None:
    keyed = Settings.load({"OPENAI_API_KEY": KEY.get_secret_value()})
    assert choose("auto", keyed).id.name != "openai"
    assert choose("openai", keyed).id.name == "openai"
    named = Settings.load({"OPENAI_API_KEY": KEY.get_secret_value(), "CALLSHEET_ENGINE": "openai"})
    assert choose("auto", named).id.name == "openai"


# ---- single frames


def test_a_clip_of_one_frame_is_one_picture(tmp_path: Path, server: Server) -> None:
    recipe = clip_recipe(ID, num_frames=1, width=320, height=192, negative="blurry")
    outcome = engine(server).shoot(recipe, room(tmp_path / "room"))
    facts = probe(outcome.files["main"])
    assert (facts.frames, facts.width, facts.height, facts.video_codec) == (1, 320, 192, "h264")
    with Image.open(outcome.files["last_frame"]) as image:
        assert (image.format, image.size) == ("PNG", (320, 192))
    assert server.seen[0].body["prompt"] == "a harbour\n\nAvoid: blurry" and server.seen[0].body["size"] == "1536x1024"
    assert any("Ava" in warning for warning in outcome.warnings)


@pytest.mark.parametrize("changes", [{"num_frames": 2}, {"num_frames": 1, "first_frame": ref("poster")}])
def test_more_frames_or_a_first_picture_are_refused_before_anything_is_paid(
    tmp_path: Path, server: Server, changes: dict[str, Any]
) -> None:
    with pytest.raises(EngineUnable, match="single pictures, from words alone"):
        engine(server).shoot(clip_recipe(ID, **changes), room(tmp_path / "room"))
    assert server.seen == []


def test_a_frame_that_did_not_come_fails_in_the_sources_words(tmp_path: Path, server: Server) -> None:
    server.answers += [Answer(200, b"{}"), problem(400, "moderation_blocked", "rejected")]
    one = clip_recipe(ID, num_frames=1, label="scene 2")
    with pytest.raises(FrameFailed, match="AI frame generation failed for scene 2 .*run again"):
        engine(server).shoot(one, room(tmp_path / "room"))
    with pytest.raises(PromptRefused):
        engine(server).shoot(one, room(tmp_path / "room"))


def test_a_picture_with_transparency_or_another_mode_is_taken(tmp_path: Path, server: Server) -> None:
    for mode in ("RGBA", "L", "P"):
        out = io.BytesIO()
        Image.fromarray(np.full((64, 64), 90, np.uint8)).convert(mode).save(out, "PNG")
        server.answers.append(entry(b64_json=base64.b64encode(out.getvalue()).decode()))
        with Image.open(paint(tmp_path, engine(server)).files["main"]) as image:
            assert (image.mode, image.size) == ("RGB", (256, 256)), mode


def test_a_paid_picture_whose_address_fails_is_fetched_again_and_not_paid_again(tmp_path: Path, server: Server) -> None:
    server.broken = 2
    server.files["/made.png"] = png("1024x1024", "x")
    server.answers += [entry(url=f"{server.url}/made.png")] * 2
    paint(tmp_path, engine(server))
    server.broken = 9
    with pytest.raises(DownloadGone, match="HTTP 503, 3 times; the picture is paid") as failed:
        paint(tmp_path, engine(server))
    assert not failed.value.retryable and len(server.seen) == 2


def test_a_picture_that_comes_in_the_moment_in_which_it_is_looked_for_is_not_lost(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Future[bytes]):
        def result(self, timeout: float | None = None) -> bytes:
            if timeout is None:
                return super().result(0)
            super().exception(5)
            raise TimeoutError

    async def work() -> bytes:
        return b"paid"

    class Threads(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            late = Late()
            super().submit(lambda: late.set_result(fn()))
            return late

    monkeypatch.setattr(openai_api, "ThreadPoolExecutor", Threads)
    assert openai_api._attended(work, lambda: None) == b"paid"


def test_an_answer_that_echoes_the_key_does_not_tell_it(tmp_path: Path, server: Server) -> None:
    server.answers.append(Answer(200, f"you sent {KEY.get_secret_value()}".encode()))
    with pytest.raises(EngineError, match=r"you sent \[key\]") as failed:
        paint(tmp_path, engine(server))
    assert KEY.get_secret_value() not in str(failed.value)
