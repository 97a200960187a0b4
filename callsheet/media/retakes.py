"""Attempts at one film: which scenes are shot anew, and which attempt is delivered in the end.

Pure: what was found comes in as values. Making the attempts is the matter of whoever asks (tasks/gate.py);
`callsheet plan` follows the same way through what is made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callsheet.film import Film
from callsheet.media.findings import Finding
from callsheet.models import CheckPolicy, Order, Scene

MOST_RETAKES = 100
"""As the model of a scene has it."""


@dataclass(frozen=True)
class Attempt:
    """A film that was made and looked at."""

    film: Film
    findings: tuple[Finding, ...]

    @property
    def faulty_s(self) -> float:
        """Seconds of findings that another seed can mend."""
        return round(sum(each.end - each.start for each in self.findings if each.kind.reshootable), 3)


def recorded(facts: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings in the facts of a check."""
    return tuple(Finding.model_validate(each) for each in facts["findings"])


def retake(order: Order, film: Film, findings: Sequence[Finding]) -> Order | None:
    """The order with those scenes shot anew that this can mend; None when nothing is left to try.

    `order` is the one that was asked for: no scene is retaken more often than it allows. The delivery keys stay
    those of the first attempt.
    """
    if order.check.policy is not CheckPolicy.RETRY:
        return None
    bad = {finding.scene for finding in findings if finding.kind.reshootable}
    pairs = list(zip(order.scenes, film.order.scenes, strict=True))
    scenes = tuple(
        now.model_copy(update={"retake": now.retake + 1}) if n in bad and _may(order, asked, now) else now
        for n, (asked, now) in enumerate(pairs)
    )
    if scenes == film.order.scenes:
        return None
    return film.order.model_copy(update={"scenes": scenes, "job_id": film.job_id})


def best(attempts: Sequence[Attempt]) -> Attempt:
    """The one with the fewest seconds to mend; of equal ones the earliest."""
    return min(attempts, key=lambda attempt: attempt.faulty_s)


def reshot(before: Order, after: Order) -> Iterator[int]:
    """Indices of the scenes that the later attempt shoots anew."""
    for n, (one, other) in enumerate(zip(before.scenes, after.scenes, strict=True)):
        if other.retake > one.retake:
            yield n


def why(findings: Sequence[Finding], scene: int) -> str:
    """What was found in a scene that another seed can mend, in words."""
    bad = (finding.detail for finding in findings if finding.scene == scene and finding.kind.reshootable)
    return "; ".join(dict.fromkeys(bad))


def told(attempts: Sequence[Attempt], delivered: Film) -> Iterator[str]:
    """A sentence for each scene that was shot anew, in order. `attempts` are all, the delivered one among them."""
    for before, after in itertools.pairwise(attempts):
        for n in reshot(before.film.order, after.film.order):
            number = after.film.order.scenes[n].retake
            kept = "" if number <= delivered.order.scenes[n].retake else ", but an earlier attempt is delivered"
            yield f"scene {n + 1} was shot anew (retake {number}){kept}: {why(before.findings, n)}"


def _may(order: Order, asked: Scene, now: Scene) -> bool:
    return now.retake < min(MOST_RETAKES, asked.retake + order.check.retries)
