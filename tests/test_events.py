"""The event of a finished training: its shape, its checks, and what it is de-duplicated by."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import pytest

from callsheet.errors import RequestInvalid
from callsheet.events import LORA_TRAINED, LoraTrained, as_event

PAYLOAD: dict[str, Any] = {"actor_id": "0001_european_20_female", "lora": "loras/ava.safetensors"}


def test_an_event_is_what_the_server_s_trigger_matches() -> None:
    event = as_event(LoraTrained.read(PAYLOAD))
    assert event["event"] == LORA_TRAINED == "lora.training.completed"
    assert event["resource"] == {"prefect.resource.id": "lora.actor.0001_european_20_female"}
    assert event["payload"]["lora"] == "loras/ava.safetensors"
    assert uuid.UUID(event["id"])
    assert datetime.fromisoformat(event["occurred"]).tzinfo is not None


def test_a_given_id_is_kept_so_that_a_repeat_is_the_same_event() -> None:
    assert as_event(LoraTrained.read(PAYLOAD), "6f9619ff-8b86-d011-b42d-00c04fc964ff")["id"].startswith("6f9619ff")


def test_one_actor_and_one_lora_have_one_key_whatever_else_the_event_says() -> None:
    key = LoraTrained.read(PAYLOAD).once_key("a" * 64)
    assert key == LoraTrained.read(PAYLOAD | {"description": "x", "manifest": "m.csv"}).once_key("a" * 64)
    assert key != LoraTrained.read(PAYLOAD).once_key("b" * 64)
    assert key != LoraTrained.read(PAYLOAD | {"actor_id": "leo"}).once_key("a" * 64)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lora": "x"}, "payload.actor_id: is missing: add it"),
        (PAYLOAD | {"actor_id": "Ava Maria"}, "payload.actor_id: is no id: use lower-case letters"),
        (PAYLOAD | {"actor_id": "../etc"}, "payload.actor_id: is no id"),
        (PAYLOAD | {"lora": ""}, "payload.lora: is empty"),
        (PAYLOAD | {"sha256": "abc"}, "payload.sha256"),
        (PAYLOAD | {"base_model": "flx"}, "payload.base_model: is not a word known here: did you mean flux?"),
        (PAYLOAD | {"file": "x"}, "payload.file: is no field here"),
    ],
)
def test_a_wrong_payload_is_told_by_its_field(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        LoraTrained.read(wrong)
    assert words in caught.value.what
    assert "docs/after-training.md" in caught.value.fix
