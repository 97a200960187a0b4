from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import ValidationError

from callsheet.errors import AnswerUnknown, ProviderBusy, ProviderDenied, ProviderError, ProviderRefused
from callsheet.runpod.control import Control, EndpointOrder, Pod, PodOrder, TemplateOrder, VolumeOrder
from callsheet.runpod.http import status_of
from tests.support.scripted_api import Script, api_of, ok

T = TypeVar("T")

POD = {
    "id": "pod_1", "name": "callsheet-1", "status": "RUNNING", "actions": ["stop"], "image": "i", "args": "pod",
    "disk": 50, "mounts": {"network": [{"volumeId": "vol_1", "path": "/workspace"}]}, "ports": [], "registry": None,
    "env": {"R2_SECRET_KEY": "hunter2"}, "gpu": {"id": "NVIDIA A40", "count": 2}, "cloud": "SECURE", "cost": 1.58,
    "dataCenterId": "EU-SE-1", "cudaVersion": "12.8", "template": None, "locked": False, "runtime": {"uptime": 9},
    "createdAt": "2026-11-20T10:00:00Z", "startedAt": "2026-11-20T10:01:00Z", "a field of next year": 1,
}
ORDER = PodOrder(name="callsheet-1", image="i", gpu="NVIDIA A40")


