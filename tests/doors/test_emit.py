"""`callsheet emit`: the payload, the request's shape, retries with one id, and docs/after-training.md."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from callsheet.doors import emit
from callsheet.doors.cli import app
from callsheet.errors import (
    FileMissing,
    LoraUnsafe,
    ProviderError,
    RequestInvalid,
    SettingInvalid,
    SettingMissing,
)
from callsheet.events import LoraTrained, as_event
from callsheet.store.base import sha256_of
from tests.doors.loopback import Answer, Loopback, answering

ACTOR = "0001_european_20_female"
CANARY = "canary-4f1d9e"
TAKEN, BUSY = Answer(204), Answer(503, "try later")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "after-training.md"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, nobody's Prefect in the environment, and a trained file."""
    monkeypatch.chdir(tmp_path)
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "CALLSHEET_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ava.safetensors").write_bytes(b"trained")
    return tmp_path


def event(**changes: Any) -> dict[str, Any]:
    return as_event(LoraTrained.read({"actor_id": ACTOR, "lora": "s3://bucket/ava.safetensors"} | changes))


def send(server: Loopback, what: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> list[float]:
    """The pauses it made."""
    pauses: list[float] = []
    emit.post(f"{server.url}/api", what or event(), headers or {}, pauses.append)
    return pauses


# ---- sending

def test_two_refusals_and_then_success_are_three_tries_of_the_same_bytes() -> None:
    with answering(BUSY, BUSY, TAKEN) as server:
        assert emit.post(f"{server.url}/api", event(), {}, lambda pause: None) == 3
    assert len(server.seen) == 3
    assert len({seen.body for seen in server.seen}) == 1
    assert len({json.loads(seen.body)[0]["id"] for seen in server.seen}) == 1


def test_the_body_is_a_list_of_one_event_as_the_server_documents_it() -> None:
    with answering(TAKEN) as server:
        send(server, event(description="Ava", base_model="flux"))
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.headers["content-type"]) == ("POST", "/api/events", "application/json")
    (sent,) = json.loads(seen.body)
    assert uuid.UUID(sent.pop("id"))
    assert datetime.fromisoformat(sent.pop("occurred")).tzinfo is not None
    assert sent == {
        "event": "lora.training.completed",
        "resource": {"prefect.resource.id": f"lora.actor.{ACTOR}"},
        "payload": {"actor_id": ACTOR, "lora": "s3://bucket/ava.safetensors", "manifest": "", "description": "Ava",
                    "base_model": "flux"},
    }


@pytest.mark.parametrize("trouble", [Answer(429), Answer(500), Answer(503), Answer(0)], ids=lambda one: one.status)
def test_what_may_pass_is_tried_again(trouble: Answer) -> None:
    with answering(trouble, TAKEN) as server:
        assert len(send(server)) == 1
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 405, 409, 422])
def test_what_cannot_pass_is_told_once_with_the_servers_words(status: int) -> None:
    with answering(Answer(status, "field resource\n is wrong")) as server, pytest.raises(
        (RequestInvalid, SettingMissing)
    ) as caught:
        send(server)
    assert len(server.seen) == 1
    assert f"{status}: field resource is wrong" in str(caught.value)


def test_tries_are_bounded_and_the_error_says_how_to_send_the_same_event_again() -> None:
    what = event()
    with answering(BUSY) as server, pytest.raises(ProviderError, match=f"--event-id {what['id']}") as caught:
        send(server, what)
    assert len(server.seen) == emit.TRIES
    assert "503: try later" in str(caught.value)


def test_a_server_that_is_not_there_is_told_with_its_host() -> None:
    with answering(TAKEN) as server:
        pass
    with pytest.raises(ProviderError, match=re.escape(server.url.removeprefix("http://"))):
        send(server)


def test_pauses_double_and_are_shortened_by_chance() -> None:
    with answering(BUSY) as server:
        pauses: list[float] = []
        with pytest.raises(ProviderError):
            emit.post(f"{server.url}/api", event(), {}, pauses.append)
    for n, pause in enumerate(pauses):
        full = min(emit.LONGEST_PAUSE_S, emit.FIRST_PAUSE_S * 2**n)
        assert full / 2 <= pause <= full, f"pause {n} lasts {pause} s"
    assert len(pauses) == emit.TRIES - 1
    assert len({round(pause / (emit.FIRST_PAUSE_S * 2**n), 6) for n, pause in enumerate(pauses[:6])}) > 1


