"""What an account needs for our work: one volume, one template, one endpoint, as steps with their prices. Pure.

    plan(wanted, found)      found: what the account has; nothing is done

Things are known by their names, or by the ids in the settings. What somebody added to the environment of template or
endpoint stays; a volume never becomes smaller; nothing is ever deleted. Doing the steps is provisioning.py's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import Field

from callsheet.errors import InputError, NoCapacity
from callsheet.pricing import HOUR_S, Card, Rate, dearest, job_rate
from callsheet.runpod.answers import DataCenter, Endpoint, GpuOffer, Template, Volume
from callsheet.runpod.http import PROVIDER
from callsheet.runpod.orders import MIN_CUDA, EndpointOrder, TemplateOrder, VolumeOrder
from callsheet.units import Frozen

VOLUME = "personaforge-studio-vol"
STUDIO = "personaforge-studio"
"""Name of template and endpoint."""

MONTH_H = 720.0
"""Thirty days: what a price a month means here."""

LEAST_GB = 200
JOB_S = 3600.0
"""How long a job may run that says nothing itself; ours always do."""
DISK_GB = 50
IDLE_S = 5
QUEUE_DELAY_S = 4.0

_CHEAP_GB, _GB_MONTH, _GB_MONTH_ABOVE = 1000, 0.07, 0.05
"""List price of a standard volume, USD a GB and month, and above so many GB."""
_LEVELS = {"HIGH": 3, "MEDIUM": 2, "LOW": 1, "NONE": 0}
_FLASHBOOT_SUFFIX = " -fb"
"""RunPod marks names of endpoints with FlashBoot."""

T = TypeVar("T", Volume, Template, Endpoint)


class Wanted(Frozen):
    """What there should be."""

    image: str = Field(min_length=1)
    cards: tuple[Card, ...] = Field(min_length=1)
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Of a worker. Holds secrets."""
    volume_gb: int = Field(default=LEAST_GB, ge=LEAST_GB, le=4096)
    data_center: str = ""
    """Where a new volume goes; empty chooses the one with most of the cards."""
    warm: int = Field(default=0, ge=0, le=100)
    """Workers that stay, paid around the clock."""
    most: int = Field(default=10, ge=1, le=1000)
    """Workers at a time."""
    volume_id: str = ""
    """Use this volume, whatever its name."""
    endpoint_id: str = ""


