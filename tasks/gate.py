"""What the findings of the quality gate lead to, as the order says: tell, shoot anew, or deliver nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prefect import get_run_logger

from callsheet.errors import QualityRefused
from callsheet.film import Film
from callsheet.media.retakes import Attempt, best, recorded, reshot, retake, why
from callsheet.models import CheckPolicy, Order
from tasks.run import current
from tasks.spending import priced, unmade


class Attempts:
    """The films to make of one order, one after another, until one of them is to be delivered.

    Each attempt follows from the findings of those before, which are in the store: a rerun goes the same way and
    finds everything made. When nothing is left to try the best one is delivered: if that is an earlier one, it
    comes once more, and is made already. `planned` makes a film of an order.
    """

    def __init__(self, order: Order, planned: Callable[[Order], Film]) -> None:
        self._order = order
        self._planned = planned
        self._next: Order | Film | None = order
        self._made: list[Attempt] = []
        self.estimate_usd = 0.0
        """What the GPU work of all attempts was expected to cost, before each began."""

    @property
    def made(self) -> tuple[Attempt, ...]:
        """All that were made and looked at, each once."""
        return tuple(self._made)

    def __iter__(self) -> Iterator[Film]:
        while self._next is not None:
            coming, self._next = self._next, None
            film = self._planned(coming) if isinstance(coming, Order) else coming
            self.estimate_usd += priced(unmade(film)).usd
            yield film

    def passed(self, film: Film) -> bool:
        """Whether a film that was checked is the one to deliver; False when another one follows.

        Raises QualityRefused when the order wants no film with findings.
        """
        if any(attempt.film is film for attempt in self._made):
            return True                                # it was brought back as the best one
        attempt = Attempt(film, recorded(current().records.facts(film.check.ref())))
        self._made.append(attempt)
        if attempt.findings and self._order.check.policy is CheckPolicy.STOP:
            raise _refused(self._order, attempt)
        again = self._next = retake(self._order, film, attempt.findings)
        if again is not None:
            for n in reshot(film.order, again):
                reason = why(attempt.findings, n)
                get_run_logger().warning("scene %d is shot anew, with another seed: %s", n + 1, reason)
            return False
        chosen = best(self._made)
        if chosen is attempt:
            return True
        get_run_logger().warning("attempt %d was the best one, and is delivered", self._made.index(chosen) + 1)
        self._next = chosen.film
        return False


def _refused(order: Order, attempt: Attempt) -> QualityRefused:
    """Says where the film lies: no signed link, because errors are logged, and read when it has expired."""
    records, film = current().records, attempt.film
    mixed = records.find(film.mix.stage, film.mix.fingerprint)
    assert mixed is not None, f"{film.mix.stage} {film.mix.label} is not made"
    facts = {
        "title": order.title, "count": len(attempt.findings), "findings": "; ".join(map(str, attempt.findings)),
        "job_id": film.job_id, "film": f"{records.store.url}/{mixed.artifacts['main'].key}",
    }
    if not any(finding.kind.reshootable for finding in attempt.findings):
        facts["remedy"] = "mend that, or set the policy of checks to warn (it is delivered)"
    return QualityRefused(**facts)