def test_a_servers_own_wish_for_a_pause_is_kept_within_reason() -> None:
    with answering(Answer(429, headers={"Retry-After": "7"}), Answer(503, headers={"Retry-After": "9999"}),
                   TAKEN) as server:
        assert send(server) == [7.0, emit.LONGEST_PAUSE_S]


# ---- authorization

def test_the_auth_string_goes_before_the_key() -> None:
    both = {"PREFECT_API_AUTH_STRING": f"me:{CANARY}\n", "PREFECT_API_KEY": "pnu_1"}
    with answering(TAKEN) as server:
        send(server, headers=emit.authorization(both))
        send(server, headers=emit.authorization({"PREFECT_API_KEY": "pnu_1"}))
        send(server, headers=emit.authorization({}))
    basic = f"Basic {base64.b64encode(f'me:{CANARY}'.encode()).decode()}"
    assert [seen.headers.get("authorization") for seen in server.seen] == [basic, "Bearer pnu_1", None]


@pytest.mark.parametrize("status", [401, 422, 503])
def test_a_key_that_the_server_repeats_is_not_printed(status: int) -> None:
    with answering(Answer(status, "you sent ", echo=True)) as server, pytest.raises(
        (RequestInvalid, SettingMissing, ProviderError)
    ) as caught:
        send(server, headers=emit.authorization({"PREFECT_API_KEY": CANARY}))
    assert "you sent" in str(caught.value)
    assert CANARY not in f"{caught.value}{caught.value!r}{caught.value.facts}"


def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingInvalid, match="PREFECT_API_KEY") as caught:
        emit.authorization({"PREFECT_API_KEY": f"{CANARY}\nx: y"})
    assert CANARY not in str(caught.value)


# ---- the payload

@pytest.mark.parametrize("given", ["ava", "ava.safetensors", "sub/../ava"])
def test_a_path_becomes_absolute_and_the_digest_is_computed(given: str, home: Path) -> None:
    (home / "sub").mkdir()
    payload = emit.trained(ACTOR, given)
    assert payload.lora == str(home / "ava.safetensors")
    assert payload.sha256 == sha256_of(home / "ava.safetensors")


def test_a_manifests_path_becomes_absolute(home: Path) -> None:
    (home / "actors.csv").write_text("id\n")
    assert emit.trained(ACTOR, "ava", Path("actors.csv")).manifest == str(home / "actors.csv")


def test_a_bucket_is_sent_as_it_is_with_the_digest_that_is_told() -> None:
    payload = emit.trained(ACTOR, "s3://bucket/ava.safetensors", sha256="a" * 64)
    assert (payload.lora, payload.sha256) == ("s3://bucket/ava.safetensors", "a" * 64)


