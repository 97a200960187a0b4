"""Whose money a recipe costs: its payer, the budgets it counts in, and what a film's GPU half will cost.

A budget is a scope with a limit: of the order, of the batch on its day, of the day. What is spent and promised is
written down for every scope, limited or not, so that a budget that is set at noon knows about the morning.
"""

from __future__ import annotations

import math
import threading
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
from callsheet.store.base import Store
from callsheet.store.budgets import Budgets
from callsheet.store.ledger import Ledger
from tasks.run import Run, check_stopped, current

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
    if run.gpu is Gpu.POOL:
        return pricing.pod_estimate(todo, run.settings.cards)
    if run.gpu is Gpu.ENDPOINT:
        return pricing.jobs_estimate(todo, run.settings.cards)
    return Estimate()


def unmade(film: Film) -> list[Recipe]:
    """The GPU half's recipes that are still to make."""
    return [recipe for recipe in film.recipes() if recipe.stage.needs_gpu and not _made(recipe)]


def cost_of(job_id: str) -> float:
    """USD that an order has cost so far."""
    return round(sum(row.usd for row in ledger().rows() if row.payer.order == job_id), 6)


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


def judged(usd: float, what: str, kept: float = 0.0, beginning: bool = False) -> Verdict:
    """Look at every budget with a limit. `kept` is promised here and may not be written down yet.

    What is beginning also needs the soft share of the budget to be unspent; what has begun goes on to the hard limit.
    """
    found = Verdict()
    soft = current().settings.budget_soft
    for scope, hard in limits().items():
        if math.isinf(hard):
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


def affordable(films: Sequence[Film]) -> tuple[int, BudgetExceeded | None]:
    """How many of these, from the first, one shoot may take; the reason when it is none."""
    run, refused = current(), None
    for count in range(len(films), 0, -1):
        recipes = {recipe.fingerprint: recipe for film in films[:count] for recipe in unmade(film)}
        worst = estimate(tuple(recipes.values()), run).worst_usd
        refused = judged(worst, f"a shoot of {count}", beginning=True).refused if worst else None
        if refused is None:
            return count, None
    return 0, refused


class Slate:
    """Which films of a batch may begin while others run: so few that those can be finished.

    A film that runs needs its next job's worst case at any time, and in the end what it is expected to cost. Where
    money is limited the first one runs alone: what it really costs corrects what is expected of the others.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._dearer: float | None = None
        """How much dearer than expected films were, at most; None until one was made."""
        self._needs: dict[str, tuple[float, float]] = {}
        """Film -> worst case of one job, and what all of its jobs are expected to cost, in USD."""

    @contextmanager
    def begun(self, film: Film) -> Iterator[None]:
        """Waits while others have the money for it. Call it with the film paying.

        Raises BudgetExceeded when there will be none, Cancelled when this process is asked to stop meanwhile.
        """
        todo = unmade(film)
        if current().gpu is not Gpu.ENDPOINT or not todo:
            yield
            return
        whole, before = estimate(todo, current()).usd, cost_of(film.job_id)
        dearest = max(estimate([recipe], current()).worst_usd for recipe in todo)
        with self._changed:
            while True:
                refused = self._judged(dearest, whole, film.order.title).refused
                if refused is None and not self._unsure():
                    break
                if refused is not None and not self._needs:
                    raise refused
                check_stopped(film.order.title)
                self._changed.wait(1.0)
            self._needs[film.job_id] = dearest, whole
        try:
            yield
            with self._changed:
                self._dearer = max(self._dearer or 0.0, (cost_of(film.job_id) - before) / whole)
        finally:
            with self._changed:
                del self._needs[film.job_id]
                self._changed.notify_all()

    def _unsure(self) -> bool:
        """Whether money is limited and the film that runs has yet to tell what films cost."""
        return bool(self._needs) and self._dearer is None and any(map(math.isfinite, limits().values()))

    def _judged(self, dearest: float, whole: float, title: str) -> Verdict:
        jobs = sum(one for one, _ in self._needs.values())
        films = sum(all_of_it for _, all_of_it in self._needs.values())
        dearer = max(1.0, self._dearer or 1.0)
        first = judged(dearest, title, kept=jobs, beginning=True)
        return first if first.refused is not None else judged(whole * dearer, title, films * dearer, beginning=True)