def do(script: Script, deed: Callable[[Control], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Control(api_of(script)) as control:
            return await deed(control)

    return asyncio.run(run())


def test_a_pod_is_read_with_its_price_a_second_and_without_showing_its_environment() -> None:
    pod = do(Script(ok(POD)), lambda c: c.pod("pod_1"))
    assert pod is not None
    assert pod.rate.usd_per_second == pytest.approx(1.58 / 3600)
    assert (pod.rate.gpu, pod.rate.source) == ("NVIDIA A40", "pod")
    assert pod.created_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert pod.mounts.network[0].volume_id == "vol_1"
    assert pod.data_center_id == "EU-SE-1"
    assert pod.env == {"R2_SECRET_KEY": "hunter2"}
    assert "hunter2" not in repr(pod)


def test_null_where_something_was_expected_is_no_failure() -> None:
    bare = {"id": "p", "name": None, "status": "PROVISIONING", "env": None, "mounts": None, "cost": None,
            "runtime": None, "gpu": None, "createdAt": None}
    pod = do(Script(ok(bare)), lambda c: c.pod("p"))
    assert pod == Pod(id="p", status="PROVISIONING")


@pytest.mark.parametrize(("status", "over"), [
    ("PROVISIONING", False), ("STARTING", False), ("RUNNING", False), ("EXITED", True), ("ERROR", True),
    ("TERMINATED", True), ("SOMETHING_NEW", False),
])
def test_a_pod_is_over_when_it_will_not_run_again(status: str, over: bool) -> None:
    assert Pod(id="p", status=status).over is over


@pytest.mark.parametrize("deed", [lambda c: c.pod("p"), lambda c: c.endpoint("e")])
def test_what_is_not_there_is_none(deed: Any) -> None:
    assert do(Script(ok({"detail": "not found"}, 404)), deed) is None


@pytest.mark.parametrize("name", ["", "..", "."])
@pytest.mark.parametrize("deed", [lambda c, name: c.pod(name), lambda c, name: c.delete_pod(name)])
def test_an_id_that_would_be_another_path_is_refused_and_not_taken_for_gone(name: str, deed: Any) -> None:
    script = Script(ok({}))
    with pytest.raises(ProviderRefused, match="is no id"):
        do(script, lambda c: deed(c, name))
    assert script.asked == []


def test_an_id_stays_one_part_of_the_path() -> None:
    script = Script(ok(POD))
    do(script, lambda c: c.pod("a/../b?c"))
    assert script.lines == ["GET /v2/pods/a%2F..%2Fb%3Fc"]


def test_lists_are_read_whole() -> None:
    assert [pod.id for pod in do(Script(ok({"pods": [POD, POD | {"id": "2"}]})), lambda c: c.pods())] == ["pod_1", "2"]


@pytest.mark.parametrize("body", [{}, [], None, {"pods": None}, {"pods": [{"name": "no id"}]}, "pods"])
def test_a_list_that_is_none_is_an_error_and_never_an_empty_account(body: Any) -> None:
    with pytest.raises(ProviderError):
        do(Script(ok(body)), lambda c: c.pods())


def test_a_pod_is_created_by_one_request() -> None:
    script = Script(ok(POD, 201))
    pod = do(script, lambda c: c.create_pod(ORDER))
    assert pod.id == "pod_1"
    assert script.lines == ["POST /v2/pods"]
    assert script.sent() == ORDER.payload()


@pytest.mark.parametrize("lost", [
    ok({}, 500), ok({}, 502), httpx.ReadTimeout("slow"), ok({"name": "no id"}, 201), ok(None, 201),
    httpx.Response(201, content=b""),
])
@pytest.mark.parametrize("deed", [
    lambda c: c.create_pod(ORDER),
    lambda c: c.create_endpoint(EndpointOrder(name="e", image="i", pools=("AMPERE_48",))),
    lambda c: c.create_template(TemplateOrder(name="t", image="i")),
    lambda c: c.create_volume(VolumeOrder(name="v", size_gb=200, data_center="EU-SE-1")),
])
def test_a_creation_whose_answer_is_lost_is_neither_repeated_nor_taken_for_failed(lost: Any, deed: Any) -> None:
    script = Script(lost)
    with pytest.raises(AnswerUnknown):
        do(script, deed)
    assert len(script.asked) == 1


@pytest.mark.parametrize(("status", "kind"), [
    (400, ProviderRefused), (422, ProviderRefused), (403, ProviderDenied), (401, ProviderDenied), (429, ProviderBusy),
])
def test_a_refused_creation_says_by_which_status(status: int, kind: type[ProviderError]) -> None:
    with pytest.raises(kind) as caught:
        do(Script(ok({"detail": "no instances are available"}, status)), lambda c: c.create_pod(ORDER))
    assert status_of(caught.value) == status


def test_deleting_is_repeated_until_it_is_done_and_gone_is_done() -> None:
    script = Script(ok({}, 500), httpx.ReadTimeout("slow"), httpx.Response(204))
    assert do(script, lambda c: c.delete_pod("p")) is True
    assert script.lines == ["DELETE /v2/pods/p"] * 3
    assert do(Script(ok({}, 500), ok({"detail": "pod not found"}, 404)), lambda c: c.delete_pod("p")) is False


ENDPOINT = {
    "id": "ep_1", "name": "personaforge-studio", "type": "QUEUE", "workers": {"min": 0, "max": 10, "idleTimeout": 5},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4}, "dataCenterIds": [], "networkVolumes": ["vol_1"],
    "timeout": 600000, "flashboot": "FLASHBOOT", "createdAt": "2026-11-20T10:00:00Z",
    "gpu": {"pools": ["AMPERE_48"], "count": 1, "allowedCudaVersions": [], "minCudaVersion": None},
}


def test_an_endpoint_is_read_and_changed() -> None:
    script = Script(ok(ENDPOINT))
    endpoint = do(script, lambda c: c.update_endpoint("ep_1", {"workers": {"max": 10}}))
    assert endpoint.workers.max == 10
    assert endpoint.workers.idle_timeout == 5
    assert endpoint.gpu is not None and endpoint.gpu.pools == ("AMPERE_48",)
    assert endpoint.scaling.queue_delay == 4
    assert script.lines == ["PATCH /v2/serverless/ep_1"]
    assert script.sent() == {"workers": {"max": 10}}


def test_a_change_sets_values_so_it_is_sent_again_after_a_lost_answer() -> None:
    script = Script(ok({}, 502), httpx.ReadTimeout("slow"), ok(ENDPOINT))
    assert do(script, lambda c: c.update_endpoint("ep_1", {"workers": {"max": 10}})).id == "ep_1"
    assert len(script.asked) == 3


def test_workers_are_read() -> None:
    body = {"workers": [{"id": "w", "status": "THROTTLED", "gpuCount": 1, "isStale": False, "gpuTypeId": None}],
            "summary": {}}
    worker, = do(Script(ok(body)), lambda c: c.workers("ep_1"))
    assert (worker.status, worker.gpu_count, worker.gpu_type_id) == ("THROTTLED", 1, None)


def test_the_workers_of_no_endpoint_are_an_error_and_not_none() -> None:
    with pytest.raises(ProviderRefused):
        do(Script(ok({}, 404)), lambda c: c.workers("ep_1"))


GPU = {
    "id": "NVIDIA A40", "name": "A40", "pool": "AMPERE_48", "manufacturer": "NVIDIA", "memory": 48, "secure": True,
    "community": False, "price": {"secure": 0.79, "community": 0, "serverless": 1.22},
    "maxCount": {"secure": 8, "community": 0}, "availability": "LOW",
    "dataCenters": [{"id": "EU-SE-1", "name": "Sweden", "availability": "HIGH"}],
}


def test_a_card_of_the_catalogue_has_prices_a_second_where_it_is_offered() -> None:
    script = Script(ok({"gpus": [GPU]}))
    offer, = do(script, lambda c: c.gpus("POD", "SECURE", 2))
    assert dict(script.asked[0].url.params) == {
        "include": "AVAILABILITY", "product": "POD", "cloud": "SECURE", "count": "2"}
    rate = offer.pod_rate("SECURE", 2)
    assert rate is not None and rate.usd_per_second == pytest.approx(2 * 0.79 / 3600)
    assert offer.pod_rate("COMMUNITY") is None
    assert offer.job_rate() is not None
    assert offer.data_centers[0].availability == "HIGH"


def test_a_card_without_availability_counts_as_none_free() -> None:
    script = Script(ok({"gpus": [{"id": "x", "pool": None, "availability": "PLENTY", "dataCenters": None}]}))
    offer, = do(script, lambda c: c.gpus())
    assert script.asked[0].url.query == b""
    assert offer.availability == "NONE" and offer.data_centers == () and offer.job_rate() is None


def test_a_cloud_without_a_product_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="product"):
        do(Script(ok({"gpus": []})), lambda c: c.gpus(cloud="SECURE"))


