"""The one decorator that turns a domain call into a Prefect task.

    @stage(policy.cpu)
    def splice(recipe: SpliceRecipe, room: Room) -> Outcome: ...

A stage looks in the store first and ends as Cached when its recipe is made. Otherwise it claims the recipe,
takes a slot of its global limit, works in a private folder, publishes, and tells who watches. Retries follow
the error's own word. The same holds without Prefect, where direct.py runs it.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Generic, TypeVar, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from callsheet.errors import CallsheetError
from callsheet.models import Gpu
from callsheet.recipe import Recipe
from callsheet.store.base import Outcome, Room
from callsheet.store.make import make
from callsheet.store.records import Record
from tasks.direct import is_direct, limited, logger, side_by_side
from tasks.endpoint import made_there
from tasks.meter import machine, metered
from tasks.policy import WORKERS, Policy, worth_retrying
from tasks.previews import previewing
from tasks.run import STOP, Seen, check_stopped, current, tell

SIDE_BY_SIDE: TaskRunner[PrefectFuture[Any]] = cast(Any, ThreadPoolTaskRunner)(max_workers=WORKERS)
"""How flows run the recipes of a stage."""

_SLOT_S = 60.0
"""A slot whose holder is gone comes back after so long; Prefect renews it while the work goes on."""

R = TypeVar("R", bound=Recipe)
Work = Callable[[R, Room], Outcome]


def stage(policy: Policy) -> Callable[[Work[R]], StageTask[R]]:
    """Make a stage of a domain call, under `policy`."""
    return lambda work: StageTask(work, policy)


class StageTask(Generic[R]):
    """A stage as flows use it: `poster.each(recipes)`, `splice.one(recipe)`."""

    def __init__(self, work: Work[R], policy: Policy) -> None:
        self.work = work
        self.policy = policy
        self.name = work.__name__
        self.__doc__ = work.__doc__
        self.task: Task[..., Any] = Task(
            fn=self._run,
            name=self.name,
            task_run_name=self.name + ": {recipe.label}",
            description=work.__doc__,
            tags=[policy.kind],
            cache_policy=NO_CACHE,                    # the store is the cache (notes on why: docs/decisions/0001)
            persist_result=False,
            retries=policy.retries,
            retry_delay_seconds=list(policy.pauses_s),
            retry_jitter_factor=policy.jitter,
            retry_condition_fn=worth_retrying,
        )

    def each(self, recipes: Sequence[R], failed: MutableMapping[str, CallsheetError] | None = None) -> list[Record]:
        """The records of all recipes, made side by side where they have to be made.

        One that is made from another of them waits for it. Every one is tried; then the first failure is raised.
        `failed` gets, by fingerprint, what failed by itself: not what only waited for something that failed.
        """
        failed = {} if failed is None else failed
        if is_direct():
            return self._each_directly(recipes, failed)
        futures: dict[str, PrefectFuture[Record]] = {}
        for recipe in recipes:
            before = [futures[ref.fingerprint] for ref in recipe.refs() if ref.fingerprint in futures]
            futures[recipe.fingerprint] = self.task.submit(recipe, wait_for=before)
        try:
            for future in futures.values():
                future.wait()
        except BaseException:                         # this process is to end: what goes on in threads hears of it
            STOP.set()
            raise
        for fingerprint, future in futures.items():
            try:
                future.result()
            except CallsheetError as error:
                failed[fingerprint] = error
            except Exception:                         # a mistake of ours, or it waited in vain: raised below
                continue
        return [futures[recipe.fingerprint].result() for recipe in recipes]

    def _each_directly(self, recipes: Sequence[R], failed: MutableMapping[str, CallsheetError]) -> list[Record]:
        asked = {recipe.fingerprint: recipe for recipe in recipes}

        def before(fingerprint: str) -> list[str]:
            return [ref.fingerprint for ref in asked[fingerprint].refs()]

        def work(fingerprint: str) -> Record:
            try:
                made = self._run(asked[fingerprint])
            except CallsheetError as error:
                failed[fingerprint] = error
                raise
            failed.pop(fingerprint, None)             # it was tried again
            return cast(Record, made.data if isinstance(made, State) else made)

        return side_by_side([recipe.fingerprint for recipe in recipes], work, self.policy, before)

    def one(self, recipe: R) -> Record:
        """The record of one recipe."""
        return self.each([recipe])[0]

    def _run(self, recipe: R) -> Any:
        run = current()
        what = f"{self.name} {recipe.label}"

        def progress(share: float, word: str) -> None:
            check_stopped(what)

        progress(0, "")
        if run.gpu is Gpu.ENDPOINT and recipe.stage.needs_gpu and recipe.fingerprint not in run.at_hand:
            record, cached = made_there(recipe)
        else:
            with previewing(recipe) as show:
                record, cached = make(
                    recipe, self._limited(recipe), run.records, run.since(recipe.stage), progress, show)
        tell(Seen(run.title, recipe, record, cached))
        if cached:
            return Completed(name="Cached", message=f"made {record.made_at:%Y-%m-%d %H:%M} UTC", data=record)
        logger().info("made by %s in %.1f s", record.made_by, record.seconds)
        for warning in record.warnings:
            logger().warning(warning)
        return record

    def _limited(self, recipe: R) -> Callable[[Room], Outcome]:
        if is_direct() or machine() is not None:      # others' limits are no reason to wait on paid time
            return limited(self._metered, recipe, self.policy)

        def work(room: Room) -> Outcome:
            with concurrency(
                self.policy.limit, strict=True, lease_duration=_SLOT_S, raise_on_lease_renewal_failure=False
            ):
                return self.work(recipe, room)

        return work

    def _metered(self, recipe: R, room: Room) -> Outcome:
        with metered(recipe):
            return self.work(recipe, room)
