"""Retries follow the error's own word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prefect.states import Completed, Failed, State

from callsheet.errors import (
    CallsheetError,
    DownloadFailed,
    EngineError,
    EngineUnable,
    LoraUnsafe,
    ProviderError,
    StoreError,
    UploadFailed,
)
from tasks import policy


def failed(error: BaseException) -> State:
    return Failed(message=str(error), data=error)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (EngineError(engine="e", what="w", detail="out of memory"), True),
        (ProviderError(provider="p", detail="502"), True),
        (DownloadFailed(url="u", detail="time-out"), True),
        (StoreError(url="u", detail="503"), True),
        (UploadFailed(key="k", url="u", detail="503"), True),
        (EngineUnable(engine="e", what="w", detail="d"), False),
        (LoraUnsafe(path="p", detail="a pickle"), False),
        (CallsheetError(detail="d"), False),
        (KeyError("a mistake of ours"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_tried_again_only_when_it_says_that_this_can_help(error: BaseException, again: bool) -> None:
    assert policy.worth_retrying(None, None, failed(error)) is again


def test_a_success_is_not_tried_again() -> None:
    assert policy.worth_retrying(None, None, Completed(data=1)) is False


@pytest.mark.parametrize("one", [policy.cpu, policy.gpu, policy.network], ids=lambda one: one.kind)
def test_pauses_grow_and_are_jittered_and_there_is_one_for_each_retry(one: policy.Policy) -> None:
    assert len(one.pauses_s) == one.retries
    assert list(one.pauses_s) == sorted(one.pauses_s)
    assert 0 < one.jitter <= 1


def test_every_stage_has_the_policy_of_its_kind() -> None:
    from tasks.align import align
    from tasks.check import check
    from tasks.conform import conform
    from tasks.intake import intake
    from tasks.lipsync import lipsync
    from tasks.mix import mix
    from tasks.poster import poster
    from tasks.segments import segments
    from tasks.speech import speech
    from tasks.splice import splice
    from tasks.takes import takes
    from tasks.train_complete import train_complete
    from tasks.upload import upload
    from tasks.upscale import upscale

    kinds: dict[Callable[..., object] | object, str] = {
        stage.name: stage.policy.kind
        for stage in (align, check, conform, intake, lipsync, mix, poster, segments, speech, splice, takes,
                      train_complete, upload, upscale)
    }
    assert kinds == {
        "train_complete": "cpu", "intake": "cpu", "speech": "network", "poster": "gpu", "takes": "gpu",
        "segments": "gpu", "lipsync": "gpu", "conform": "cpu", "splice": "cpu", "mix": "cpu", "upload": "network",
        "align": "cpu", "upscale": "gpu", "check": "cpu",
    }
