"""The worker with a real Prefect server, an emulated account and real processes as pods and endpoint workers."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client

from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.serve import running_emulator
from callsheet.runpod.worker import RunPodWorker
from callsheet.store.journal import Journal
from callsheet.store.ledger import Ledger
from tests.support.pool_studio import Studio, until

pytestmark = pytest.mark.slow


@pytest.fixture
def studio(tmp_path: Path, prefect_here: str) -> Iterator[Studio]:
    with running_emulator(tmp_path / "emulator") as emulator:
        yield Studio(tmp_path, emulator)


@pytest.fixture
def slow_to_boot(tmp_path: Path, prefect_here: str) -> Iterator[Studio]:
    with running_emulator(tmp_path / "emulator", start_s=600) as emulator:
        yield Studio(tmp_path, emulator)


def test_a_run_gets_a_pod_that_is_gone_when_it_is_done(studio: Studio) -> None:
    run = studio.order(1)
    with studio.worker():
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 90)
        studio.well_ended()
    assert (studio.folder / "ended").exists()
    ended = studio.run(run)
    assert (ended.infrastructure_pid or "").startswith("pod:")
    rows = Ledger(studio.store).rows()
    assert {row.key for row in rows} == {f"flow_run/{run}"}
    assert all(row.usd_per_second > 0 and row.provider_id == (ended.infrastructure_pid or "")[4:] for row in rows)


def test_cancelling_while_the_pod_boots_ends_its_bill_within_15_s(slow_to_boot: Studio) -> None:
    studio = slow_to_boot
    run = studio.order(1)
    with studio.worker():
        until(lambda: studio.pods() and studio.run(run).infrastructure_pid, "a pod boots", 60)
        studio.cancel(run)
        assert until(lambda: not studio.pods(), "the pod is gone", 30) < 15
        until(lambda: studio.state(run) == "CANCELLED", "the run is cancelled", 20)
        studio.well_ended()


def test_cancelling_a_flow_at_work_ends_its_bill_within_15_s(studio: Studio) -> None:
    run = studio.order(300)
    with studio.worker():
        until((studio.folder / "began").exists, "the flow is at work", 90)
        studio.cancel(run)
        assert until(lambda: not studio.pods(), "the pod is gone", 30) < 15
        until(lambda: studio.state(run) == "CANCELLED", "the run is cancelled", 20)
        studio.well_ended()


def test_cancelling_a_pod_that_hangs_ends_its_bill_within_15_s(studio: Studio) -> None:
    run = studio.order(300)
    with studio.worker():
        until((studio.folder / "began").exists, "the flow is at work", 90)
        studio.emulator.inject(FaultKind.POD_FROZEN)
        time.sleep(1)
        studio.cancel(run)
        assert until(lambda: not studio.pods(), "the pod is gone", 30) < 15
        until(lambda: studio.state(run) == "CANCELLED", "the run is cancelled", 20)
        studio.well_ended()


@pytest.mark.soak
def test_what_may_have_been_created_is_looked_for_before_anything_is_created_again(studio: Studio) -> None:
    studio.emulator.inject(FaultKind.ANSWER_LOST, where="POST /v2/pods")
    studio.emulator.inject(FaultKind.NO_CAPACITY, count=1)
    studio.emulator.inject(FaultKind.DELETE_FAILS, count=2)
    run = studio.order(1)
    with studio.worker():
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 90)
        studio.well_ended()
    assert len({row.provider_id for row in Ledger(studio.store).rows()}) == 1


@pytest.mark.soak
def test_a_pod_that_is_provisioned_for_ever_is_replaced(studio: Studio) -> None:
    studio.emulator.inject(FaultKind.PROVISIONING_FOREVER)
    run = studio.order(1, boot_s=6)
    with studio.worker():
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 90)
        studio.well_ended()
    assert len({row.provider_id for row in Ledger(studio.store).rows()}) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_the_pod_of_a_worker_that_is_gone_is_adopted_and_not_rented_again(studio: Studio, how: signal.Signals) -> None:
    run = studio.order(12)
    with studio.worker("first") as first:
        until((studio.folder / "began").exists, "the flow is at work", 90)
        pid = studio.run(run).infrastructure_pid
        first.send_signal(how)
        first.wait(20)
    with studio.worker("second"):
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 60)
        studio.well_ended()
    assert studio.run(run).infrastructure_pid == pid
    assert studio.run(run).run_count == 1
    assert "is looked after again" in (studio.folder / "worker-second.log").read_text()


@pytest.mark.soak
def test_a_pod_that_died_unseen_makes_its_run_crashed_with_the_reason(studio: Studio) -> None:
    run = studio.order(300)
    with studio.worker("first") as first:
        until((studio.folder / "began").exists, "the flow is at work", 90)
        first.send_signal(signal.SIGKILL)
    studio.emulator.inject(FaultKind.POD_FROZEN)                  # without a word from inside
    time.sleep(1)
    studio.emulator.inject(FaultKind.POD_VANISHED)
    until(lambda: not studio.pods(), "the pod is gone")
    with studio.worker("second"):
        until(lambda: studio.state(run) == "CRASHED", "the run is crashed", 60)
        studio.well_ended()
    state = studio.run(run).state
    assert state is not None and "is gone" in (state.message or "")


@pytest.mark.soak
def test_the_pod_of_a_run_that_was_deleted_meanwhile_is_given_back(studio: Studio) -> None:
    run = studio.order(300)
    with studio.worker("first") as first:
        until((studio.folder / "began").exists, "the flow is at work", 90)
        studio.emulator.inject(FaultKind.POD_FROZEN)
        first.send_signal(signal.SIGKILL)

    async def deleted() -> None:
        async with get_client() as client:
            await client.delete_flow_run(run)

    asyncio.run(deleted())
    with studio.worker("second"):
        studio.well_ended()


@pytest.mark.soak
def test_a_budget_that_the_worst_case_exceeds_fails_the_run_with_the_words_and_rents_nothing(studio: Studio) -> None:
    studio.extra["CALLSHEET_BUDGET_DAY"] = "0.5"
    run = studio.order(1, deadline_s=7200)
    with studio.worker():
        until(lambda: studio.state(run) == "FAILED", "the run has failed", 60)
    state = studio.run(run).state
    assert state is not None and "the budget of day/" in (state.message or "") and "is $0.50" in (state.message or "")
    assert studio.pods() == []


@pytest.mark.soak
def test_a_run_that_was_handed_out_to_a_worker_that_died_at_once_is_made_all_the_same(studio: Studio) -> None:
    from prefect.states import Pending

    run = studio.order(1)

    async def pending() -> None:
        async with get_client() as client:
            await client.set_flow_run_state(run, Pending())

    asyncio.run(pending())
    turn = Journal(studio.store, gone=lambda owner: True).turn(f"flow_run/{run}")
    assert turn is not None
    turn.intend(0.5, None, {"pool": studio.pool})
    turn.release()
    with studio.worker():
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 90)
        studio.well_ended()


@pytest.mark.soak
def test_serverless_sends_the_run_to_the_endpoint_and_a_new_worker_adopts_its_job(studio: Studio) -> None:
    endpoint = studio.endpoint()
    run = studio.order(8, mode="serverless", endpoint=endpoint)
    with studio.worker("first") as first:
        until((studio.folder / "began").exists, "the flow is at work", 120)
        first.send_signal(signal.SIGKILL)
    with studio.worker("second"):
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 60)
        studio.well_ended()
    (row,) = Ledger(studio.store).rows()
    assert (row.plane, row.provider_id, row.key) == ("endpoint", endpoint, f"flow_run/{run}")
    assert row.seconds >= 8


@pytest.mark.parametrize(("template", "words"), [
    ({"PREFECT_API_URL": "https://prefect.other.example/api"}, "belong to https://prefect.other.example"),
    pytest.param({}, "PREFECT_API_URL in the endpoint's template is required: set CALLSHEET_PREFECT_PUBLIC_URL",
                 marks=pytest.mark.soak),
], ids=["another", "none"])
def test_an_endpoint_that_does_not_know_this_prefect_runs_nothing_and_says_why(
    studio: Studio, template: dict[str, str], words: str
) -> None:
    shared = {"CALLSHEET_STORE": str(studio.folder / "store"), "CALLSHEET_HOME": str(studio.folder)}
    run = studio.order(8, mode="serverless", endpoint=studio.endpoint(env=shared | template))
    with studio.worker():
        until(lambda: studio.state(run) == "CRASHED", "the run is crashed", 90)
        studio.well_ended()
    assert words in studio.words(run)
    assert not (studio.folder / "began").exists()


@pytest.mark.soak
def test_cancelling_a_serverless_run_cancels_its_job(studio: Studio) -> None:
    endpoint = studio.endpoint()
    run = studio.order(300, mode="serverless", endpoint=endpoint)
    with studio.worker():
        until((studio.folder / "began").exists, "the flow is at work", 120)
        studio.cancel(run)
        until(lambda: studio.state(run) == "CANCELLED", "the run is cancelled", 30)
        studio.well_ended()


@pytest.mark.soak
def test_killing_infrastructure_deletes_the_pod_and_says_when_it_is_gone(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound

    for name, value in {**studio.emulator.environment(), "CALLSHEET_HOME": str(studio.folder),
                        "CALLSHEET_STORE": str(studio.folder / "store")}.items():
        monkeypatch.setenv(name, value)
    order = {"name": f"callsheet-{uuid4()}", "image": "callsheet:test", "gpu": {"id": "NVIDIA A40"}, "args": "pod"}
    pod = studio.emulator.ask("POST", "/v2/pods", order)

    async def killed() -> None:
        configuration = RunPodWorker.job_configuration(name=order["name"])
        async with RunPodWorker(work_pool_name=studio.pool, name="killer") as worker:
            await worker.kill_infrastructure(f"pod:{pod['id']}", configuration)
            with pytest.raises(InfrastructureNotFound):
                await worker.kill_infrastructure(f"pod:{pod['id']}", configuration)
            with pytest.raises(InfrastructureNotAvailable):
                await worker.kill_infrastructure("12345", configuration)
            with pytest.raises(InfrastructureNotFound):
                await worker.kill_infrastructure("job:abc123/none", configuration)

    asyncio.run(killed())
    assert studio.pods() == []


def test_a_key_that_is_refused_fails_the_run_with_the_words_and_rents_nothing(studio: Studio) -> None:
    studio.emulator.inject(FaultKind.DENIED, where="POST /v2/pods", count=-1)
    run = studio.order(1)
    with studio.worker():
        until(lambda: studio.state(run) == "FAILED", "the run has failed", 60)
        studio.well_ended()
    assert "RunPod refused the key (401 to POST /v2/pods" in studio.words(run)
    assert "check RUNPOD_API_KEY" in studio.words(run)
    assert studio.pods_of(run) == [] and Ledger(studio.store).rows() == []


@pytest.mark.soak
def test_a_price_that_doubles_and_a_clock_that_is_wrong_leave_the_bill_within_its_bounds(studio: Studio) -> None:
    studio.emulator.inject(FaultKind.CLOCK_SKEW, seconds=-600)
    run = studio.order(4)
    with studio.worker():
        until((studio.folder / "began").exists, "the flow is at work", 90)
        studio.emulator.inject(FaultKind.PRICE_CHANGE, value=2.0)
        until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 60)
        studio.well_ended()
    studio.ledger_is_the_bill(seconds=False)


@pytest.mark.soak
def test_a_worker_that_wakes_after_its_lease_leaves_its_pod_to_its_successor(studio: Studio) -> None:
    run = studio.order(10)
    with studio.worker("first", lease=4) as first:
        until((studio.folder / "began").exists, "the flow is at work", 90)
        first.send_signal(signal.SIGSTOP)
        with studio.worker("second", lease=4) as second:
            until(lambda: studio.attended_by(run) == second.pid, "the second looks after it", 60)
            first.send_signal(signal.SIGCONT)
            until(lambda: studio.state(run) == "COMPLETED", "the run is completed", 60)
            studio.well_ended()
            assert first.poll() is None, "it goes on with other runs"
    assert (studio.notes(run), studio.ends(run), len(studio.pods_of(run))) == (["began", "ended"], ["made"], 1)
    studio.ledger_is_the_bill()


@pytest.mark.soak
def test_a_provider_that_restarts_under_a_pod_runs_no_flow_twice(studio: Studio) -> None:
    run = studio.order(60)
    with studio.worker():
        until((studio.folder / "began").exists, "the flow is at work", 90)
        studio.emulator.restart()
        until(lambda: studio.state(run) == "CRASHED", "the run is crashed", 60)
        studio.well_ended()
    assert "the container was started a second time" in studio.words(run)
    assert (studio.notes(run), len(studio.pods_of(run))) == (["began"], 1)
    studio.ledger_is_the_bill()
