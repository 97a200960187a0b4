"""One recipe as a job of a RunPod endpoint: paid once, watched, written down.

The job makes the recipe into the store that both sides share; its result is read there. Who may submit, adopt or
give up is paying.py's matter, what the provider says client.py's. This joins them for one recipe of one run.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.errors import BudgetExceeded, JobLost, JobTimedOut, ProviderError, SettingMissing
from callsheet.pricing import COLD_START_S, IDLE_S, Rate, dearest, worst_s
from callsheet.recipe import Recipe
from callsheet.runpod.client import JobsClient, JobState, JobStatus, Policy, Watch
from callsheet.runpod.control import Control
from callsheet.runpod.http import Api
from callsheet.runpod.job_inputs import StageJob
from callsheet.runpod.rates import job_rates
from callsheet.runpod.replies import told
from callsheet.settings import Settings
from callsheet.store.budgets import Budgets
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.journal import Journal
from callsheet.store.journal_entries import Intent
from callsheet.store.ledger import Ledger
from callsheet.store.paying import paid_once
from callsheet.store.records import Record
from tasks.run import Run, check_stopped, current
from tasks.spending import budgets, judged, ledger, limits, payer

QUEUE_S = 3600.0
"""How long a job may wait for a worker. Its `ttl` covers that too: what expires in the queue is gone."""

PRICES_S = 300.0
"""How long prices that were read are taken for those of a submit."""

_LOOK_S = 1.0
_MOMENT = timedelta(milliseconds=1)

_PRICES: dict[tuple[str, str], tuple[float, Mapping[str, Rate]]] = {}
_WORKERS: dict[str, dict[str, Any]] = {}
"""Of each worker that had a job of ours: id, card and start, read once."""

_ENDS: Mapping[JobState, Outcome] = {
    JobState.COMPLETED: Outcome.MADE, JobState.FAILED: Outcome.FAILED, JobState.CANCELLED: Outcome.CANCELLED,
    JobState.TIMED_OUT: Outcome.TIMED_OUT,
}


def made_there(recipe: Recipe) -> tuple[Record, bool]:
    """The recipe's record, made by the endpoint unless it was there already; whether it was.

    Raises SettingMissing, BudgetExceeded, and what paid_once raises.
    """
    run = current()
    there = run.records.current(recipe, run.since(recipe.stage))
    if there is not None:
        return there, True
    return asyncio.run(_made(recipe, run)), False


async def _made(recipe: Recipe, run: Run) -> Record:
    settings, store = run.settings, run.records.store
    api, control = planes(settings)
    async with api, control:
        jobs = EndpointJobs(
            JobsClient(api, endpoint_of(settings), control), control, recipe, run.since(recipe.stage), payer(recipe),
            await _rates(control, settings), limits(), _speed(settings),
        )
        what = f"{recipe.stage} {recipe.label}"
        while True:
            await _money_for(jobs.worst()[0], what)
            with contextlib.suppress(_Later):
                return await paid_once(
                    f"{recipe.stage}/{recipe.fingerprint}", Journal(store), jobs,
                    lambda: run.records.current(recipe, run.since(recipe.stage)), store=store,
                    accounts=Books(budgets(), ledger(), limits(), what), check=lambda: check_stopped(what),
                )


class _Later(BudgetExceeded):
    """Somebody else was quicker, and what he reserved may turn out cheaper."""


async def _money_for(usd: float, what: str) -> None:
    """Wait while only the worst cases of others are in the way. Raises BudgetExceeded, Cancelled."""
    while (verdict := await asyncio.to_thread(judged, usd, what)).refused is not None:
        if not verdict.later:
            raise verdict.refused
        check_stopped(what)
        await asyncio.sleep(_LOOK_S)


def planes(settings: Settings) -> tuple[Api, Control]:
    """The jobs plane and the control plane of the account. Raises SettingMissing."""
    if settings.runpod_api_key is None:
        raise SettingMissing(subject="RunPod API key", variable="RUNPOD_API_KEY")
    key = settings.runpod_api_key
    return Api(settings.runpod_jobs, key), Control(Api(settings.runpod_api, key))


def endpoint_of(settings: Settings) -> str:
    """Raises SettingMissing."""
    if settings.runpod_endpoint is None:
        raise SettingMissing(subject="the endpoint's id", variable="RUNPOD_ENDPOINT_ID (callsheet runpod up tells it)")
    return settings.runpod_endpoint


async def _rates(control: Control, settings: Settings) -> Mapping[str, Rate]:
    """Prices as the catalogue had them some minutes ago at most: the control plane allows one request a second."""
    known = _PRICES.get((settings.runpod_api, settings.runpod_gpus))
    if known is None or time.monotonic() - known[0] > PRICES_S:
        known = time.monotonic(), await job_rates(control, settings.cards)
        _PRICES[settings.runpod_api, settings.runpod_gpus] = known
    return known[1]


def _speed(settings: Settings) -> float:
    return min(card.speed for card in settings.cards)


class EndpointJobs:
    """The jobs of one recipe (store/jobs.py). Every attempt is the same job with another number."""

    def __init__(
        self, client: JobsClient, control: Control, recipe: Recipe, since: datetime | None, payer: Payer,
        rates: Mapping[str, Rate], budgets: Mapping[str, float], speed: float,
    ) -> None:
        self.client = client
        self.control = control
        self.recipe = recipe
        self.since = since
        self.payer = payer
        self.rates = rates
        self.policy = Policy.covering(worst_s(recipe, speed), QUEUE_S)
        self._facts = {
            "endpoint": client.endpoint, "payer": payer.model_dump(mode="json"), "budgets": list(budgets),
            "rates": {gpu: rate.usd_per_second for gpu, rate in rates.items()},
        }

    def worst(self) -> tuple[float, Rate | None, Mapping[str, Any]]:
        rate = dearest(self.rates.values())
        return rate.cost(self.policy.execution_s + COLD_START_S + IDLE_S), rate, self._facts

    async def submit(self, key: str, attempt: int) -> str:
        job = StageJob.of(self.recipe, attempt, self.since)
        return await self.client.submit(job.model_dump(mode="json"), self.policy)

    async def wait(self, job_id: str, beat: Beat) -> JobEnd:
        return await watched(self.client, self.control, job_id, beat, self.policy)

    async def cancel(self, job_id: str) -> None:
        await self.client.cancel(job_id)


async def watched(client: JobsClient, control: Control, job_id: str, beat: Beat, policy: Policy) -> JobEnd:
    """Wait for a job, whoever submitted it: how it ended, how long it was at work, on which worker and card."""
    seen = _Seen(client, control)

    async def look(status: JobStatus) -> None:
        await seen.look(status)
        await beat()

    try:
        status = await client.wait(job_id, on_status=look, watch=Watch.covering(policy))
    except JobTimedOut as error:
        return seen.end(job_id, Outcome.TIMED_OUT, error.code, str(error.facts.get("detail", "")), error.fix, True)
    except JobLost as error:
        return seen.end(job_id, Outcome.LOST, error.code, str(error.facts.get("detail", "")), error.fix, True)
    return seen.ended(status)


async def ended_as(client: JobsClient, status: JobStatus) -> JobEnd:
    """The end of a job that nobody watched and that is over."""
    seen = _Seen(client, client.control)
    await seen.look(status)
    return seen.ended(status)


class _Seen:
    """What was observed of a job, for the accounts: its first and last moment at work, its worker and card."""

    def __init__(self, client: JobsClient, control: Control | None) -> None:
        self._client = client
        self._control = control
        self._status: JobStatus | None = None
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._facts: dict[str, Any] = {}

    async def look(self, status: JobStatus) -> None:
        if status is self._status:                     # told again while the provider is silent: nobody saw it work
            return
        self._status, now = status, datetime.now(UTC)
        if status.state is JobState.IN_PROGRESS:
            self._last = now
            if self._first is None:
                self._first = now
        if status.worker_id and "gpu" not in self._facts:
            await self._identify(status.worker_id)
        if status.delay_s:
            self._facts["delay_s"] = status.delay_s

    async def _identify(self, worker_id: str) -> None:
        if worker_id not in _WORKERS and self._control is not None:
            with contextlib.suppress(ProviderError):       # without a card the rate is bounded, not known
                for worker in await self._control.workers(self._client.endpoint):
                    born = worker.started_at.isoformat() if worker.started_at else ""
                    if worker.gpu_type_id:
                        _WORKERS[worker.id] = {"worker": worker.id, "gpu": worker.gpu_type_id, "worker_started": born}
        self._facts |= _WORKERS.get(worker_id, {"worker": worker_id, "gpu": ""})

    def ended(self, status: JobStatus) -> JobEnd:
        """A job that is over. FAILED says whether another attempt can help; a time-out may always be the card's."""
        outcome, account = _ENDS[status.state], told(status)
        message, remedy, code, again = "", "", "", outcome is Outcome.TIMED_OUT
        if account is not None and outcome is not Outcome.TIMED_OUT:
            code, message, remedy, again = account.code, account.message, account.remedy, account.retryable
            outcome = Outcome.DUPLICATE if code == "claim.taken" else Outcome.FAILED
        elif account is not None:
            message = account.message
        output = status.output if isinstance(status.output, Mapping) else {}
        files = output.get("artifacts") if outcome is Outcome.MADE else None
        return self.end(status.id, outcome, code, message, remedy, again, status.execution_s, _digests(files))

    def end(
        self, job_id: str, outcome: Outcome, code: str = "", message: str = "", remedy: str = "",
        retryable: bool = False, execution_s: float = 0.0, artifacts: Mapping[str, str] | None = None,
    ) -> JobEnd:
        """Seconds are what the provider says, else as long as we saw it at work."""
        watched_s = (self._last - self._first).total_seconds() if self._first and self._last else 0.0
        seconds = float(math.ceil(execution_s)) if execution_s else float(math.floor(watched_s))
        started = self._first or datetime.now(UTC) - timedelta(seconds=seconds)
        return JobEnd(
            outcome=outcome, job_id=job_id, seconds=seconds, code=code, message=message, remedy=remedy,
            retryable=retryable, artifacts=dict(artifacts or {}), started=started, facts=self._facts,
        )


