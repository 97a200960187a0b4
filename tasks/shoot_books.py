"""What a shoot on rented machines costs: promised to the budgets before, settled with what was written down after.

The batch's budget has the whole of it, each order's its own share. The day's budget is the worker's matter, who sees
also what others ask of it. A promise whose asker was killed is settled by whoever comes next.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from callsheet.costs import CostRow
from callsheet.film import Film
from callsheet.store.journal import Journal
from tasks.run import current
from tasks.spending import budgets, ledger, limits, paying, priced, unmade

PROMISE = "shoot/"
"""What begins the name of a promise for a shoot."""

_BOOKS_S = 60.0
"""For a machine that is given back after its run has ended."""

_POLL_S = 1.0


def reserve(key: str, films: Sequence[Film]) -> None:
    """The worst case of one machine for all of these. Raises BudgetExceeded; nothing is reserved then."""
    recipes = {recipe.fingerprint: recipe for film in films for recipe in unmade(film)}
    whole = priced(tuple(recipes.values())).worst_usd
    parts = {film.job_id: priced(unmade(film)).worst_usd for film in films}
    done: dict[str, float] = {}
    try:
        for scope, hard, usd in _scopes(films, whole, parts):
            budgets().reserve({scope: hard}, PROMISE + key, usd, f"a shoot of {films[0].order.title}")
            done[scope] = usd
    except BaseException:
        budgets().settle(done, PROMISE + key, 0.0)
        raise


def settle(promise: str, orders: Collection[str], runs: Collection[str]) -> None:
    """Settle with what the machines of these flow runs cost. What is not known yet stays promised."""
    if not _booked(runs):
        return
    whole, by_order = _cost(runs)
    costs = dict.fromkeys(_batch_scope(), whole) | {f"order/{order}": by_order.get(order, 0.0) for order in orders}
    for scope, usd in costs.items():
        if promise in budgets().promises(scope):       # not every film here was in that shoot
            budgets().settle([scope], promise, usd)


def left(films: Sequence[Film]) -> dict[str, float]:
    """Promises for shoots that stand in the budgets of this batch and of these films -> seconds that they stand."""
    scopes = [*_batch_scope(), *(f"order/{film.job_id}" for film in films)]
    now = time.time()
    return {
        name: now - entry.at.timestamp()
        for scope in scopes for name, entry in budgets().promises(scope).items() if name.startswith(PROMISE)
    }


def _scopes(films: Sequence[Film], whole: float, parts: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Scope, its limit, and what is promised in it."""
    found = [(scope, limits()[scope], whole) for scope in _batch_scope()]
    scale = whole / sum(parts.values()) if sum(parts.values()) else 0.0
    for film in films:
        with paying(film.order, film.job_id):
            scope = f"order/{film.job_id}"
            found.append((scope, limits()[scope], parts[film.job_id] * scale))
    return found


def _batch_scope() -> list[str]:
    return [scope for scope in limits() if scope.startswith("batch/")]


def _booked(runs: Collection[str]) -> bool:
    """Wait until their worker has given the machines back and written down what they cost; whether it has."""
    keys = {f"flow_run/{run}" for run in runs}
    journal, end = Journal(current().records.store), time.monotonic() + _BOOKS_S
    while keys & set(journal.open_keys("flow_run/")):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _cost(runs: Collection[str]) -> tuple[float, dict[str, float]]:
    """The most that the machines of these runs cost, in USD: in all, and for each order its work with a share of the
    time around it.
    """
    keys, rows = {f"flow_run/{run}" for run in runs}, ledger().rows()
    machines = {row.resource for row in rows if row.key in keys}
    own = [row for row in rows if row.resource in machines]
    whole = sum(map(_most, own))
    work: dict[str, float] = {}
    for row in own:
        if row.payer.order:
            work[row.payer.order] = work.get(row.payer.order, 0.0) + _most(row)
    told = sum(work.values())
    return whole, {order: usd * whole / told for order, usd in work.items()} if told else {}


def _most(row: CostRow) -> float:
    return max(row.usd, row.upper_usd)