def test_the_bill_is_asked_by_the_hour_in_utc_and_read_as_rows() -> None:
    script = Script(ok({"records": [{
        "podId": "pod_1", "startTime": "2026-11-20T10:00:00Z", "endTime": "2026-11-20T11:00:00Z", "totalAmount": 0.5,
        "gpuAmount": 0.4, "cpuAmount": 0, "diskAmount": 0.1,
    }], "metadata": {}}))
    start = datetime(2026, 11, 20, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    row, = do(script, lambda c: c.pod_bill(start, start + timedelta(hours=1), "pod_1"))
    assert (row.provider_id, row.usd) == ("pod_1", 0.5)
    assert row.end - row.start == timedelta(hours=1)
    assert dict(script.asked[0].url.params) == {
        "startTime": "2026-11-20T10:30:00Z", "endTime": "2026-11-20T11:30:00Z", "bucketSize": "hour",
        "podId": "pod_1"}


def test_the_bill_of_endpoints_names_them() -> None:
    script = Script(ok({"records": [{
        "serverlessId": "ep_1", "startTime": "2026-11-20T10:00:00Z", "endTime": "2026-11-20T11:00:00Z",
        "totalAmount": 1.25}]}))
    now = datetime(2026, 11, 20, 10, tzinfo=UTC)
    row, = do(script, lambda c: c.endpoint_bill(now, now + timedelta(hours=1)))
    assert (row.provider_id, row.usd) == ("ep_1", 1.25)
    assert "serverlessId" not in script.asked[0].url.params


# ---- orders are values

def test_a_pod_order_says_only_what_was_set() -> None:
    assert ORDER.payload() == {
        "name": "callsheet-1", "image": "i", "cloud": "SECURE", "gpu": {"id": "NVIDIA A40", "count": 1}}


def test_a_pod_order_says_all_that_was_set() -> None:
    order = PodOrder(
        name="n", image="i", args="pod", env={"A": "b"}, disk_gb=50, registry="r", gpu="g", count=2, cloud="COMMUNITY",
        data_centers=("EU-SE-1",), volume="v", volume_path="/w", template="t", min_cuda="12.8")
    assert order.payload() == {
        "name": "n", "image": "i", "args": "pod", "env": {"A": "b"}, "disk": 50, "registry": "r",
        "gpu": {"id": "g", "count": 2, "minCudaVersion": "12.8"}, "cloud": "COMMUNITY", "dataCenterIds": ["EU-SE-1"],
        "mounts": {"network": [{"volumeId": "v", "path": "/w"}]}, "templateId": "t"}


def test_an_endpoint_order_turns_flashboot_on_and_times_into_milliseconds() -> None:
    said = EndpointOrder(name="e", image="i", pools=("AMPERE_48", "ADA_48_PRO"), timeout_s=900.5).payload()
    assert said["flashboot"] == "FLASHBOOT"
    assert said["timeout"] == 900500
    assert said["workers"] == {"min": 0, "max": 10, "idleTimeout": 5}
    assert said["scaling"] == {"type": "QUEUE_DELAY", "queueDelay": 4}
    assert said["type"] == "QUEUE"


def test_a_template_order_opens_neither_ssh_nor_jupyter_nor_itself_to_the_public() -> None:
    said = TemplateOrder(name="t", image="i").payload()
    assert (said["startSsh"], said["startJupyter"], said["public"]) == (False, False, False)


@pytest.mark.parametrize("make", [
    lambda: PodOrder(name="n", gpu="g"),
    lambda: PodOrder(name="", image="i", gpu="g"),
    lambda: PodOrder(name="n", image="i", gpu="g", min_cuda="12"),
    lambda: EndpointOrder(name="n", pools=("a",)),
    lambda: EndpointOrder(name="n", image="i", pools=()),
    lambda: EndpointOrder(name="n", image="i", pools=("a",), min_workers=3, max_workers=2),
    lambda: VolumeOrder(name="v", size_gb=5, data_center="x"),
])
def test_an_order_that_would_be_refused_is_not_made(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


def test_an_orders_environment_is_not_shown() -> None:
    assert "hunter2" not in repr(PodOrder(name="n", image="i", gpu="g", env={"KEY": "hunter2"}))
