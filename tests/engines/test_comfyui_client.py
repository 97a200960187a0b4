"""Single requests: what is repeated, what each answer means, and where the token goes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from callsheet.engines.comfyui.client import ComfyUI, OutputGone, Refusal, ServerFile
from callsheet.errors import AddressRefused, Cancelled, EngineError, EngineUnable, EngineUnreached
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


class Flood(BaseHTTPRequestHandler):
    """Something else than ComfyUI, whose answers have no end; or drip."""

    pause_s = 0.0

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(2000):
                self.wfile.write(b" " * (1 if self.pause_s else 1 << 16))
                time.sleep(self.pause_s)


@pytest.fixture
def flood() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Flood) as http:
        http.daemon_threads = True
        http.block_on_close = False
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def test_an_answer_without_end_is_not_kept_in_memory(flood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.engines.comfyui.client.MAX_JSON", 1 << 20)
    with ComfyUI(flood) as server, pytest.raises(EngineUnable, match="sends no end"):
        server.nodes()


def test_an_answer_that_drips_ends_at_a_deadline(flood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flood, "pause_s", 0.02)
    with ComfyUI(flood, timeout_s=0.1, tries=1) as server, pytest.raises(EngineUnreached, match="no end of /queue"):
        server.queue()


def test_an_output_that_drips_ends_at_a_deadline_and_can_be_cancelled(
    flood: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(had: int) -> None:
        raise Cancelled(what="the clip")

    monkeypatch.setattr(Flood, "pause_s", 0.02)
    monkeypatch.setattr("callsheet.engines.comfyui.client._TELL_S", 0.1)
    with ComfyUI(flood) as server:
        with pytest.raises(Cancelled):
            server.fetch(ServerFile("a.mp4", "", "output"), tmp_path / "a", stop)
        monkeypatch.setattr("callsheet.engines.comfyui.client.FETCH_S", 0.3)
        with pytest.raises(EngineUnreached, match="and no end"):
            server.fetch(ServerFile("a.mp4", "", "output"), tmp_path / "a")


@pytest.mark.parametrize("other", [b'{"queue_running": 3, "queue_pending": [7, []]}', b"[1, 2]"])
def test_a_queue_of_another_shape_is_empty(fake: FakeComfyUI, server: ComfyUI, other: bytes) -> None:
    fake.other = other
    assert server.queue() == (frozenset(), frozenset())


def test_an_answer_nested_without_end_is_told(fake: FakeComfyUI, server: ComfyUI) -> None:
    fake.other = b"[" * 100_000
    with pytest.raises(EngineError, match="is not JSON"):
        server.queue()
