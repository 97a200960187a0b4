"""`callsheet costs`: sums, the table, the file, and the bill brought into the ledger."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.doors import costs, reconciling
from callsheet.doors.costs import By
from callsheet.errors import InputError, SettingMissing
from callsheet.settings import Settings
from callsheet.store.ledger import Ledger
from tests.doors.loopback import Answer, answering

RATE = 0.00034
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
AVA = Payer(run="night", order="o1", actor="ava", stage="segments", label="scene 1")
LEO = Payer(run="night", order="o2", actor="leo", stage="posters")
NOBODY = Payer()

app = typer.Typer()
app.command()(costs.costs)


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ledger:
    monkeypatch.chdir(tmp_path)
    for row_ in Settings.load().table():
        for name in (row_.name, *row_.also):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return costs.open_ledger(Settings.load())


def row(
    kind: Kind = Kind.WORK, seconds: float = 100, payer: Payer = NOBODY, resource: str = "job-1",
    outcome: Outcome = Outcome.MADE, started: datetime = NOW, reconciled: bool = False,
) -> CostRow:
    return CostRow(
        kind=kind, plane="endpoint", provider_id="ep1", resource=resource, payer=payer, gpu="NVIDIA A40",
        usd_per_second=RATE, outcome=outcome, started=started, seconds=seconds, usd=seconds * RATE,
        upper_usd=seconds * RATE * 1.5, key="segments/f1", reconciled=reconciled,
    )


ROWS = [row(payer=AVA), row(payer=LEO, seconds=200, resource="job-2"),
        row(payer=AVA, seconds=50, resource="job-3", outcome=Outcome.FAILED),
        row(Kind.COLD_START, 30, resource="w1")]


def record(ledger: Ledger, rows: list[CostRow]) -> None:
    for n, one in enumerate(rows):
        ledger.record(one, f"row-{n}")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


# ---- sums

@pytest.mark.parametrize(("by", "names"), [
    (By.ACTOR, ["leo", "ava", "(cold starts)"]), (By.STAGE, ["posters", "segments", "(cold starts)"]),
    (By.RUN, ["night", "(cold starts)"]), (By.GPU, ["NVIDIA A40"]), (By.KIND, ["work", "cold start"]),
    (By.DAY, [NOW.strftime("%Y-%m-%d")]),
])
def test_rows_are_summed_by_what_was_asked_dearest_first(by: By, names: list[str]) -> None:
    found = costs.sums(ROWS, by)
    assert [one.name for one in found] == names
    assert sum(one.usd for one in found) == pytest.approx(380 * RATE)


def test_days_are_in_order_of_time() -> None:
    rows = [row(started=NOW - timedelta(days=n), seconds=10 + n) for n in range(3)]
    names = [one.name for one in costs.sums(rows, By.DAY)]
    assert names == sorted(names)


def test_what_made_nothing_is_told() -> None:
    (ava,) = (one for one in costs.sums(ROWS, By.ACTOR) if one.name == "ava")
    assert (ava.rows, ava.seconds, ava.wasted_usd) == (2, 150, pytest.approx(50 * RATE))


def test_the_upper_bound_counts_only_until_the_bill_is_known() -> None:
    whole = costs.total("all", [row(), row(reconciled=True)])
    assert whole.upper_usd == pytest.approx(150 * RATE + 100 * RATE)
    assert not whole.reconciled


# ---- what is shown

def test_the_table_ends_with_the_total_and_how_sure_it_is(ledger: Ledger) -> None:
    record(ledger, ROWS)
    shown = run()
    assert [line.split()[0] for line in shown.splitlines()[1:5]] == ["leo", "ava", "(cold", "total"]
    assert "$0.1292 by our own clocks, $0.1938 at most; callsheet costs --reconcile takes it from the bill" in shown


@pytest.mark.parametrize(("rows", "words"), [
    ([row(reconciled=True)], "$0.0340, as billed"),
    ([row(reconciled=True), row()], "of which $0.0340 as billed; the rest is by our own clocks"),
    ([], "nothing was paid in that time"),
])
def test_it_says_how_much_is_from_the_bill(rows: list[CostRow], words: str) -> None:
    out = io.StringIO()
    costs.show(Console(file=out, width=200), rows, By.ACTOR)
    assert words in out.getvalue()


def test_bars_are_as_long_as_they_are_dear() -> None:
    out = io.StringIO()
    costs.bars(Console(file=out, width=200), [
        costs.Sum("a", 1, 1, 4.0, 4, 0, True), costs.Sum("b", 1, 1, 1.0, 1, 0, True),
        costs.Sum("c", 1, 1, -1.0, 0, 0, True)])
    assert [line.count("█") for line in out.getvalue().splitlines()] == [40, 10, 0]


def test_json_has_groups_and_total(ledger: Ledger) -> None:
    record(ledger, ROWS)
    found: dict[str, Any] = json.loads(run("--json", "--by", "kind"))
    assert found["by"] == "kind"
    assert found["total"]["usd"] == pytest.approx(380 * RATE)
    assert [one["name"] for one in found["groups"]] == ["work", "cold start"]


def test_the_file_has_every_row_and_no_formula(ledger: Ledger, tmp_path: Path) -> None:
    evil = Payer(run='=HYPERLINK("http://evil")', actor="@ava", label="+1")
    record(ledger, [row(payer=evil), row(resource="job-2", seconds=-5, kind=Kind.ADJUSTMENT)])
    run("--csv", "costs.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "costs.csv").read_text(), newline="")))
    told = next(one for one in rows if one["actor"])
    assert (told["run"], told["actor"], told["label"]) == ("'=HYPERLINK(\"http://evil\")", "'@ava", "'+1")
    assert {one["seconds"] for one in rows} == {"100", "-5"}
    assert run("--csv", "-").splitlines()[0] == ",".join(costs.COLUMNS)


def test_only_the_time_that_is_asked_for_counts(ledger: Ledger) -> None:
    record(ledger, [row(started=NOW - timedelta(days=40)), row(started=NOW - timedelta(days=10))])
    assert json.loads(run("--json"))["total"]["rows"] == 1
    since = (NOW - timedelta(days=41)).strftime("%Y-%m-%d")
    assert json.loads(run("--json", "--since", since))["total"]["rows"] == 2
    until = (NOW - timedelta(days=20)).strftime("%Y-%m-%d")
    assert json.loads(run("--json", "--since", since, "--until", until))["total"]["rows"] == 1
    with pytest.raises(InputError, match="is not after --since"):
        run("--since", until, "--until", since)


# ---- the bill

def answers(pods: list[Any], pod_bill: list[Any], endpoint_bill: list[Any]) -> list[Answer]:
    bodies = [{"pods": pods}, {"records": pod_bill, "metadata": {}}, {"records": endpoint_bill, "metadata": {}},
              {"gpus": []}]
    return [Answer(200, json.dumps(body)) for body in bodies]


def billed(name: str, provider_id: str, usd: float, at: datetime = NOW) -> dict[str, Any]:
    return {name: provider_id, "startTime": at.isoformat(), "endTime": (at + timedelta(hours=1)).isoformat(),
            "totalAmount": usd}


def reconcile(ledger: Ledger, told: list[Answer]) -> int:
    with answering(*told) as server:
        settings = Settings.load({"RUNPOD_API_KEY": "key", "CALLSHEET_RUNPOD_API": server.url})
        return reconciling.reconcile_all(settings, ledger, NOW - timedelta(days=2), datetime.now(UTC))


def test_after_reconciling_the_ledger_is_the_bill_and_twice_changes_nothing(ledger: Ledger) -> None:
    record(ledger, ROWS)
    told = answers([], [billed("podId", "lost-pod", 0.5)], [billed("serverlessId", "ep1", 400 * RATE)])
    assert reconcile(ledger, told) == 6
    rows = ledger.rows()
    assert sum(one.usd for one in rows) == pytest.approx(400 * RATE + 0.5)
    assert all(one.reconciled for one in rows)
    kinds = {kind: sum(one.seconds for one in rows if one.kind is kind) for kind in Kind}
    assert kinds[Kind.WORK] == pytest.approx(350)
    assert kinds[Kind.COLD_START] == pytest.approx(30)
    assert kinds[Kind.IDLE] == pytest.approx(20)
    assert [one.provider_id for one in rows if one.kind is Kind.ORPHAN] == ["lost-pod"]
    assert reconcile(ledger, told) == 0
    assert ledger.rows() == rows


def test_a_later_bill_corrects_an_earlier_one(ledger: Ledger) -> None:
    record(ledger, [row()])
    reconcile(ledger, answers([], [], [billed("serverlessId", "ep1", 60 * RATE)]))
    assert reconcile(ledger, answers([], [], [billed("serverlessId", "ep1", 130 * RATE)])) > 0
    rows = ledger.rows()
    assert sum(one.usd for one in rows) == pytest.approx(130 * RATE)
    assert [one.kind for one in rows if one.seconds] == [Kind.IDLE, Kind.WORK]


def test_pods_of_others_that_live_are_left_out_and_ours_tell_their_rate(ledger: Ledger) -> None:
    pods = [{"id": "p1", "name": "jupyter", "status": "RUNNING", "cost": 1.0, "createdAt": NOW.isoformat()},
            {"id": "p2", "name": "callsheet-x", "status": "RUNNING", "cost": 3.6, "createdAt": NOW.isoformat(),
             "gpu": {"id": "NVIDIA L40S", "count": 1}}]
    reconcile(ledger, answers(pods, [billed("podId", "p1", 9.0), billed("podId", "p2", 0.9)], []))
    (orphan,) = ledger.rows()
    assert (orphan.provider_id, round(orphan.seconds), orphan.gpu) == ("p2", 900, "NVIDIA L40S")


def test_without_a_key_there_is_no_bill(ledger: Ledger) -> None:
    with pytest.raises(SettingMissing, match="RunPod API key is required"):
        run("--reconcile")
