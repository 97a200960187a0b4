"""What of a batch may begin while money is limited: chunks that a budget can carry, films that can be finished."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from callsheet.errors import BudgetExceeded
from callsheet.film import Film
from callsheet.models import Gpu
from callsheet.recipe import Recipe
from tasks.direct import logger
from tasks.run import check_stopped, current
from tasks.spending import WAIT_S, Verdict, cost_of, judged, limits, priced, unmade

_LOOK_S = 5.0

T = TypeVar("T")


def affordable(films: Sequence[Film]) -> tuple[int, BudgetExceeded | None]:
    """How many of these, from the first, one shoot may take; the reason when it is none.

    Waits while only what others were promised is in the way. Raises Cancelled.
    """
    todo = [unmade(film) for film in films]
    words = f"a shoot of {films[0].order.title}"

    def look() -> tuple[int, Verdict]:
        verdict = Verdict()
        for count in range(len(films), 0, -1):
            worst = priced(_together(todo[:count])).worst_usd
            verdict = judged(worst, words, beginning=True) if worst else Verdict()
            if verdict.refused is None:
                return count, verdict
        return 0, verdict

    count, verdict = patient(look, lambda found: found[1], words)
    return count, verdict.refused


def patient(look: Callable[[], T], verdict_of: Callable[[T], Verdict], what: str) -> T:
    """Look again and again while money is only promised. Raises Cancelled."""
    end, told = time.monotonic() + WAIT_S, False
    while True:
        found = look()
        verdict = verdict_of(found)
        if verdict.refused is None or not verdict.later or time.monotonic() > end:
            return found
        if not told:
            logger().info("%s waits for money that is promised: %s", what, verdict.refused.what)
            told = True
        check_stopped(what)
        time.sleep(_LOOK_S)


def _together(many: Sequence[Sequence[Recipe]]) -> list[Recipe]:
    """Each once: films share posters and takes."""
    return list({recipe.fingerprint: recipe for recipes in many for recipe in recipes}.values())


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
        whole, before = priced(todo).usd, cost_of(film.job_id)
        dearest = max(priced([recipe]).worst_usd for recipe in todo)
        self._wait(film, dearest, whole)
        try:
            yield
            with self._changed:
                self._dearer = max(self._dearer or 0.0, (cost_of(film.job_id) - before) / whole)
        finally:
            with self._changed:
                del self._needs[film.job_id]
                self._changed.notify_all()

    def _wait(self, film: Film, dearest: float, whole: float) -> None:
        title, end = film.order.title, time.monotonic() + WAIT_S
        with self._changed:
            while True:
                verdict = self._judged(dearest, whole, title)
                if verdict.refused is None and not self._unsure():
                    break
                hopeless = not verdict.later or time.monotonic() > end
                if verdict.refused is not None and not self._needs and hopeless:
                    raise verdict.refused
                check_stopped(title)
                self._changed.wait(1.0)
            self._needs[film.job_id] = dearest, whole

    def _unsure(self) -> bool:
        """Whether money is limited and the film that runs has yet to tell what films cost."""
        return bool(self._needs) and self._dearer is None and any(map(math.isfinite, limits().values()))

    def _judged(self, dearest: float, whole: float, title: str) -> Verdict:
        jobs = sum(one for one, _ in self._needs.values())
        films = sum(all_of_it for _, all_of_it in self._needs.values())
        dearer = max(1.0, self._dearer or 1.0)
        first = judged(dearest, title, kept=jobs, beginning=True)
        if first.refused is not None:
            return first
        # Its last job needs the worst case too, when all the others are paid: else it would end one job short.
        return judged(whole * dearer + dearest, title, films * dearer, beginning=True)
