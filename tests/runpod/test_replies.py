from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from callsheet.errors import Cancelled, JobFailed, JobTimedOut, NoImages, ProviderError
from callsheet.runpod.client import JobState, JobStatus
from callsheet.runpod.replies import (
    failure,
    flow_run_reply,
    pictures,
    shoot_reply,
    stage_reply,
    told,
    warnings,
)


def picture(kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.effect_noise((32, 32), 64).convert("RGB").save(data, kind)
    return data.getvalue()


PNG = picture()
B64 = base64.b64encode(PNG).decode()
URL = "https://bucket.s3.example/a.png?X-Amz-Signature=0123"


def done(output: Any, state: str = "COMPLETED", **more: Any) -> JobStatus:
    return JobStatus(id="j1", state=JobState(state), output=output, **more)


# ---- pictures

@pytest.mark.parametrize("output", [
    {"images": [{"filename": "a.png", "type": "base64", "data": B64}]},
    {"images": [{"filename": "a.png", "type": "base64", "data": f"data:image/png;base64,{B64}"}]},
    {"images": [{"filename": "a.png", "type": "base64", "data": base64.encodebytes(PNG).decode()}]},
    {"images": [B64]},
    {"images": [f"data:image/png;base64,{B64}"]},
    {"images": [{"name": "a.png", "image": B64}]},
    {"images": B64},
    {"message": B64, "status": "success"},
    {"job_results": {"images": [{"filename": "a.png", "type": "base64", "data": B64}]}},
    {"job_results": [{"images": [B64]}]},
    [{"images": [B64]}],
], ids=range(11))
def test_bytes_are_found_in_every_shape(output: Any) -> None:
    found, = pictures(done(output))
    assert found.data == PNG
    assert found.media_type == "image/png"
    assert found.url is None


@pytest.mark.parametrize("output", [
    {"images": [{"filename": "a.png", "type": "s3_url", "data": URL}]},
    {"images": [URL]},
    {"images": [{"url": URL}]},
    {"message": URL, "status": "success"},
    {"job_results": {"images": [URL]}},
], ids=range(5))
def test_addresses_are_found_in_every_shape(output: Any) -> None:
    found, = pictures(done(output))
    assert (found.url, found.data) == (URL, None)
    assert "Signature" not in repr(found)


def test_many_pictures_keep_their_order_and_names() -> None:
    jpeg = base64.b64encode(picture("JPEG")).decode()
    found = pictures(done({"images": [
        {"filename": "b.png", "type": "base64", "data": B64},
        {"filename": "a.jpg", "type": "base64", "data": jpeg},
        URL,
    ]}))
    assert [each.name for each in found] == ["b.png", "a.jpg", ""]
    assert [each.media_type for each in found] == ["image/png", "image/jpeg", ""]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_whole_pictures_are_taken_and_cut_ones_refused(kind: str) -> None:
    data = picture(kind)
    found, = pictures(done({"images": [base64.b64encode(data).decode()]}))
    assert found.media_type == f"image/{kind.lower()}"
    for cut in (len(data) // 2, len(data) - 3):
        with pytest.raises(ProviderError, match="cut short"):
            pictures(done({"images": [base64.b64encode(data[:cut]).decode()]}))


def test_base64_that_ends_in_the_middle_of_a_byte_is_cut_short() -> None:
    with pytest.raises(ProviderError, match="image 2 of job j1, which is cut short"):
        pictures(done({"images": [B64, B64[:101]]}))


def test_a_clip_is_taken_when_its_boxes_end_with_it() -> None:
    clip = (b"\0\0\0\x18ftypisom" + b"\0" * 12) + (b"\0\0\x01\x00mdat" + b"x" * 248)
    found, = pictures(done({"images": [base64.b64encode(clip).decode()]}))
    assert found.media_type == "video/mp4"
    with pytest.raises(ProviderError, match="cut short"):
        pictures(done({"images": [base64.b64encode(clip[:-9]).decode()]}))


@pytest.mark.parametrize("output", [
    {"status": "success_no_images", "images": []},
    {"images": []},
    {"images": None, "status": "success"},
    {"status": "success"},
    {"job_results": {}},
    {"images": [{"filename": "a.png"}]},
    {"images": [17]},
    {"images": ["no image was generated"]},
    {"images": [base64.b64encode(b"<html>not found</html>" * 9).decode()]},
    {"message": "Error: could not reach ComfyUI", "status": "error"},
], ids=range(10))
def test_an_output_without_a_picture_says_so_in_the_known_words(output: Any) -> None:
    with pytest.raises(NoImages, match="No images in RunPod output"):
        pictures(done(output))


@pytest.mark.parametrize("output", [None, {}, [], ""])
def test_completed_without_an_output_is_an_error_that_may_pass(output: Any) -> None:
    with pytest.raises(ProviderError, match="completed without an output") as caught:
        pictures(done(output))
    assert caught.value.retryable


def test_a_failed_workflow_is_a_failure_even_with_a_picture() -> None:
    output = {"images": [B64], "errors": ["Workflow execution error: Node 7 ran out of memory"]}
    with pytest.raises(JobFailed, match="Node 7 ran out of memory"):
        pictures(done(output))


def test_a_complaint_beside_a_picture_is_a_warning() -> None:
    status = done({"images": [B64], "errors": ["Failed to fetch image b.png:\n404", ""]})
    assert len(pictures(status)) == 1
    assert warnings(status) == ["Failed to fetch image b.png: 404"]


def test_complaints_without_a_picture_are_the_reason() -> None:
    with pytest.raises(NoImages, match="Failed to fetch image"):
        pictures(done({"errors": ["Failed to fetch image b.png"]}))


def test_a_deep_output_ends() -> None:
    output: Any = {"images": [B64]}
    for _ in range(100):
        output = {"job_results": output}
    with pytest.raises(NoImages):
        pictures(done(output))


# ---- failures

OURS = {"code": "lora.wrong_family", "message": "a.safetensors is a sdxl LoRA", "remedy": "train it on flux"}


@pytest.mark.parametrize("error", [OURS, json.dumps(OURS)])
def test_our_handlers_error_keeps_its_code_and_remedy(error: Any) -> None:
    found = failure(done(None, "FAILED", error=error))
    assert isinstance(found, JobFailed)
    assert str(found) == "job j1 failed: a.safetensors is a sdxl LoRA: train it on flux"
    assert (found.facts["job_code"], found.facts["job_retryable"]) == ("lora.wrong_family", False)


def test_an_error_inside_a_completed_output_is_a_failure_too() -> None:
    assert isinstance(failure(done({"error": OURS})), JobFailed)
    with pytest.raises(JobFailed):
        stage_reply(done({"error": "boom"}))


def test_whether_a_failure_may_pass_is_as_our_own_tree_says() -> None:
    passing = told(done(None, "FAILED", error={"code": "store.failed", "message": "m"}))
    assert passing is not None and passing.retryable
    unknown = told(done(None, "FAILED", error={"code": "next.year", "message": "m"}))
    assert unknown is not None and not unknown.retryable


def test_an_exception_of_the_workers_loop_is_one_line() -> None:
    error = json.dumps({"error_type": "<class 'RuntimeError'>", "error_message": "CUDA error:\n device lost",
                        "error_traceback": "Traceback ...", "hostname": "h"})
    found = told(done(None, "FAILED", error=error))
    assert found is not None
    assert found.message == "RuntimeError: CUDA error: device lost"


def test_plain_words_and_no_words_are_failures() -> None:
    assert "out of memory" in str(failure(done(None, "FAILED", error="out of memory")))
    assert "it gave no reason" in str(failure(done(None, "FAILED")))


def test_a_time_out_and_a_cancel_have_their_own_errors() -> None:
    late = failure(done(None, "TIMED_OUT", execution_s=601.5), limit_s=600)
    assert isinstance(late, JobTimedOut)
    assert "after its 600 s" in str(late)
    assert isinstance(failure(done(None, "CANCELLED")), Cancelled)


@pytest.mark.parametrize("state", ["COMPLETED", "IN_PROGRESS", "IN_QUEUE"])
def test_what_did_not_fail_has_no_failure(state: str) -> None:
    assert failure(done({"a": 1}, state)) is None


# ---- our handler

STAGE = {"stage": "segments", "fingerprint": "f" * 64, "artifacts": {"main": "a" * 64}, "cached": True}


def test_our_handlers_replies_are_read() -> None:
    reply = stage_reply(done(STAGE | {"a field of next year": 1}))
    assert (reply.stage, reply.artifacts, reply.cached) == ("segments", {"main": "a" * 64}, True)
    assert flow_run_reply(done({"exit_code": 3})).exit_code == 3


def test_a_shoots_reply_has_each_actors_failure() -> None:
    failed = shoot_reply(done({"failed": {"0001": OURS, "0002": {"code": "provider.busy", "message": "m"}}})).failed
    assert failed["0001"].remedy == "train it on flux"
    assert failed["0002"].retryable
    assert shoot_reply(done({"failed": {}})).failed == {}


@pytest.mark.parametrize("output", [{"exit_code": "x"}, {"done": True}, "done", [1]])
def test_a_reply_of_another_version_is_an_error_with_a_remedy(output: Any) -> None:
    for read in (stage_reply, flow_run_reply, shoot_reply):
        with pytest.raises(ProviderError):
            read(done(output))


def test_a_job_that_is_not_over_has_no_reply() -> None:
    with pytest.raises(ProviderError, match="IN_PROGRESS"):
        stage_reply(done({"frame": 7}, "IN_PROGRESS"))
