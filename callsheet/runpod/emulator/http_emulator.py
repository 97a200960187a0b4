"""What the provider has not: a look behind the scenes, faults and time, under /emulator/..."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callsheet.runpod.emulator import billing
from callsheet.runpod.emulator.faults import Fault
from callsheet.runpod.emulator.http_tools import answer, body_as, nothing, world_of
from callsheet.runpod.emulator.rows import Life
from callsheet.runpod.emulator.world import World


class TimeOrder(BaseModel):
    """Skip time, or change its pace."""

    model_config = ConfigDict(extra="forbid")
    advance_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    scale: Annotated[float, Field(ge=0, le=1000)] | None = None


async def state(request: Request) -> Response:
    world = world_of(request)
    now = world.clock.now()
    return answer({
        "now": now,
        "jobs": [job.model_dump(mode="json") for job in world.state.jobs],
        "workers": [worker.model_dump(mode="json", exclude={"key"}) for worker in world.state.workers],
        "pods": [pod.model_dump(mode="json", exclude={"key"}) for pod in world.state.pods],
        "endpoints": [row.model_dump(mode="json") for row in world.state.endpoints],
        "bill": [_billed(life, now) for life in world.state.lives],
        "usd": sum(billing.usd(life, now) for life in world.state.lives),
        "processes": world.machines.pids(),
        "webhooks": world.webhooks.sent,
        "faults": world.faults.left(),
        "struck": world.faults.struck,
    })


def _billed(life: Life, now: float) -> dict[str, Any]:
    return {**life.model_dump(mode="json", exclude={"id"}), "seconds": billing.seconds(life, now),
            "usd": billing.usd(life, now)}


async def inject(request: Request) -> Response:
    world_of(request).inject(await body_as(request, Fault))
    return nothing()


async def clear(request: Request) -> Response:
    world_of(request).heal()
    return nothing()


async def clock(request: Request) -> Response:
    world: World = world_of(request)
    if request.method == "POST":
        order = await body_as(request, TimeOrder)
        if order.scale is not None:
            world.clock.rescale(order.scale)
        world.clock.advance(order.advance_s)
        world.beat()
    return answer({"now": world.clock.now(), "scale": world.clock.scale})


ROUTES = [
    Route("/emulator/state", state, methods=["GET"]),
    Route("/emulator/faults", inject, methods=["POST"]),
    Route("/emulator/faults", clear, methods=["DELETE"]),
    Route("/emulator/clock", clock, methods=["GET", "POST"]),
]