@pytest.mark.parametrize(("changes", "error"), [
    ({"lora": "nobody"}, FileMissing),
    ({"lora": "ava.ckpt"}, LoraUnsafe),
    ({"lora": "https://example.com/ava.safetensors"}, RequestInvalid),
    ({"lora": "s3://bucket"}, RequestInvalid),
    ({"sha256": "a" * 64}, RequestInvalid),
    ({"lora": "s3://bucket/ava", "sha256": "abc"}, RequestInvalid),
    ({"actor": "../ava"}, RequestInvalid),
    ({"manifest": Path("nothing.csv")}, FileMissing),
    ({"description": "x" * 2001}, RequestInvalid),
])
def test_a_wrong_word_is_refused_before_anything_is_sent(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        emit.trained(**({"actor": ACTOR, "lora": "ava"} | changes))


# ---- the address

@contextmanager
def up(home: Path, server: Loopback) -> Iterator[None]:
    """What `callsheet up` leaves in its home while it runs."""
    home.mkdir()
    state = {"api_url": f"{server.url}/api", "ui_url": server.url, "pid": os.getpid()}
    (home / "up.json").write_text(json.dumps(state))
    with (home / "up.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_an_option_goes_before_the_environment_and_that_before_a_running_server(home: Path) -> None:
    environment = {"PREFECT_API_URL": "http://two/api"}
    with answering(Answer(200)) as server, up(home / "state", server):
        assert emit.api_address("http://one/api/", home / "state", environment) == "http://one/api"
        assert emit.api_address("", home / "state", environment) == "http://two/api"
        assert emit.api_address("", home / "state", {}) == f"{server.url}/api"


def test_without_any_server_the_remedy_is_to_start_one(home: Path) -> None:
    with pytest.raises(SettingMissing, match="callsheet up"):
        emit.api_address("", home, {})


@pytest.mark.parametrize("address", ["localhost:4200", "ftp://host/api", "http://", "http://host/api?x=1"])
def test_what_is_no_address_is_refused(address: str, home: Path) -> None:
    with pytest.raises(RequestInvalid, match="api"):
        emit.api_address(address, home, {})


# ---- the command

def test_the_command_sends_the_id_that_it_is_given_and_prints_what_it_sent() -> None:
    wanted = str(uuid.uuid4())
    with answering(TAKEN) as server:
        asked = ["emit", ACTOR, "--lora", "ava", "--api", f"{server.url}/api", "--event-id", wanted, "--json"]
        done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["event"] == json.loads(server.seen[0].body)[0]
    assert printed["event"]["id"] == wanted


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="UUID"):
        emit.checked_id("17")


def test_emit_imports_no_prefect() -> None:
    program = "import sys, callsheet.doors.emit as e; e.trained('a', 'ava'); print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- the manual

def _said(field: dict[str, Any]) -> str:
    """A field of the JSON schema in the manual's words."""
    field = next((one for one in field.get("anyOf", []) if one.get("type") != "null"), field)
    if "enum" in field:
        return ", ".join(field["enum"])
    if "pattern" in field:
        return f"text that matches `{field['pattern'].strip('^$')}`"
    if "maxLength" in field:
        return f"text of {field.get('minLength', 0)} to {field['maxLength']} characters"
    return "text"


def test_the_manual_lists_the_payloads_fields_as_they_are() -> None:
    schema = LoraTrained.model_json_schema()
    family = schema["$defs"]["Family"]
    wanted = []
    for name, field in schema["properties"].items():
        needed = "yes" if name in schema["required"] else "no"
        wanted.append((f"`{name}`", needed, _said(family if name == "base_model" else field)))
    table = DOCS.read_text().partition("| field | needed | value | meaning |")[2].partition("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()[2:]]
    assert [row[:3] for row in rows] == wanted
    assert all(row[3] for row in rows)


def _block(language: str) -> str:
    """The last block of code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)[-1]


def _is_the_event(seen: bytes) -> None:
    (sent,) = json.loads(seen)
    ours = as_event(LoraTrained.read(sent["payload"]))
    assert sent.keys() == ours.keys()
    assert (sent["event"], sent["resource"]) == (ours["event"], ours["resource"])
    assert uuid.UUID(sent["id"])
    assert datetime.fromisoformat(sent["occurred"]).tzinfo is not None


def test_the_manuals_python_sends_the_event_and_tries_again_with_the_same_id() -> None:
    program = _block("python").replace("(1, 2, 4", "(0, 0, 0")
    assert "(0, 0, 0" in program, "the pauses are to be cut short"
    with answering(BUSY, Answer(0), TAKEN) as server:
        subprocess.run([sys.executable, "-c", program], check=True, env={"PREFECT_API_URL": f"{server.url}/api"})
    assert len({seen.body for seen in server.seen}) == 1
    assert len(server.seen) == 3
    _is_the_event(server.seen[-1].body)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
def test_the_manuals_curl_sends_the_event() -> None:
    with answering(TAKEN) as server:
        environment = {"PREFECT_API_URL": f"{server.url}/api", "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
        subprocess.run(["bash", "-c", _block("sh")], check=True, env=environment)
    (seen,) = server.seen
    assert seen.headers["content-type"] == "application/json"
    _is_the_event(seen.body)
