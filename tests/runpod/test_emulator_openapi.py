"""The emulator's answers against the provider's published schema, and what it accepts against the same."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError

from callsheet.runpod.emulator import bodies
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from tests.runpod.emulation import IMAGES, refused, rent

REFERENCE = Path(os.environ.get("CALLSHEET_REFERENCE", Path(__file__).resolve().parents[2].parent / "shared/reference"))
SCHEMA = REFERENCE / "runpod-openapi-v2.json"
pytestmark = pytest.mark.skipif(not SCHEMA.exists(), reason="the provider's schema is not here")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("emulator"), images=IMAGES, scale=0, provision_s=1, start_s=1) as it:
        yield it


def validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    whole = {"components": document["components"], **schema}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def check(document: dict[str, Any], method: str, path: str, code: int, answer: Any) -> None:
    """The answer of an operation fits what the document says about it."""
    template = next(
        each for each in document["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path) and method.lower() in document["paths"][each]
    )
    responses = document["paths"][template][method.lower()]["responses"]
    found = responses.get(str(code)) or responses["default"]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    if "content" not in found:
        assert answer is None
        return
    schema = next(iter(found["content"].values()))["schema"]
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in
              validator(document, schema).iter_errors(answer)]
    assert not errors, f"{method} {path}: {errors}"


ENDPOINT = {
    "name": "studio", "type": "QUEUE", "image": "echo:1", "gpu": {"pools": ["AMPERE_48"], "count": 1},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4}, "workers": {"min": 1, "max": 2, "idleTimeout": 5},
    "flashboot": "FLASHBOOT", "env": {"A": "b"}, "args": "",
}


def test_every_answer_about_pods_fits(emulator: Emulator, document: dict[str, Any]) -> None:
    pod = rent(emulator, env={"A": "b"}, cloud="COMMUNITY", disk=30, ports=["22/tcp"])
    check(document, "POST", "/v2/pods", 201, pod)
    for step in range(3):
        check(document, "GET", "/v2/pods/x", 200, emulator.ask("GET", f"/v2/pods/{pod['id']}"))
        emulator.advance(1 + step)
    check(document, "GET", "/v2/pods", 200, emulator.ask("GET", "/v2/pods"))
    check(document, "POST", "/v2/pods/x/action", 200,
          emulator.ask("POST", f"/v2/pods/{pod['id']}/action", {"action": "stop"}))
    check(document, "DELETE", "/v2/pods/x", 204, emulator.ask("DELETE", f"/v2/pods/{pod['id']}"))


def test_every_answer_about_endpoints_fits(emulator: Emulator, document: dict[str, Any]) -> None:
    endpoint = emulator.ask("POST", "/v2/serverless", ENDPOINT)
    check(document, "POST", "/v2/serverless", 201, endpoint)
    path = f"/v2/serverless/{endpoint['id']}"
    emulator.advance(1)
    check(document, "GET", "/v2/serverless/x/workers", 200, emulator.ask("GET", f"{path}/workers"))
    changed = emulator.ask("PATCH", path, {"workers": {"max": 3}, "scaling": {"type": "REQUEST_COUNT",
                                                                              "requestCount": 4}})
    assert changed["workers"] == {"min": 1, "max": 3, "idleTimeout": 5}
    check(document, "PATCH", "/v2/serverless/x", 200, changed)
    check(document, "GET", "/v2/serverless", 200, emulator.ask("GET", "/v2/serverless"))
    emulator.inject(FaultKind.THROTTLED)
    emulator.ask("PATCH", path, {"workers": {"min": 2}})
    emulator.advance(1)
    found = emulator.ask("GET", f"{path}/workers")
    check(document, "GET", "/v2/serverless/x/workers", 200, found)
    check(document, "DELETE", "/v2/serverless/x", 204, emulator.ask("DELETE", path))


def test_every_answer_about_templates_and_volumes_fits(emulator: Emulator, document: dict[str, Any]) -> None:
    template = emulator.ask("POST", "/v2/templates", {"name": "t", "image": "echo:1", "serverless": True})
    check(document, "POST", "/v2/templates", 201, template)
    check(document, "PATCH", "/v2/templates/x", 200,
          emulator.ask("PATCH", f"/v2/templates/{template['id']}", {"env": {"A": "b"}}))
    check(document, "GET", "/v2/templates", 200, emulator.ask("GET", "/v2/templates"))
    endpoint = emulator.ask("POST", "/v2/serverless", {
        **{name: value for name, value in ENDPOINT.items() if name != "image"}, "templateId": template["id"]})
    assert (endpoint["image"], endpoint["env"]) == ("echo:1", {"A": "b"})
    volume = emulator.ask("POST", "/v2/network-volumes", {"name": "v", "size": 200, "dataCenter": "EU-RO-1"})
    check(document, "POST", "/v2/network-volumes", 201, volume)
    check(document, "GET", "/v2/network-volumes", 200, emulator.ask("GET", "/v2/network-volumes"))
    check(document, "PATCH", "/v2/network-volumes/x", 200,
          emulator.ask("PATCH", f"/v2/network-volumes/{volume['id']}", {"size": 300}))
    for path in (f"/v2/serverless/{endpoint['id']}", f"/v2/templates/{template['id']}",
                 f"/v2/network-volumes/{volume['id']}"):
        emulator.ask("DELETE", path)


def test_every_answer_of_the_catalogue_fits(emulator: Emulator, document: dict[str, Any]) -> None:
    for params in ({}, {"include": "AVAILABILITY", "product": "POD,SERVERLESS", "cloud": "SECURE"}):
        check(document, "GET", "/v2/catalog/gpus", 200, emulator.ask("GET", "/v2/catalog/gpus", params=params))
    check(document, "GET", "/v2/catalog/gpus/x", 200, emulator.ask("GET", "/v2/catalog/gpus/NVIDIA A40"))
    found = emulator.ask("GET", "/v2/catalog/datacenters", params={"include": "GPU_AVAILABILITY"})
    check(document, "GET", "/v2/catalog/datacenters", 200, found)
    check(document, "GET", "/v2/catalog/datacenters/x", 200, emulator.ask("GET", "/v2/catalog/datacenters/EU-RO-1"))


def test_every_bill_fits(emulator: Emulator, document: dict[str, Any]) -> None:
    pod = rent(emulator)
    endpoint = emulator.ask("POST", "/v2/serverless", ENDPOINT)
    emulator.advance(7000), emulator.advance(60)
    for size in ("hour", "day", "week", "month", "year"):
        for plane, filter_ in (("pods", {"podId": pod["id"]}), ("serverless", {"serverlessId": endpoint["id"]})):
            params = {"bucketSize": size, **filter_}
            found = emulator.ask("GET", f"/v2/billing/{plane}", params=params)
            assert found["records"]
            check(document, "GET", f"/v2/billing/{plane}", 200, found)
    emulator.ask("DELETE", f"/v2/serverless/{endpoint['id']}")
    emulator.ask("DELETE", f"/v2/pods/{pod['id']}")


def test_every_refusal_fits(emulator: Emulator, document: dict[str, Any]) -> None:
    for method, path, body in (
        ("GET", "/v2/pods/none", None), ("POST", "/v2/pods", {"name": ""}), ("DELETE", "/v2/serverless/none", None),
        ("POST", "/v2/network-volumes", {"name": "v", "size": 1, "dataCenter": "EU-RO-1"}),
        ("POST", "/v2/pods", {"name": "x", "image": "unknown:1", "gpu": {"id": "NVIDIA A40"}}),
    ):
        code, answer = refused(lambda m=method, p=path, b=body: emulator.ask(m, p, b))      # type: ignore[misc]
        check(document, method, path, code, answer)


BODIES: list[tuple[str, type[BaseModel], dict[str, Any]]] = [
    ("CreatePodRequest", bodies.CreatePod, {"name": "p", "image": "i", "gpu": {"id": "NVIDIA A40"}}),
    ("CreatePodRequest", bodies.CreatePod, {"name": "p", "image": "i", "gpu": {"id": "NVIDIA A40"}, "cloud": "SECURE",
     "dataCenterIds": ["EU-RO-1"], "disk": 50, "env": {"A": "b"}, "args": "pod",
     "mounts": {"network": [{"volumeId": "v", "path": "/workspace"}]}}),
    ("CreateEndpointRequest", bodies.CreateEndpoint, ENDPOINT),
    ("UpdateEndpointRequest", bodies.UpdateEndpoint, {"workers": {"max": 0}, "flashboot": "OFF"}),
    ("CreateTemplateRequest", bodies.CreateTemplate, {"name": "t", "image": "i", "serverless": True}),
    ("UpdateTemplateRequest", bodies.UpdateTemplate, {"image": "j"}),
    ("CreateNetworkVolumeRequest", bodies.CreateVolume, {"name": "v", "size": 200, "dataCenter": "EU-RO-1"}),
    ("UpdateNetworkVolumeRequest", bodies.UpdateVolume, {"size": 300}),
]


def spoilings(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body with one thing wrong: a stranger, or a value of another type."""
    yield {**body, "noSuchField": 1}
    for name, value in body.items():
        yield {**body, name: 7 if isinstance(value, str) else "seven"}
        if isinstance(value, dict) and name != "env":
            yield {**body, name: {**value, "noSuchField": {"deep": 1}}}


@pytest.mark.parametrize(("name", "model", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else "")
def test_what_the_schema_refuses_the_emulator_refuses_too(document: dict[str, Any], name: str, model: type[BaseModel],
                                                          body: dict[str, Any]) -> None:
    schema = validator(document, {"$ref": f"#/components/schemas/{name}"})
    assert not list(schema.iter_errors(body)), "the sample itself is refused"
    model.model_validate_json(json.dumps(body))
    for wrong in spoilings(body):
        if list(schema.iter_errors(wrong)):
            with pytest.raises(ValidationError):
                model.model_validate_json(json.dumps(wrong))
