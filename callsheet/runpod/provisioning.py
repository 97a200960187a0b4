"""Makes an account what provision.py planned: the first open step is done, then everything is looked at again.

    await apply(control, wanted)

Applying twice changes nothing, and after an error it can be called again. An answer that was lost is not followed by
a second request: the thing is looked for first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from callsheet.errors import AnswerUnknown, ProviderError
from callsheet.runpod.answers import Volume
from callsheet.runpod.control import Control
from callsheet.runpod.http import PROVIDER
from callsheet.runpod.orders import EndpointOrder, TemplateOrder, VolumeOrder
from callsheet.runpod.provision import Found, Step, Wanted, plan

_TRIES = 2
_LOOKS, _LOOK_PAUSE_S = 4, 3.0
"""After a lost answer: a thing that was made appears in the lists within seconds."""


async def look(control: Control) -> Found:
    """What there is now. Costs nothing."""
    volumes, templates, endpoints, data_centers, gpus = await asyncio.gather(
        control.volumes(), control.templates(), control.endpoints(), control.datacenters(), control.gpus("SERVERLESS"),
    )
    return Found(volumes=tuple(volumes), templates=tuple(templates), endpoints=tuple(endpoints),
                 data_centers=tuple(data_centers), gpus=tuple(gpus))


async def apply(
    control: Control,
    wanted: Wanted,
    tell: Callable[[Step], None] = lambda step: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Step, ...]:
    """Do what is open, in order; `tell` gets each step before it is done. Returns the plan that then holds.

    Raises what `plan` and Control raise, and ProviderError when a change was answered but not carried out.
    """
    made, tried = Found(), Counter[tuple[str, str]]()
    while True:
        steps = plan(wanted, _with(await look(control), made))
        step = next((one for one in steps if one.open), None)
        if step is None:
            return steps
        tried[step.what, step.verb] += 1
        if tried[step.what, step.verb] > _TRIES:
            raise ProviderError(
                provider=PROVIDER, detail=f"as if {step.what} {step.name} were changed, and it is not: {step.words}",
                remedy="look at it in the console; make that change there, or try again later")
        tell(step)
        try:
            made = _with(made, await _do(control, step))
        except AnswerUnknown:
            if not await _is_done(control, wanted, step, made, sleep):
                raise


async def _is_done(
    control: Control, wanted: Wanted, step: Step, made: Found, sleep: Callable[[float], Awaitable[None]]
) -> bool:
    """Whether a step whose answer was lost shows after all."""
    for _ in range(_LOOKS):
        await sleep(_LOOK_PAUSE_S)
        now = plan(wanted, _with(await look(control), made))
        if next(one for one in now if one.what == step.what).verb != step.verb:
            return True
    return False


async def _do(control: Control, step: Step) -> Found:
    if step.verb == "create":
        if isinstance(step.order, VolumeOrder):
            return Found(volumes=(await control.create_volume(step.order),))
        if isinstance(step.order, TemplateOrder):
            return Found(templates=(await control.create_template(step.order),))
        assert isinstance(step.order, EndpointOrder), step
        return Found(endpoints=(await control.create_endpoint(step.order),))
    if step.what == "volume":
        answer = await control.api.call("PATCH", f"/v2/network-volumes/{step.id}", json=dict(step.changes), safe=True)
        return Found(volumes=(Volume.model_validate(answer),))
    if step.what == "template":
        return Found(templates=(await control.update_template(step.id, step.changes),))
    return Found(endpoints=(await control.update_endpoint(step.id, step.changes),))


def _with(found: Found, made: Found) -> Found:
    """`found`, where what was just made or changed is as its answer said: lists may lag behind."""
    return found.model_copy(update={
        name: tuple({one.id: one for one in (*getattr(found, name), *getattr(made, name))}.values())
        for name in ("volumes", "templates", "endpoints")
    })
