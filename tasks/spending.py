"""Whose money a recipe costs: its payer, the budgets it counts in, and what a film's GPU half will cost.

A budget is a scope with a limit: of the order, of the batch on its day, of the day. What is spent and promised is
written down for every scope, limited or not, so that a budget that is set at noon knows about the morning.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from callsheet import pricing
from callsheet.costs import Payer
from callsheet.errors import BudgetExceeded
from callsheet.film import Film
from callsheet.models import Gpu, Order
from callsheet.pricing import Estimate
from callsheet.recipe import Recipe, Stage
from callsheet.recipes import ClipRecipe, PosterRecipe
from callsheet.runpod.rates import Rates, rates
from callsheet.settings import Settings
from callsheet.store.base import Store
from callsheet.store.budgets import Budgets
from callsheet.store.ledger import Ledger
from tasks.planes import planes
from tasks.run import Run, current

PRICES_S = 300.0
"""How long prices that were read are taken for those of a submit."""

WAIT_S = 3600.0
"""How long something waits for money that others were promised; a promise that stands longer is somebody's mistake."""

_PRICES: dict[tuple[str, str], tuple[float, Rates]] = {}
_READING = threading.Lock()
_PAYING: ContextVar[tuple[Order, str] | None] = ContextVar("callsheet_paying", default=None)


@contextmanager
def paying(order: Order, job_id: str) -> Iterator[None]:
    """GPU work inside is for this order."""
    token = _PAYING.set((order, job_id))
    try:
        yield
    finally:
        _PAYING.reset(token)


def payer(recipe: Recipe) -> Payer:
    """Who a recipe is made for. Posters and takes are their own actor's, also in somebody else's film."""
    run, (order, job_id) = current(), _PAYING.get() or (None, "")
    return Payer(
        run=run.purse.batch or run.title,
        order=job_id,
        actor=_actor(recipe) or (order.cast[0].id if order else ""),
        stage=recipe.stage,
        label=recipe.label,
        budgets=tuple(limits()),
    )


def limits() -> dict[str, float]:
    """The budgets that GPU work counts in here, and what each may come to; infinity where there is no limit."""
    run, about = current(), _PAYING.get()
    found = {day_scope(): _limit(run.settings.budget_day)}
    if run.purse.batch:
        found[f"batch/{run.purse.batch}"] = _limit(run.purse.budget or run.settings.budget_batch)
    if about is not None:
        order, job_id = about
        found[f"order/{job_id}"] = _limit(order.budget or run.settings.budget_order)
    return found


def day_scope(moment: datetime | None = None) -> str:
    """The budget of a day, UTC."""
    return f"day/{moment or datetime.now(UTC):%Y-%m-%d}"


def budgets() -> Budgets:
    """What is spent and promised, in this run's store."""
    return _opened(current().records.store)[0]


def ledger() -> Ledger:
    """What was paid, in this run's store."""
    return _opened(current().records.store)[1]


def estimate(recipes: Sequence[Recipe], run: Run) -> Estimate:
    """What it will cost to make these where the run's GPU work goes; nothing where it runs here."""
    todo = [recipe for recipe in recipes if recipe.stage.needs_gpu]
    if run.settings.runpod_api_key is None:           # a pool of processes on machines of one's own
        return Estimate()
    if run.gpu is Gpu.POOL:
        return pricing.pod_estimate(todo, run.settings.cards)
    if run.gpu is Gpu.ENDPOINT:
        return pricing.jobs_estimate(todo, run.settings.cards)
    return Estimate()


def priced(recipes: Sequence[Recipe]) -> Estimate:
    """As `estimate`, at the prices of this moment: for whoever is about to spend. Asks the provider, at most every
    five minutes; the list stands in for a silent one.
    """
    run, todo = current(), [recipe for recipe in recipes if recipe.stage.needs_gpu]
    if run.gpu not in (Gpu.POOL, Gpu.ENDPOINT) or not todo or run.settings.runpod_api_key is None:
        return Estimate()
    rates = prices(run.settings)
    if run.gpu is Gpu.POOL:
        return pricing.pod_estimate(todo, run.settings.cards, rates.pod)
    return pricing.jobs_estimate(todo, run.settings.cards, rates.job)


def prices(settings: Settings) -> Rates:
    """What the allowed cards cost, as the catalogue had it some minutes ago at most."""
    place = (settings.runpod_api, settings.runpod_gpus)
    with _READING:                                    # the control plane allows one request a second
        known = _PRICES.get(place)
        if known is None or time.monotonic() - known[0] > PRICES_S:
            known = _PRICES[place] = time.monotonic(), asyncio.run(_read_prices(settings))
        return known[1]


async def _read_prices(settings: Settings) -> Rates:
    _, control = planes(settings)
    async with control:
        return await rates(control, settings.cards)


def unmade(film: Film) -> list[Recipe]:
    """The GPU half's recipes that are still to make."""
    return [recipe for recipe in film.recipes() if recipe.stage.needs_gpu and not _made(recipe)]


def cost_of(job_id: str) -> float:
    """The most that an order has cost so far, in USD: what its budget was settled with."""
    return round(budgets().standing(f"order/{job_id}").spent, 6)


def _made(recipe: Recipe) -> bool:
    run = current()
    return run.records.current(recipe, run.since(recipe.stage)) is not None


def _actor(recipe: Recipe) -> str:
    if recipe.stage not in (Stage.POSTER, Stage.TAKES) or not isinstance(recipe, (PosterRecipe, ClipRecipe)):
        return ""
    return next((use.name for use in recipe.loras if use.role == "character"), "")


def _limit(usd: float | None) -> float:
    return math.inf if usd is None else usd


_OPENED: WeakKeyDictionary[Store, tuple[Budgets, Ledger]] = WeakKeyDictionary()
"""One of each a store: they remember what they read."""


def _opened(store: Store) -> tuple[Budgets, Ledger]:
    return _OPENED.setdefault(store, (Budgets(store), Ledger(store)))


class Verdict(NamedTuple):
    """Whether money is there for something that could cost so much."""

    refused: BudgetExceeded | None = None
    """Why not; None when it is there."""
    later: bool = False
    """Whether it will be there once what is promised now turns out cheaper: worst cases seldom come true."""


def judged(usd: float, what: str, kept: float = 0.0, beginning: bool = False, only: str = "") -> Verdict:
    """Look at every budget with a limit, or at those whose scope begins with `only`.

    `kept` is promised here and may not be written down yet. What is beginning also needs the soft share of the
    budget to be unspent; what has begun goes on to the hard limit.
    """
    found = Verdict()
    soft = current().settings.budget_soft
    for scope, hard in limits().items():
        if math.isinf(hard) or not scope.startswith(only):
            continue
        standing = budgets().standing(scope)
        promised = max(standing.promised, kept)
        over = beginning and standing.spent >= soft * hard
        if over or standing.spent + promised + usd > hard:
            error = BudgetExceeded(scope=scope, hard=hard, spent=standing.spent + promised, what=what, worst=usd)
            found = Verdict(error, later=not over and standing.spent + usd <= hard)
            if not found.later:
                break
    return found
