"""Pods of the emulator: their life, their bill to the second, their faults, and who may touch them.

Time stands still unless a test moves it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from tests.runpod.emulation import IMAGES, refused, rent, row, soon

HOUR = 1_795_172_400.0


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emulator")
    with running_emulator(folder, images=IMAGES, scale=0, start=HOUR - 10, provision_s=3, start_s=4, restart_s=1,
                          capacity={"NVIDIA H100*@*": 2}) as found:
        yield found


@pytest.fixture(autouse=True)
def healed(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.clear_faults()
    for pod in emulator.ask("GET", "/v2/pods")["pods"]:
        emulator.ask("DELETE", f"/v2/pods/{pod['id']}")


def pod_status(emulator: Emulator, id_: str) -> str:
    return str(emulator.ask("GET", f"/v2/pods/{id_}")["status"])


def seconds(emulator: Emulator, id_: str) -> int:
    return sum(life["seconds"] for life in emulator.state()["bill"] if life["resource"] == id_)


def test_a_pod_is_provisioned_then_started_then_runs(emulator: Emulator) -> None:
    pod = rent(emulator)
    assert (pod["status"], pod["cost"], pod["startedAt"]) == ("PROVISIONING", 0.79, None)
    emulator.advance(3)
    assert pod_status(emulator, pod["id"]) == "STARTING"
    emulator.advance(3.9)
    assert pod_status(emulator, pod["id"]) == "STARTING"
    emulator.advance(0.2)
    assert pod_status(emulator, pod["id"]) == "RUNNING"
    assert pod["id"] in emulator.state()["processes"]


def test_a_pod_costs_from_creation_to_deletion_split_at_the_hour(emulator: Emulator) -> None:
    begin = emulator.now()
    emulator.advance((HOUR + 3600 - 10 - begin) % 3600)  # ten seconds to a whole hour
    pod = rent(emulator, gpu="NVIDIA L40S")
    emulator.advance(24.2)
    emulator.ask("DELETE", f"/v2/pods/{pod['id']}")
    emulator.advance(5000)
    bill = emulator.ask("GET", "/v2/billing/pods", params={"bucketSize": "hour", "podId": pod["id"]})
    assert [round(record["totalAmount"] / (0.99 / 3600), 6) for record in bill["records"]] == [10, 15]
    assert bill["metadata"]["totals"]["totalAmount"] == pytest.approx(25 * 0.99 / 3600)


def test_a_container_that_ends_is_started_again_and_goes_on_to_cost(emulator: Emulator) -> None:
    pod = rent(emulator, "quick")
    emulator.advance(3), emulator.advance(4)

    def restarted() -> bool:
        emulator.advance(1)
        return len(row(emulator, "pods", pod["id"])["exits"]) >= 3

    soon(restarted, "the container ended three times")
    assert pod_status(emulator, pod["id"]) == "RUNNING"
    assert seconds(emulator, pod["id"]) == pytest.approx(emulator.now() - row(emulator, "pods", pod["id"])["created"])


def test_deleting_ends_process_and_cost_and_the_second_time_finds_nothing(emulator: Emulator) -> None:
    pod = rent(emulator)
    emulator.advance(3), emulator.advance(4)
    emulator.ask("DELETE", f"/v2/pods/{pod['id']}")
    emulator.advance(100)
    assert seconds(emulator, pod["id"]) == 7
    soon(lambda: pod["id"] not in emulator.state()["processes"], "its process is gone")
    for method in ("GET", "DELETE"):
        assert refused(lambda m=method: emulator.ask(m, f"/v2/pods/{pod['id']}"))[0] == 404    # type: ignore[misc]


def test_a_pod_that_is_stopped_costs_nothing_until_it_is_started(emulator: Emulator) -> None:
    pod = rent(emulator)
    emulator.advance(3), emulator.advance(4)
    emulator.ask("POST", f"/v2/pods/{pod['id']}/action", {"action": "stop"})
    emulator.advance(50)
    assert (pod_status(emulator, pod["id"]), seconds(emulator, pod["id"])) == ("EXITED", 7)
    emulator.ask("POST", f"/v2/pods/{pod['id']}/action", {"action": "start"})
    emulator.advance(5)
    assert (pod_status(emulator, pod["id"]), seconds(emulator, pod["id"])) == ("RUNNING", 12)
    assert refused(lambda: emulator.ask("POST", f"/v2/pods/{pod['id']}/action", {"action": "start"}))[0] == 409


def test_a_card_that_is_out_is_refused_with_400(emulator: Emulator) -> None:
    first, second = (rent(emulator, gpu="NVIDIA H100 80GB HBM3") for _ in range(2))
    code, body = refused(lambda: rent(emulator, gpu="NVIDIA H100 80GB HBM3"))
    assert code == 400 and "no instances" in body["detail"]
    emulator.ask("DELETE", f"/v2/pods/{first['id']}")
    assert rent(emulator, gpu="NVIDIA H100 80GB HBM3")["id"] != second["id"]


@pytest.mark.parametrize("order", [
    {"gpu": {"id": "NVIDIA A40"}}, {"image": "sleepy", "gpu": {"id": "No Such Card"}}, {"image": "sleepy"},
    {"image": "sleepy", "gpu": {"id": "NVIDIA A40"}, "terminateAfter": "1h"},
    {"image": "sleepy", "gpu": {"id": "NVIDIA A40", "count": "1"}},
    {"image": "sleepy", "gpu": {"id": "NVIDIA A40"}, "env": {"A": 1}},
])
def test_a_malformed_order_is_refused_with_422(emulator: Emulator, order: dict[str, object]) -> None:
    code, body = refused(lambda: emulator.ask("POST", "/v2/pods", {"name": "x", **order}))
    assert code == 422 and body["errors"]


def test_a_volume_binds_a_pod_to_its_data_centre(emulator: Emulator) -> None:
    volume = emulator.ask("POST", "/v2/network-volumes", {"name": "v", "size": 200, "dataCenter": "EU-CZ-1"})
    mounts = {"network": [{"volumeId": volume["id"], "path": "/workspace"}]}
    assert rent(emulator, mounts=mounts)["dataCenterId"] == "EU-CZ-1"
    assert refused(lambda: rent(emulator, mounts=mounts, dataCenterIds=["US-KS-2"]))[0] == 400
    assert refused(lambda: rent(emulator, mounts={"network": [{"volumeId": "none", "path": "/x"}]}))[0] == 404


def test_no_key_no_entry(emulator: Emulator) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        for path in ("/v2/pods", "/jobs/x/health", "/emulator/state"):
            assert httpx.get(f"{emulator.url}{path}", headers=headers, trust_env=False).status_code == 401


def test_a_pods_own_key_reads_and_deletes_that_pod_alone(emulator: Emulator, tmp_path: Path) -> None:
    pod, other = rent(emulator), rent(emulator)
    emulator.advance(3), emulator.advance(4)
    process = emulator.state()["processes"][pod["id"]]
    found = dict(item.split("=", 1) for item in Path(f"/proc/{process}/environ").read_text().split("\0") if item)
    assert found["RUNPOD_POD_ID"] == pod["id"]

    def ask(method: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {found['RUNPOD_API_KEY']}"}
        return httpx.request(method, f"{emulator.url}{path}", headers=headers, trust_env=False).status_code

    assert (ask("GET", "/v2/pods"), ask("DELETE", f"/v2/pods/{other['id']}")) == (403, 403)
    assert ask("DELETE", f"/v2/pods/{pod['id']}") == 204
    assert ask("DELETE", f"/v2/pods/{pod['id']}") == 404


def test_a_container_gets_its_own_environment_and_not_the_emulators(emulator: Emulator,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    pod = rent(emulator, env={"GIVEN": "yes"})
    emulator.advance(3), emulator.advance(4)
    process = emulator.state()["processes"][pod["id"]]
    names = {item.split("=", 1)[0] for item in Path(f"/proc/{process}/environ").read_text().split("\0") if item}
    assert "GIVEN" in names
    assert names <= {
        "GIVEN", "PATH", "LANG", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONUNBUFFERED", "CALLSHEET_EMULATED_BY",
        "CALLSHEET_EMULATED_MACHINE", "RUNPOD_POD_ID", "RUNPOD_POD_HOSTNAME", "RUNPOD_GPU_COUNT", "RUNPOD_GPU_NAME",
        "RUNPOD_DC_ID", "RUNPOD_API_KEY",
    }


# ---- faults


def test_capacity_can_be_out_several_times_and_then_back(emulator: Emulator) -> None:
    emulator.inject(FaultKind.NO_CAPACITY, where="*A40@*", count=2)
    codes = [refused(lambda: rent(emulator))[0] for _ in range(2)]
    assert codes == [400, 400]
    assert rent(emulator, gpu="NVIDIA L40S")["status"] == rent(emulator)["status"] == "PROVISIONING"


def test_provisioning_can_last_for_ever_and_costs(emulator: Emulator) -> None:
    emulator.inject(FaultKind.PROVISIONING_FOREVER)
    pod = rent(emulator)
    emulator.advance(5000)
    assert (pod_status(emulator, pod["id"]), seconds(emulator, pod["id"])) == ("PROVISIONING", 5000)


def test_a_pod_can_vanish_and_then_costs_no_more(emulator: Emulator) -> None:
    emulator.inject(FaultKind.POD_VANISHED, seconds=20)
    pod = rent(emulator)
    emulator.advance(10), emulator.advance(10), emulator.advance(99)
    assert refused(lambda: pod_status(emulator, pod["id"]))[0] == 404
    assert seconds(emulator, pod["id"]) == 20


def test_a_pod_can_freeze(emulator: Emulator) -> None:
    emulator.inject(FaultKind.POD_FROZEN, seconds=2)
    pod = rent(emulator)
    emulator.advance(3), emulator.advance(4)
    process = emulator.state()["processes"][pod["id"]]
    emulator.advance(2)
    stat = Path(f"/proc/{process}/stat")
    soon(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "its process stands still")


def test_deleting_can_fail_twice(emulator: Emulator) -> None:
    emulator.inject(FaultKind.DELETE_FAILS, count=2)
    pod = rent(emulator)
    codes = [refused(lambda: emulator.ask("DELETE", f"/v2/pods/{pod['id']}"))[0] for _ in range(2)]
    assert codes == [500, 500] and pod_status(emulator, pod["id"]) == "PROVISIONING"
    emulator.ask("DELETE", f"/v2/pods/{pod['id']}")


def test_an_answer_can_be_lost_after_the_pod_was_made(emulator: Emulator) -> None:
    emulator.inject(FaultKind.ANSWER_LOST, where="POST /v2/pods")
    with pytest.raises(httpx.TransportError):
        rent(emulator)
    assert [pod["name"] for pod in emulator.ask("GET", "/v2/pods")["pods"]] == ["callsheet-test"]


def test_a_request_can_be_lost_before_anything_was_done(emulator: Emulator) -> None:
    emulator.inject(FaultKind.REQUEST_LOST, where="POST /v2/pods")
    with pytest.raises(httpx.TransportError):
        rent(emulator)
    assert emulator.ask("GET", "/v2/pods")["pods"] == []


def test_a_500_can_hide_that_it_was_done(emulator: Emulator) -> None:
    emulator.inject(FaultKind.BROKEN_AFTER, where="POST /v2/pods")
    assert refused(lambda: rent(emulator))[0] == 500
    assert len(emulator.ask("GET", "/v2/pods")["pods"]) == 1


@pytest.mark.parametrize(("kind", "code"), [
    (FaultKind.DENIED, 401), (FaultKind.UNPAID, 402), (FaultKind.FORBIDDEN, 403), (FaultKind.BUSY, 429),
    (FaultKind.BROKEN, 500), (FaultKind.BAD_GATEWAY, 502),
])
def test_requests_can_be_refused_without_being_carried_out(emulator: Emulator, kind: FaultKind, code: int) -> None:
    emulator.inject(kind, where="POST /v2/pods")
    assert refused(lambda: rent(emulator))[0] == code
    assert emulator.ask("GET", "/v2/pods")["pods"] == []


def test_429_says_when_to_come_back_only_where_it_was_told_to(emulator: Emulator) -> None:
    emulator.inject(FaultKind.BUSY, seconds=7)
    emulator.inject(FaultKind.BUSY)
    headers = {"Authorization": f"Bearer {emulator.key}"}
    answers = [httpx.get(f"{emulator.url}/v2/pods", headers=headers, trust_env=False) for _ in range(2)]
    assert [(answer.status_code, answer.headers.get("retry-after")) for answer in answers] == [(429, "7"), (429, None)]


def test_the_api_can_be_down_for_a_while(emulator: Emulator) -> None:
    emulator.inject(FaultKind.DOWN, seconds=0.5)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            emulator.ask("GET", "/v2/pods")

    def up() -> bool:
        try:
            return emulator.ask("GET", "/v2/pods") is not None
        except httpx.TransportError:
            return False

    soon(up, "it is up again")


def test_a_new_price_counts_from_then_on_for_running_pods_too(emulator: Emulator) -> None:
    pod = rent(emulator, gpu="NVIDIA RTX A6000")
    emulator.advance(100)
    emulator.inject(FaultKind.PRICE_CHANGE, where="NVIDIA RTX A6000", value=2)
    emulator.advance(50)
    emulator.ask("DELETE", f"/v2/pods/{pod['id']}")
    bill = emulator.ask("GET", "/v2/billing/pods", params={"bucketSize": "hour", "podId": pod["id"]})
    assert bill["metadata"]["totals"]["totalAmount"] == pytest.approx((100 + 50 * 2) * pod["cost"] / 3600)
    offers = {offer["id"]: offer for offer in emulator.ask("GET", "/v2/catalog/gpus")["gpus"]}
    assert offers["NVIDIA RTX A6000"]["price"]["secure"] == 2 * pod["cost"]
    assert rent(emulator, gpu="NVIDIA RTX A6000")["cost"] == 2 * pod["cost"]


def test_the_providers_clock_can_be_wrong(emulator: Emulator) -> None:
    right = rent(emulator)["createdAt"]
    emulator.inject(FaultKind.CLOCK_SKEW, seconds=-90)
    assert rent(emulator)["createdAt"] < right


def test_a_slow_request_is_carried_out_before_its_answer_comes(emulator: Emulator) -> None:
    emulator.inject(FaultKind.SLOW, where="POST /v2/pods", seconds=60)
    order = {"name": "callsheet-slow", "image": "sleepy", "gpu": {"id": "NVIDIA A40"}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{emulator.api}/v2/pods", json=order, headers={"Authorization": f"Bearer {emulator.key}"},
                   timeout=0.5, trust_env=False)
    found = soon(lambda: emulator.ask("GET", "/v2/pods")["pods"], "the pod is there", 10)
    assert [pod["name"] for pod in found] == ["callsheet-slow"]


def test_a_slow_answer_comes_in_the_end(emulator: Emulator) -> None:
    emulator.inject(FaultKind.SLOW, where="POST /v2/pods", seconds=0.5)
    began = time.monotonic()
    assert rent(emulator)["name"] == "callsheet-test"
    assert time.monotonic() - began >= 0.5


def test_a_late_request_is_carried_out_though_whoever_sent_it_has_gone(emulator: Emulator) -> None:
    emulator.inject(FaultKind.REQUEST_LATE, where="POST /v2/pods", seconds=1)
    order = {"name": "callsheet-late", "image": "sleepy", "gpu": {"id": "NVIDIA A40"}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{emulator.api}/v2/pods", json=order, headers={"Authorization": f"Bearer {emulator.key}"},
                   timeout=0.3)
    assert emulator.ask("GET", "/v2/pods")["pods"] == []
    (late,) = soon(lambda: emulator.ask("GET", "/v2/pods")["pods"], "the pod is there", 10)
    assert late["name"] == "callsheet-late"
