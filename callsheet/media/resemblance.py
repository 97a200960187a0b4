"""Whether the actors of a film look like their posters, as findings of the quality gate.

What measures likeness comes from outside (faces/identity.py): here is who is compared where, and what is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from callsheet.likeness import Compare, Likeness, Metric, Sitting
from callsheet.media.findings import Finding, Kind, Measured
from callsheet.recipes import CheckRecipe
from callsheet.store.base import Room

_REMEDY = ("shoot this scene anew (set its retake one higher, or the policy of checks to retry), raise the strength of "
           "the actor's LoRA, or raise identity in the order's check")


def examine(recipe: CheckRecipe, room: Room, compare: Compare) -> Measured:
    """Findings, and as figures the metric and every distance. Raises MediaUnreadable."""
    assert recipe.identity is not None
    posters = {sitter.poster: room.fetch(sitter.poster) for sitter in recipe.sitters}
    sittings = [
        Sitting(scene=sitter.scene, actor=sitter.actor, poster=posters[sitter.poster], first=sitter.first,
                end=min(sitter.end, recipe.frames))
        for sitter in recipe.sitters
    ]
    likenesses = compare(room.fetch(recipe.film), recipe.fps, sittings, recipe.identity)
    found = [_finding(each, recipe) for each in likenesses if not each.same]
    return Measured(found, {"identity_metric": _metrics(likenesses), "identity": [_told(each) for each in likenesses]})


def _finding(likeness: Likeness, recipe: CheckRecipe) -> Finding:
    sitting = likeness.sitting
    who = "somebody else is seen" if likeness.metric is Metric.FACE else "nothing of the poster is seen"
    return Finding(
        kind=Kind.IDENTITY, start=round(float(sitting.first / recipe.fps), 4),
        end=round(float(sitting.end / recipe.fps), 4), scene=sitting.scene, detail=f"{who} ({likeness})",
        remedy=_REMEDY,
    )


def _metrics(likenesses: Sequence[Likeness]) -> str:
    """In words, with the largest distance of each."""
    told = []
    for metric in Metric:
        those = [each for each in likenesses if each.metric is metric]
        if those:
            worst = max(those, key=lambda each: each.distance / each.limit)
            told.append(f"{metric}: at most {worst.distance:.2f} of {worst.limit:.2f}")
    return "; ".join(told) or "no picture could be compared"


def _told(likeness: Likeness) -> dict[str, float | int | str]:
    return {
        "scene": likeness.sitting.scene + 1, "actor": likeness.sitting.actor, "metric": str(likeness.metric),
        "distance": likeness.distance, "limit": likeness.limit, "frames": likeness.frames, "why": likeness.why,
    }
