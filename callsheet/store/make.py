"""Make a recipe, unless it is made already. The one place where stages meet the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from callsheet.errors import Fenced
from callsheet.recipe import Recipe
from callsheet.store.base import Outcome, Progress, Room, Show, no_progress, no_show, private_folder
from callsheet.store.records import Record, Records

Work = Callable[[Room], Outcome]


def make(
    recipe: Recipe,
    work: Work,
    records: Records,
    since: datetime | None = None,
    progress: Progress = no_progress,
    show: Show = no_show,
) -> tuple[Record, bool]:
    """The recipe's record, and whether it was there already.

    `since` makes anew what is older. Of several runs that want the same recipe one makes it and the others
    wait for it. Raises what `work` raises, after writing the failure into the recipe's log. Work whose lease was
    lost, or could not be renewed in time, is stopped by Fenced when it next tells its progress.
    """
    # Who waits for another's work is alive, and says so: a rented machine is given up when nothing moves on it.
    with records.claimed(recipe, since, lambda: progress(0.0, "another run makes it")) as right:
        if isinstance(right, Record):
            return right, True

        def checked(share: float, what: str) -> None:
            right.check()
            progress(share, what)

        with private_folder() as folder:
            room = Room(
                folder=folder,
                open_ref=lambda ref: records.open(ref, folder),
                facts_of=records.facts,
                progress=checked,
                show=show,
            )
            try:
                return right.publish(work(room)), False
            except Fenced:
                theirs = records.current(recipe, since)
                if theirs is None:
                    raise
                return theirs, True
