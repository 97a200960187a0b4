"""The image's files: what starts, who it runs as, and that a pod whose program fails is deleted all the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from callsheet.pricing import CARDS
from tests.runpod.provider_on_loopback import provider

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
REFERENCE = Path(os.environ.get("CALLSHEET_REFERENCE", ROOT.parent / "shared" / "reference")) / "runpod-openapi-v2.json"


def start(tmp_path: Path, word: str, exit_code: int, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """start.sh with a `python` that says what it was asked and ends."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@"\nexit {exit_code}\n')
    fake.chmod(0o755)
    return subprocess.run(
        ["sh", str(INFRA / "start.sh"), word], capture_output=True, text=True, timeout=60,
        env={"PATH": f"{fake.parent}:{os.environ['PATH']}", "CALLSHEET_FAREWELL_PAUSE_S": "0.05", **environment})


@pytest.mark.parametrize(("word", "module"), [("handler", "handler"), ("pod", "entrypoint")])
def test_each_word_starts_its_program_and_passes_its_exit_code_on(tmp_path: Path, word: str, module: str) -> None:
    done = start(tmp_path, word, 3, {})
    assert (done.stdout.strip(), done.returncode) == (f"-m callsheet.runpod.{module}", 3)


@pytest.mark.parametrize("word", ["pod", "", "shoot"])
def test_a_pod_whose_program_fails_or_is_unknown_is_deleted(tmp_path: Path, word: str) -> None:
    with provider() as it:
        it.refusals = [500, 401]
        start(tmp_path, word, 1, it.environment())
        assert it.deletions == [("/v2/pods/pod-1", "Bearer pod-key")] * 3


def test_a_worker_of_an_endpoint_deletes_nothing(tmp_path: Path) -> None:
    with provider() as it:
        done = start(tmp_path, "shoot", 1, it.environment(RUNPOD_ENDPOINT_ID="e"))
        assert (it.deletions, done.returncode) == ([], 64)
        assert "'shoot' is neither handler nor pod" in done.stderr


def test_the_image_runs_as_nobody_special_and_holds_no_secret() -> None:
    lines = (INFRA / "Dockerfile").read_text()
    last = lines.rpartition("FROM ")[2]
    assert re.search(r"useradd --uid 10001", last) and "USER callsheet" in last
    assert last.index("USER callsheet") < last.index("ENTRYPOINT")
    assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD", lines)
    assert "--require-hashes" in lines


def test_the_image_takes_only_what_it_needs_from_the_checkout() -> None:
    first, *taken = (INFRA / "Dockerfile.dockerignore").read_text().split()
    assert first == "*", "a .env or a store of the developer's would travel along"
    for line in taken:
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line


NEEDED = ("diffusers", "transformers", "peft", "accelerate", "safetensors", "spandrel", "einops", "prefect", "boto3")


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", path.read_text(), re.MULTILINE))


def test_the_image_has_the_versions_that_callsheet_is_tested_with() -> None:
    image = pins(INFRA / "requirements.lock")
    for lock in ("requirements.lock", "requirements-models.lock"):
        tested = pins(ROOT / lock)
        differing = {name: (image.get(name), version) for name, version in tested.items()
                     if (name in NEEDED and image.get(name) != version) or image.get(name, version) != version}
        assert not differing, f"compile infra/requirements.lock anew: {differing}"
    assert {"runpod", "torch", "diffusers", "prefect"} <= image.keys()
    assert image["torch"] == "2.13.0"


def endpoint() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((INFRA / "endpoint.yaml").read_text())
    return loaded


def test_the_endpoint_takes_every_card_of_the_price_list() -> None:
    assert set(endpoint()["gpu"]["pools"]) == {card.pool for card in CARDS}
    assert endpoint()["workers"] == {"min": 0, "max": 10, "idleTimeout": 5}


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference schema is not here")
def test_the_endpoint_file_is_what_the_api_asks_for() -> None:
    from jsonschema import Draft202012Validator

    book = json.loads(REFERENCE.read_text())
    schema = {"components": book["components"], "$ref": "#/components/schemas/CreateEndpointRequest"}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(endpoint())] == []
