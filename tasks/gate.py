"""What the findings of the quality gate lead to, as the order says: tell, shoot anew, or deliver nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prefect import get_run_logger

from callsheet.errors import QualityRefused
from callsheet.film import Film
from callsheet.media.findings import Finding
from callsheet.models import CheckPolicy, Order, Scene
from tasks.run import current

MOST_RETAKES = 100
"""As the model of a scene has it."""


def attempts(order: Order, planned: Callable[[Order], Film]) -> Iterator[Film]:
    """The film to make; and after it is made, for as long as a retake can mend it, the film to make instead.

    Each attempt follows from the findings of the one before, which are in the store: a rerun goes the same way
    and finds everything made. `planned` makes a film of an order. Raises QualityRefused.
    """
    film: Film | None = planned(order)
    while film is not None:
        yield film
        again = retake(order, film, found(film))
        film = planned(again) if again else None


def passed(order: Order, film: Film) -> bool:
    """Whether a film that was checked is the one to deliver; False when scenes are shot anew first.

    Raises QualityRefused when the order wants no film with findings.
    """
    findings = found(film)
    if findings and order.check.policy is CheckPolicy.STOP:
        raise QualityRefused(title=order.title, findings="; ".join(map(str, findings)), count=len(findings))
    again = retake(order, film, findings)
    for n, (before, after) in enumerate(zip(film.order.scenes, again.scenes if again else (), strict=False)):
        if after.retake > before.retake:
            get_run_logger().warning("scene %d is shot anew, with another seed: %s", n + 1, _of(findings, n))
    return again is None


def retake(order: Order, film: Film, findings: Sequence[Finding]) -> Order | None:
    """The order with those scenes shot anew that this can mend; None when nothing is left to try.

    `order` is the one that was asked for: no scene is retaken more often than it allows. The delivery keys stay
    those of the first attempt. Pure.
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


def found(film: Film) -> tuple[Finding, ...]:
    """What the check of a film found. It has to be made."""
    record = current().records.find(film.check.stage, film.check.fingerprint)
    assert record is not None, f"{film.check.stage} {film.check.label} is not made"
    return tuple(Finding.model_validate(each) for each in record.facts["findings"])


def _may(order: Order, asked: Scene, now: Scene) -> bool:
    return now.retake < min(MOST_RETAKES, asked.retake + order.check.retries)


def _of(findings: Sequence[Finding], scene: int) -> str:
    return "; ".join(finding.detail for finding in findings if finding.scene == scene)