def _digests(files: Any) -> dict[str, str]:
    """The files that a job tells of. What is no digest is left out: the store knows what was made."""
    told = files.items() if isinstance(files, Mapping) else ()
    return {str(name): sha for name, sha in told if isinstance(sha, str) and re.fullmatch(r"[0-9a-f]{64}", sha)}


class Books:
    """Budgets and ledger for one recipe's attempts (store/jobs.py)."""

    def __init__(self, budgets: Budgets, ledger: Ledger, limits: Mapping[str, float], what: str) -> None:
        self.budgets = budgets
        self.ledger = ledger
        self.limits = limits
        self.what = what

    def reserve(self, key: str, attempt: int, usd: float) -> None:
        try:
            self.budgets.reserve(self.limits, f"{key}/{attempt}", usd, self.what)
        except BudgetExceeded as error:
            raise (_Later(**error.facts) if judged(usd, self.what).later else error) from None

    def settle(self, key: str, intent: Intent, end: JobEnd) -> None:
        """The job's row, its worker's cold start where this is the first we see of it, and the budgets' share."""
        spent, longest = 0.0, math.ceil((datetime.now(UTC) - intent.at).total_seconds())
        if 0 < longest < end.seconds:                  # the provider's clocks are wrong: that long ago it was not there
            end = end.model_copy(update={"seconds": float(longest)})
        if end.job_id:
            rows = rows_of(key, intent, end, max(longest, 0.0))
            for row, name in rows:
                new = self.ledger.record(row, name)    # the second time, after a crash, it is there and the same
                spent += row.usd if new or row in self.ledger.rows(row.started, row.started + _MOMENT) else 0.0
        self.budgets.settle(intent.facts.get("budgets", ()), f"{key}/{intent.attempt}", spent)