class Found(Frozen):
    """What there is."""

    volumes: tuple[Volume, ...] = ()
    templates: tuple[Template, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    data_centers: tuple[DataCenter, ...] = ()
    gpus: tuple[GpuOffer, ...] = ()


class Step(Frozen):
    """One thing: kept, created or changed."""

    verb: Literal["keep", "create", "change"]
    what: Literal["volume", "template", "endpoint"]
    name: str
    words: str
    """What it has, or what of it changes. No secrets."""
    month_usd: tuple[float, float] = (0.0, 0.0)
    """Least and most that it costs a month (720 h) when nothing is done."""
    hour_usd: tuple[float, float] = (0.0, 0.0)
    """Least and most that one worker costs an hour, by the second, while it works."""
    id: str = ""
    """Empty while it does not exist."""
    order: VolumeOrder | TemplateOrder | EndpointOrder | None = None
    """What to create; None where that waits for an earlier step, and when nothing is created."""
    changes: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    """As the API names them. May hold secrets."""

    @property
    def open(self) -> bool:
        return self.verb != "keep"


def plan(wanted: Wanted, found: Found) -> tuple[Step, ...]:
    """Volume, template, endpoint: what is to be done about each.

    Raises InputError when a name means several things or an id none, NoCapacity when no data centre will do.
    """
    volume = _volume(wanted, found)
    template = _template(wanted, found)
    return volume, template, _endpoint(wanted, found, volume, template)


# ---- volume

def _volume(wanted: Wanted, found: Found) -> Step:
    volume = _known(found.volumes, VOLUME, wanted.volume_id, "volume", "CALLSHEET_RUNPOD_VOLUME")
    if volume is None:
        order = VolumeOrder(name=VOLUME, size_gb=wanted.volume_gb, data_center=_place(wanted, found))
        return Step(verb="create", what="volume", name=VOLUME, order=order, month_usd=_volume_usd(order.size_gb),
                    words=f"{order.size_gb} GB, {order.type} in {order.data_center}")
    if wanted.data_center and volume.data_center != wanted.data_center:
        raise InputError(detail=f"the volume {volume.name} is in {volume.data_center}, not in {wanted.data_center}",
                         remedy="leave --data-center away, or rename that volume in the console and run this again")
    words = f"{volume.size} GB, {volume.type or 'STANDARD'} in {volume.data_center}"
    kept = Step(verb="keep", what="volume", name=volume.name, id=volume.id, words=words,
                month_usd=_volume_usd(volume.size))
    if volume.size >= wanted.volume_gb:
        return kept
    return kept.model_copy(update={
        "verb": "change", "changes": {"size": wanted.volume_gb}, "month_usd": _volume_usd(wanted.volume_gb),
        "words": f"from {volume.size} to {wanted.volume_gb} GB in {volume.data_center}; it never gets smaller again",
    })


def _volume_usd(size_gb: int) -> tuple[float, float]:
    usd = min(size_gb, _CHEAP_GB) * _GB_MONTH + max(0, size_gb - _CHEAP_GB) * _GB_MONTH_ABOVE
    return usd, usd


def _place(wanted: Wanted, found: Found) -> str:
    """The data centre that has standard volumes and most of the cards."""
    able = {one.id: one for one in found.data_centers if "STANDARD" in one.network_volume_types}
    if wanted.data_center:
        if wanted.data_center not in able:
            raise InputError(detail=f"{wanted.data_center} has no standard volumes",
                             remedy=f"choose of {', '.join(sorted(able)) or 'those that the console lists'}")
        return wanted.data_center
    ids = {card.id for card in wanted.cards}
    offered = {
        name: [_LEVELS[stock.availability] for stock in one.gpu_availability if stock.id in ids]
        for name, one in able.items()
    }
    best = max((name for name in sorted(offered) if offered[name]),
               key=lambda name: (sum(offered[name]), len(offered[name])), default=None)
    if best is None:
        cards = " or ".join(card.name for card in wanted.cards)
        raise NoCapacity(provider=PROVIDER, detail=f"no data centre has both standard volumes and {cards}")
    return best


# ---- template and endpoint

def _template(wanted: Wanted, found: Found) -> Step:
    template = _known(found.templates, STUDIO, "", "template", "")
    order = TemplateOrder(
        name=STUDIO, image=wanted.image, args="handler", env=wanted.env, disk_gb=DISK_GB, serverless=True)
    words = f"{wanted.image}, {len(wanted.env)} variables"
    if template is None:
        return Step(verb="create", what="template", name=STUDIO, words=words, order=order)
    changes = _container(wanted, template)
    if not template.serverless:
        changes["serverless"] = True
    return _changed("template", template, words, changes, wanted)


def _endpoint(wanted: Wanted, found: Found, volume: Step, template: Step) -> Step:
    endpoint = _known(found.endpoints, STUDIO, wanted.endpoint_id, "endpoint", "RUNPOD_ENDPOINT_ID")
    rates = [_rate(card, found.gpus) for card in wanted.cards]
    cards = ", ".join(card.name for card in wanted.cards)
    words = f"{cards}; {wanted.warm} to {wanted.most} workers, idle {IDLE_S} s, FlashBoot"
    prices: dict[str, Any] = {"month_usd": _span(rates, wanted.warm * MONTH_H), "hour_usd": _span(rates, 1)}
    if endpoint is None:
        ready = volume.id and template.id
        order = _endpoint_order(wanted, found, volume.id, template.id) if ready else None
        return Step(verb="create", what="endpoint", name=STUDIO, words=words, order=order, **prices)
    changes = _container(wanted, endpoint) | _workforce(wanted, found, endpoint, volume)
    return _changed("endpoint", endpoint, words, changes, wanted).model_copy(update=prices)


def _endpoint_order(wanted: Wanted, found: Found, volume_id: str, template_id: str) -> EndpointOrder:
    pools, excluded = _pools(wanted, found)
    where = next(one.data_center for one in found.volumes if one.id == volume_id)
    return EndpointOrder(
        name=STUDIO, template=template_id, pools=pools, excluded=excluded, min_workers=wanted.warm,
        max_workers=wanted.most, idle_s=IDLE_S, queue_delay_s=QUEUE_DELAY_S, timeout_s=JOB_S, flashboot=True,
        data_centers=(where,), volumes=(volume_id,), min_cuda=MIN_CUDA,
    )


def _workforce(wanted: Wanted, found: Found, endpoint: Endpoint, volume: Step) -> dict[str, Any]:
    """What of an endpoint differs that is not its container."""
    pools, excluded = _pools(wanted, found)
    gpu, workers, scaling = endpoint.gpu, endpoint.workers, endpoint.scaling
    changes: dict[str, Any] = {}
    if gpu is None or set(gpu.pools) != set(pools) or set(gpu.excluded_types) != set(excluded):
        changes["gpu"] = {"pools": list(pools), "excludedTypes": list(excluded), "minCudaVersion": MIN_CUDA}
    if (workers.min, workers.max, workers.idle_timeout) != (wanted.warm, wanted.most, IDLE_S):
        changes["workers"] = {"min": wanted.warm, "max": wanted.most, "idleTimeout": IDLE_S}
    if (scaling.type, scaling.queue_delay) != ("QUEUE_DELAY", QUEUE_DELAY_S):
        changes["scaling"] = {"type": "QUEUE_DELAY", "queueDelay": QUEUE_DELAY_S}
    if endpoint.flashboot == "OFF":
        changes["flashboot"] = "FLASHBOOT"
    if endpoint.timeout != round(JOB_S * 1000):
        changes["timeout"] = round(JOB_S * 1000)
    if volume.id and volume.id not in endpoint.network_volumes:
        where = next(one.data_center for one in found.volumes if one.id == volume.id)
        changes |= {"networkVolumes": [volume.id], "dataCenterIds": [where]}
    return changes


def _pools(wanted: Wanted, found: Found) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pools of the cards, and what else is in those pools."""
    pool_of = {offer.id: offer.pool for offer in found.gpus if offer.pool}
    ids = {card.id for card in wanted.cards}
    pools = tuple(dict.fromkeys(pool_of.get(card.id, card.pool) for card in wanted.cards))
    return pools, tuple(sorted(one for one, pool in pool_of.items() if pool in pools and one not in ids))


def _container(wanted: Wanted, of: Template | Endpoint) -> dict[str, Any]:
    """What of its container differs. Variables that only the account has stay."""
    changes: dict[str, Any] = {}
    if of.image != wanted.image:
        changes["image"] = wanted.image
    if of.args != "handler":
        changes["args"] = "handler"
    if any(of.env.get(name) != value for name, value in wanted.env.items()):
        changes["env"] = {**of.env, **wanted.env}
    return changes


def _changed(
    what: Literal["template", "endpoint"], of: Template | Endpoint, words: str, changes: dict[str, Any], wanted: Wanted
) -> Step:
    if not changes:
        return Step(verb="keep", what=what, name=of.name, id=of.id, words=words)
    told = [_told(name, value, of, wanted) for name, value in changes.items()]
    return Step(verb="change", what=what, name=of.name, id=of.id, words="; ".join(told), changes=changes)


def _told(name: str, value: Any, of: Template | Endpoint, wanted: Wanted) -> str:
    """A change for people. Of the environment only names: its values may be secrets."""
    if name == "env":
        differ = sorted(each for each, text in wanted.env.items() if of.env.get(each) != text)
        return f"variables {', '.join(differ)}"
    if name == "workers":
        before = of.workers if isinstance(of, Endpoint) else None
        had = f" (had {before.min} to {before.max})" if before else ""
        return f"{value['min']} to {value['max']} workers{had}, idle {value['idleTimeout']} s"
    if name == "gpu":
        return f"pools {', '.join(value['pools'])}" + (
            f" without {', '.join(value['excludedTypes'])}" if value["excludedTypes"] else "")
    return f"{name} {', '.join(value) if isinstance(value, list) else value}"


# ---- names and prices

def _known(things: Sequence[T], name: str, thing_id: str, what: str, variable: str) -> T | None:
    """The one that is meant. Raises InputError when that cannot be told."""
    if thing_id:
        found = [one for one in things if one.id == thing_id]
        if not found:
            raise InputError(detail=f"there is no {what} {thing_id} in the account",
                             remedy=f"correct {variable}, or take it out: then one is looked for by its name, {name}")
        return found[0]
    named = [one for one in things if one.name.removesuffix(_FLASHBOOT_SUFFIX) == name]
    if len(named) > 1:
        ids = ", ".join(one.id for one in named)
        raise InputError(detail=f"several {what}s are called {name}: {ids}",
                         remedy=f"set {variable} to the one that is meant" if variable else
                         "delete all but one in the console")
    return named[0] if named else None


def _rate(card: Card, gpus: Iterable[GpuOffer]) -> Rate:
    """Of an endpoint's worker: the catalogue's price, else the list's."""
    offered = next((offer.job_rate() for offer in gpus if offer.id == card.id), None)
    return offered or job_rate(card)


def _span(rates: Sequence[Rate], hours: float) -> tuple[float, float]:
    """USD of so many hours on the cheapest and the dearest."""
    least = min(rates, key=lambda rate: rate.usd_per_second)
    return least.cost(hours * HOUR_S), dearest(rates).cost(hours * HOUR_S)
