"""What we send and read, against the control plane's published schema. Skipped where that file is not at hand."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from callsheet.pricing import CARDS
from callsheet.runpod.control import Control, EndpointOrder, PodOrder, TemplateOrder, VolumeOrder
from tests.support.scripted_api import Script, api_of

REFERENCE = Path(os.environ.get("CALLSHEET_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
FILE = REFERENCE / "runpod-openapi-v2.json"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the reference schema is not here")

POD = PodOrder(name="callsheet-1", image="i", gpu="NVIDIA A40")
FULL_POD = PodOrder(
    name="n", image="i", args="pod", env={"A": "b"}, disk_gb=50, registry="r", gpu="g", count=2, cloud="COMMUNITY",
    data_centers=("EU-SE-1",), volume="v", template="t", min_cuda="12.8")
ENDPOINT = EndpointOrder(name="e", image="i", pools=tuple({card.pool for card in CARDS}))
FULL_ENDPOINT = EndpointOrder(
    name="e", args="handler", env={"A": "b"}, disk_gb=50, pools=("AMPERE_48",), excluded=("NVIDIA RTX A6000",), count=2,
    min_workers=1, max_workers=3, idle_s=60, queue_delay_s=0.5, timeout_s=3600, flashboot=False,
    data_centers=("EU-SE-1",), volumes=("v",), template="t", min_cuda="12.8")


@pytest.fixture(scope="module")
def book() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text())
    return loaded


def faults(book: dict[str, Any], schema: Any, value: Any) -> list[str]:
    from jsonschema import Draft202012Validator

    whole = {"components": book["components"], "allOf": [schema]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


@pytest.mark.parametrize(("name", "payload"), [
    ("CreatePodRequest", POD.payload()),
    ("CreatePodRequest", FULL_POD.payload()),
    ("CreateEndpointRequest", ENDPOINT.payload()),
    ("CreateEndpointRequest", FULL_ENDPOINT.payload()),
    ("CreateTemplateRequest", TemplateOrder(name="t", image="i").payload()),
    ("CreateTemplateRequest", TemplateOrder(
        name="t", image="i", args="handler", env={"A": "b"}, disk_gb=20, registry="r", serverless=True).payload()),
    ("CreateNetworkVolumeRequest", VolumeOrder(name="v", size_gb=200, data_center="EU-SE-1").payload()),
])
def test_every_order_is_what_the_schema_asks_for(book: dict[str, Any], name: str, payload: dict[str, Any]) -> None:
    assert faults(book, {"$ref": f"#/components/schemas/{name}"}, payload) == []


def test_the_check_itself_sees_a_wrong_payload(book: dict[str, Any]) -> None:
    wrong = POD.payload() | {"gpuTypeIds": ["NVIDIA A40"]}
    assert faults(book, {"$ref": "#/components/schemas/CreatePodRequest"}, wrong) != []


NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)

READS: list[tuple[str, Callable[[Control], Awaitable[Any]]]] = [
    ("/v2/pods", lambda c: c.pods()),
    ("/v2/pods/{id}", lambda c: c.pod("x")),
    ("/v2/serverless", lambda c: c.endpoints()),
    ("/v2/serverless/{id}", lambda c: c.endpoint("x")),
    ("/v2/serverless/{id}/workers", lambda c: c.workers("x")),
    ("/v2/templates", lambda c: c.templates()),
    ("/v2/network-volumes", lambda c: c.volumes()),
    ("/v2/catalog/gpus", lambda c: c.gpus()),
    ("/v2/catalog/gpus", lambda c: c.gpus("POD", "SECURE", 2)),
    ("/v2/catalog/gpus", lambda c: c.gpus("SERVERLESS")),
    ("/v2/catalog/datacenters", lambda c: c.datacenters()),
    ("/v2/billing/pods", lambda c: c.pod_bill(NOW, NOW + timedelta(days=1), "pod_1")),
    ("/v2/billing/serverless", lambda c: c.endpoint_bill(NOW, NOW + timedelta(days=1), "ep_1")),
]
WRITES: list[tuple[str, str, Callable[[Control], Awaitable[Any]]]] = [
    ("post", "/v2/pods", lambda c: c.create_pod(POD)),
    ("post", "/v2/serverless", lambda c: c.create_endpoint(ENDPOINT)),
    ("patch", "/v2/serverless/{id}", lambda c: c.update_endpoint("x", {"workers": {"max": 10}})),
    ("post", "/v2/templates", lambda c: c.create_template(TemplateOrder(name="t", image="i"))),
    ("patch", "/v2/templates/{id}", lambda c: c.update_template("x", {"image": "i"})),
    ("post", "/v2/network-volumes", lambda c: c.create_volume(VolumeOrder(name="v", size_gb=200, data_center="d"))),
]
ALL = [("get", *read) for read in READS] + WRITES


@pytest.mark.parametrize(("method", "path", "deed"), ALL, ids=lambda v: v if isinstance(v, str) else "")
def test_every_published_example_is_read(book: dict[str, Any], method: str, path: str, deed: Any) -> None:
    examples = list(published(book["paths"][path][method]))
    assert examples
    for example in examples:
        asyncio.run(deed(Control(api_of(Script(httpx.Response(200, json=example))))))


@pytest.mark.parametrize(("path", "deed"), READS, ids=lambda v: v if isinstance(v, str) else "")
def test_every_query_is_one_that_the_schema_knows(book: dict[str, Any], path: str, deed: Any) -> None:
    operation = book["paths"][path]["get"]
    script = Script(httpx.Response(200, json=next(published(operation))))
    asyncio.run(deed(Control(api_of(script))))
    known = {each["name"]: each["schema"] for each in (resolved(book, p) for p in operation.get("parameters", []))}
    for name, text in script.asked[0].url.params.items():
        schema = resolved(book, known[name])
        value: Any = [text] if schema.get("type") == "array" else int(text) if schema.get("type") == "integer" else text
        assert faults(book, schema, value) == [], name


@pytest.mark.parametrize(("method", "path", "deed"), WRITES, ids=lambda v: v if isinstance(v, str) else "")
def test_every_body_that_is_sent_is_what_its_path_asks_for(
    book: dict[str, Any], method: str, path: str, deed: Any
) -> None:
    operation = book["paths"][path][method]
    script = Script(httpx.Response(200, json=next(published(operation))))
    asyncio.run(deed(Control(api_of(script))))
    assert script.asked[0].method == method.upper()
    assert faults(book, operation["requestBody"]["content"]["application/json"]["schema"], script.sent()) == []


def published(operation: dict[str, Any]) -> Iterator[Any]:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            content = response["content"]["application/json"]
            yield from (each["value"] for each in content.get("examples", {}).values())
            if "example" in content:
                yield content["example"]


def resolved(book: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = item
    while "$ref" in found:
        at: Any = book
        for part in found["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        found = at
    return found
