"""Single requests: what is repeated, what each answer means, and where the token goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from callsheet.engines.comfyui.client import ComfyUI, OutputGone, Refusal, ServerFile
from callsheet.errors import AddressRefused, EngineError, EngineUnreached
from tests.support.comfyui_server import FakeComfyUI

ID = "12345678-1234-5678-9234-1234567890ab"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeComfyUI]:
    with FakeComfyUI(tmp_path / "server") as server:
        yield server


@pytest.fixture
def server(fake: FakeComfyUI) -> Iterator[ComfyUI]:
    with ComfyUI(fake.url) as client:
        yield client


def test_a_token_never_travels_unencrypted() -> None:
    with pytest.raises(AddressRefused, match="the token would travel unencrypted"):
        ComfyUI("http://comfy.studio.example:8188", SecretStr("secret"))
    ComfyUI("https://comfy.studio.example", SecretStr("secret"))
    ComfyUI("http://comfy.studio.example:8188")


def test_a_busy_server_is_asked_again_three_times_at_most(
    fake: FakeComfyUI, server: ComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.engines.comfyui.client.PAUSE_S", 0.01)
    fake.busy = 2
    assert server.version() == "0.33.0" and len(fake.asked) == 3
    fake.busy = 9
    with pytest.raises(EngineUnreached, match="503 to /system_stats"):
        server.version()
    assert len(fake.asked) == 6


def test_a_post_is_sent_once_whatever_happens(fake: FakeComfyUI, server: ComfyUI) -> None:
    fake.busy = 9
    with pytest.raises(Refusal):
        server.post({}, ID, ID)
    assert fake.asked == ["POST /prompt"]


@pytest.mark.parametrize("prompt_id", ["x", ID.upper()])
def test_a_server_takes_only_lowercase_uuids(server: ComfyUI, prompt_id: str) -> None:
    with pytest.raises(Refusal) as caught:
        server.post({}, prompt_id, ID)
    assert caught.value.told["error"]["type"] == "invalid_prompt_id"


def test_a_graph_in_the_format_of_the_servers_own_page_is_answered_500_without_a_word(server: ComfyUI) -> None:
    with pytest.raises(Refusal) as caught:
        server.post({"nodes": [], "links": []}, ID, ID)
    assert (caught.value.status, caught.value.told) == (500, {})


def test_something_else_at_the_address_is_told(fake: FakeComfyUI, server: ComfyUI) -> None:
    fake.other = b"<html>welcome</html>"
    with pytest.raises(EngineError, match="the answer is not JSON.*CALLSHEET_COMFYUI_URL"):
        server.queue()


def test_the_same_picture_keeps_its_name_and_another_gets_a_new_one(server: ComfyUI, tmp_path: Path) -> None:
    for content, name in ((b"one", "t.png"), (b"one", "t.png"), (b"two", "t (1).png")):
        (tmp_path / "local").write_bytes(content)
        assert server.upload(tmp_path / "local", "t.png") == name


def test_an_output_that_is_gone_is_told_apart_from_one_that_was_cut_short(
    fake: FakeComfyUI, server: ComfyUI, tmp_path: Path
) -> None:
    (fake.folder / "output" / "a.png").write_bytes(b"0123456789")
    server.fetch(ServerFile("a.png", "", "output"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"0123456789"
    with pytest.raises(OutputGone):
        server.fetch(ServerFile("b.png", "", "output"), tmp_path / "b")
    fake.cut = 3
    with pytest.raises(EngineUnreached):
        server.fetch(ServerFile("a.png", "", "output"), tmp_path / "a")


def test_the_history_of_an_unknown_job_is_empty_and_never_an_end(server: ComfyUI) -> None:
    assert server.history(ID) is None
    assert server.queue() == (frozenset(), frozenset())


def test_cancelling_a_job_that_is_not_there_interrupts_nobody(fake: FakeComfyUI, server: ComfyUI) -> None:
    server.cancel(ID)
    assert "POST /interrupt" not in fake.asked