def rows_of(key: str, intent: Intent, end: JobEnd, since_s: float) -> list[tuple[CostRow, str]]:
    """A job's rows with their names. The upper bound has a cold start and the idle time after it.

    `since_s` is how long ago it was submitted: as long a worker may have started, and crashed, for a job that was
    cancelled before it began.
    """
    known = {str(gpu): float(usd) for gpu, usd in dict(intent.facts.get("rates", {})).items()}
    gpu = str(end.facts.get("gpu", ""))
    worst = max(known.values(), default=intent.rate.usd_per_second if intent.rate else 0.0)
    rate = known.get(gpu, min(known.values(), default=worst))
    endpoint, at = str(intent.facts.get("endpoint", "")), end.started or intent.at
    delay_s = float(end.facts.get("delay_s", 0.0))
    starting_s = delay_s if end.seconds or end.outcome is not Outcome.CANCELLED else since_s
    upper = (end.seconds * known.get(gpu, worst)) + (max(COLD_START_S, starting_s) + IDLE_S) * known.get(gpu, worst)
    payer = Payer.model_validate(intent.facts.get("payer", {}))
    work = CostRow(
        kind=Kind.WORK, plane="endpoint", provider_id=endpoint, resource=end.job_id, payer=payer, gpu=gpu,
        usd_per_second=rate, attempt=intent.attempt, outcome=end.outcome, started=at, seconds=end.seconds,
        usd=end.seconds * rate, upper_usd=upper, key=key,
    )
    began = end.facts.get("worker_started")
    if not began:
        return [(work, "work")]
    born = datetime.fromisoformat(str(began))
    cold_s = max(0.0, min((at - born).total_seconds(), delay_s))
    cold = work.model_copy(update={
        "kind": Kind.COLD_START, "resource": str(end.facts["worker"]), "started": born if cold_s else at,
        "seconds": cold_s, "usd": cold_s * rate, "upper_usd": cold_s * rate, "outcome": Outcome.UNKNOWN, "attempt": 1,
        "payer": payer.model_copy(update={"stage": "", "label": ""}),
    })
    return [(work, "work"), (cold, "cold_start")]
