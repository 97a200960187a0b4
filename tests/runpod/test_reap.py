"""The reaper deletes what nobody needs, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callsheet.costs import Kind
from callsheet.errors import ProviderError, ServerError
from callsheet.runpod import reap as module
from callsheet.runpod.orders import PodOrder
from callsheet.runpod.pods import pod_name
from callsheet.runpod.reap import Reaped, flow_run_of, reap
from tests.support.pod_account import A40, Account, Time

RUNS = [f"0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f000{n}" for n in range(3)]
HERE = "https://prefect.studio.example/api"


@pytest.fixture
def account() -> Account:
    account = Account(Time())
    for run in RUNS:
        add(account, pod_name(run))
    return account


def add(account: Account, name: str, **env: str) -> None:
    said = {"PREFECT_API_URL": HERE, "CALLSHEET_POD_DEADLINE_S": "600", **env}
    account.make(PodOrder(name=name, image="studio", gpu=A40, env=said))


def reaped(account: Account, wanted: dict[str, str | None] | Exception, **options: Any) -> list[Reaped]:
    async def still_wanted(run: str) -> str | None:
        if isinstance(wanted, Exception):
            raise wanted
        return wanted.get(run, "no such run")

    return asyncio.run(reap(account, still_wanted, account.time.now(), api=HERE, **options))  # type: ignore[arg-type]


def test_pods_of_runs_that_are_over_or_unknown_are_deleted_and_the_wanted_one_stays(account: Account) -> None:
    done = reaped(account, {RUNS[0]: None, RUNS[1]: "its run has ended"})
    assert [(each.pod_id, each.reason, each.deleted) for each in done] == [
        ("pod2", "its run has ended", True), ("pod3", "no such run", True)]
    assert list(account.alive) == ["pod1"]


def test_a_dry_run_tells_the_same_and_deletes_nothing(account: Account) -> None:
    done = reaped(account, {RUNS[0]: None}, dry_run=True)
    assert [(each.pod_id, each.deleted) for each in done] == [("pod2", False), ("pod3", False)]
    assert len(account.alive) == 3


def test_pods_of_others_and_other_names_are_left_alone(account: Account) -> None:
    add(account, "training-7")
    add(account, "callsheet-experiments")
    add(account, pod_name("0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0009"), PREFECT_API_URL="https://other.example/api")
    reaped(account, {})
    assert list(account.alive) == ["pod4", "pod5", "pod6"]


def test_past_its_deadline_every_pod_of_ours_goes_whoever_ordered_it(account: Account) -> None:
    add(account, pod_name("0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0009"), PREFECT_API_URL="https://other.example/api")
    account.time.pass_by(600 + module.SLACK_S + 1)
    done = reaped(account, dict.fromkeys(RUNS))
    assert len(done) == 4
    assert "deadline of 600 s" in done[0].reason
    assert account.alive == {}


def test_while_prefect_does_not_answer_only_the_deadline_speaks(account: Account) -> None:
    away = ServerError(what="Prefect", detail="no", log="its log")
    assert reaped(account, away) == []
    account.time.pass_by(800)
    assert len(reaped(account, away)) == 3


def test_a_pod_that_says_no_deadline_has_a_day() -> None:
    account = Account(Time())
    add(account, pod_name(RUNS[0]), CALLSHEET_POD_DEADLINE_S="soon")
    account.time.pass_by(20 * 3600)
    assert reaped(account, {RUNS[0]: None}) == []
    account.time.pass_by(5 * 3600)
    assert len(reaped(account, {RUNS[0]: None})) == 1


def test_one_that_cannot_be_deleted_does_not_keep_the_others(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(control: Account, pod_id: str, patience_s: float) -> bool:
        if pod_id == "pod1":
            raise ProviderError(provider="RunPod", detail="500")
        return await control.delete_pod(pod_id)

    monkeypatch.setattr(module, "release", denied)
    done = reaped(account, {})
    assert [each.deleted for each in done] == [False, True, True]
    assert "500" in done[0].problem


def test_what_an_orphan_cost_is_a_row_of_the_ledger(account: Account) -> None:
    account.time.pass_by(100)
    row = reaped(account, {})[0].row(account.time.now())
    assert (row.kind, row.seconds, row.key) == (Kind.ORPHAN, 100, f"flow_run/{RUNS[0]}")
    assert row.usd == pytest.approx(100 * 0.79 / 3600)


def test_only_our_names_name_a_run() -> None:
    assert flow_run_of(pod_name(RUNS[0])) == RUNS[0]
    assert flow_run_of("callsheet-experiments") is None
    assert flow_run_of(RUNS[0]) is None
