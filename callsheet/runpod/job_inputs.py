"""What the handler takes beside the job types of callsheet/jobs: one stage's recipe, a shoot, a whole flow run.

Covers shape and sense: a stage's recipe has to be the one that its key names. Senders and receiver use the same
models. Nothing is run here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from callsheet.errors import RequestInvalid
from callsheet.jobs.reading import read_request
from callsheet.jobs.requests import JOBS, AnyRequest
from callsheet.models import Order
from callsheet.recipe import Recipe, Stage
from callsheet.recipes import ANY_RECIPE
from callsheet.runpod.pod_env import BROUGHT, place_of
from callsheet.units import Frozen
from callsheet.words import Mistaken, told

RECIPES: Mapping[Stage, type[Recipe]] = {kind.stage: kind for kind in ANY_RECIPE if kind.stage.needs_gpu}
"""The stages that are sent to a GPU."""


class StageJob(Frozen):
    """One recipe of the GPU half, to be made into the store that worker and sender share."""

    job_type: Literal["stage"] = "stage"
    key: str
    """`stage/fingerprint`: what claims and journal call it."""
    stage: Stage
    recipe: dict[str, Any]
    """The recipe's fields as JSON."""
    attempt: int = Field(1, ge=1)
    """Each is claimed once, so a job that is sent twice is made once."""
    since: AwareDatetime | None = None
    """Make it anew if it was made before; None takes any."""

    @classmethod
    def of(cls, recipe: Recipe, attempt: int = 1, since: AwareDatetime | None = None) -> Self:
        """The job that makes `recipe`."""
        return cls(
            key=f"{recipe.stage}/{recipe.fingerprint}", stage=recipe.stage, recipe=recipe.model_dump(mode="json"),
            attempt=attempt, since=since,
        )

    def made(self) -> Recipe:
        """The recipe itself."""
        return RECIPES[self.stage].model_validate(self.recipe)

    @model_validator(mode="after")
    def _is_its_key(self) -> Self:
        if self.stage not in RECIPES:
            raise Mistaken(f"stage {self.stage} needs no GPU", f"send one of {', '.join(RECIPES)}")
        try:
            recipe = self.made()
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise Mistaken(f"recipe.{where} {told({**first})[0]}", _SAME_RELEASE) from None
        if self.key != f"{self.stage}/{recipe.fingerprint}":
            raise Mistaken(f"the recipe's fingerprint is {recipe.fingerprint}, which is not its key", _SAME_RELEASE)
        return self


_SAME_RELEASE = "install the same release of callsheet here and in the image"


class ShootJob(Frozen):
    """The GPU half of several orders."""

    job_type: Literal["shoot"] = "shoot"
    orders: tuple[Order, ...] = Field(min_length=1)
    refresh: tuple[Stage, ...] = ()
    started: AwareDatetime | None = None

    @field_validator("orders")
    @classmethod
    def _admitted(cls, orders: tuple[Order, ...]) -> tuple[Order, ...]:
        """A path of the worker's machine is nobody's business: files come by digest, or from a bucket."""
        for order in orders:
            files = [actor.lora for actor in order.cast]
            files += [f for f in (order.sound.music, order.sound.ambience, order.style) if f]
            files += [effect.file for effect in order.sound.effects]
            for file in files:
                if file.sha256 is None and not file.path.startswith("s3://"):
                    raise Mistaken(f"{file.path[:100]!r} has no digest", "admit the order first, or name s3://bucket/key")
        return orders


class FlowRunJob(Frozen):
    """A Prefect flow run, executed on the worker."""

    job_type: Literal["flow_run"] = "flow_run"
    flow_run_id: UUID
    api: str = Field(min_length=1, max_length=500)
    """Prefect's API as the sender knows it, without credentials. Only compared: a worker asks its own."""
    environment: dict[str, str] = Field(default_factory=dict, repr=False)
    deadline_s: float = Field(gt=0, le=86_400)
    """It is stopped after so many seconds."""
    quiet_s: float = Field(900.0, gt=0, le=86_400)
    """It is stopped when nothing moved for so long."""
    attempt: int | None = Field(None, ge=1)
    """Claimed once, where it is given."""

    @property
    def key(self) -> str:
        return f"flow_run/{self.flow_run_id}"

    @field_validator("environment")
    @classmethod
    def _allowed(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in BROUGHT:
                raise Mistaken(f"may not have {name[:60]!r}", "leave it out: the endpoint's template has it")
        return value

    @field_validator("api")
    @classmethod
    def _place(cls, value: str) -> str:
        try:
            return place_of(value)
        except ValueError:
            raise Mistaken("is no address", "name Prefect's API, such as https://prefect.example/api") from None


Work = StageJob | ShootJob | FlowRunJob | AnyRequest
"""Whatever a job can ask for."""

_OURS: Mapping[str, type[StageJob | ShootJob | FlowRunJob]] = {
    "stage": StageJob, "shoot": ShootJob, "flow_run": FlowRunJob,
}


def read_work(fields: Any) -> Work:
    """A job's `input`, checked. Raises RequestInvalid naming the field."""
    kind = _OURS.get(str(fields.get("job_type"))) if isinstance(fields, dict) else None
    if kind is None:
        return _public(fields)
    try:
        return kind.model_validate_json(json.dumps(fields, allow_nan=False))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message, remedy = told({**first}, kind.model_fields)
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        raise RequestInvalid(field=f"input{path}", detail=message, remedy=remedy) from None
    except (TypeError, ValueError) as error:
        raise RequestInvalid(field="input", detail=f"is not plain JSON ({error})", remedy="write plain JSON") from None


def _public(fields: Any) -> AnyRequest:
    try:
        return read_request({"input": fields})
    except RequestInvalid as error:
        if error.facts.get("field") != "input.job_type":
            raise
        raise RequestInvalid(**{**error.facts, "remedy": f"name one of {', '.join((*JOBS, *_OURS))}"}) from None
