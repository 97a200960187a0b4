"""The control plane's catalogue and bills: /v2/catalog/... and /v2/billing/..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callsheet.pricing import CARDS, Card
from callsheet.runpod.emulator import billing, buckets, catalogue
from callsheet.runpod.emulator.clock import iso
from callsheet.runpod.emulator.http_tools import answer, world_of
from callsheet.runpod.emulator.refusals import Refusal, missing
from callsheet.runpod.emulator.world import World

DAYS = 30
"""How far a bill goes back when nobody says."""
MOST_BUCKETS = 10_000


def _listed(request: Request, name: str) -> list[str]:
    """A query's list: repeated, or with commas."""
    return [part for value in request.query_params.getlist(name) for part in value.split(",") if part]


def _free(world: World, card: Card, center: str) -> int:
    return world.capacity.free(card.id, center, world.taken())


def _gpu(request: Request, card: Card) -> dict[str, Any]:
    world = world_of(request)
    factor = world.books.factor(card.id)
    body: dict[str, Any] = {
        "id": card.id, "name": card.name, "pool": card.pool, "manufacturer": "NVIDIA", "memory": card.memory_gb,
        "secure": True, "community": True,
        "price": {"secure": catalogue.pod_usd_per_hour(card, "SECURE") * factor,
                  "community": catalogue.pod_usd_per_hour(card, "COMMUNITY") * factor,
                  "serverless": catalogue.job_usd_per_hour(card) * factor},
        "maxCount": {"secure": catalogue.MOST_CARDS, "community": catalogue.MOST_CARDS},
    }
    if "AVAILABILITY" in _listed(request, "include"):
        if not _listed(request, "product"):
            raise Refusal(422, "product is required with include=AVAILABILITY")
        free = {center: _free(world, card, center) for center in catalogue.DATA_CENTERS}
        body["availability"] = catalogue.level(max(free.values()))
        body["dataCenters"] = [
            {"id": center, "name": catalogue.DATA_CENTERS[center][0], "availability": catalogue.level(count)}
            for center, count in free.items() if count
        ]
        body["cudaVersions"] = [{"version": "13.0", "available": any(free.values())}]
    return body


async def gpus(request: Request) -> Response:
    return answer({"gpus": [_gpu(request, card) for card in CARDS]})


async def gpu(request: Request) -> Response:
    card = catalogue.card_of(request.path_params["id"])
    if card is None:
        raise missing("GPU type", request.path_params["id"])
    return answer(_gpu(request, card))


def _center(request: Request, id_: str) -> dict[str, Any]:
    name, region = catalogue.DATA_CENTERS[id_]
    body: dict[str, Any] = {"id": id_, "name": name, "region": region, "globalNetwork": False,
                            "networkVolumeTypes": ["STANDARD"], "compliance": []}
    if "GPU_AVAILABILITY" in _listed(request, "include"):
        body["gpuAvailability"] = [
            {"id": card.id, "name": card.name, "availability": catalogue.level(_free(world_of(request), card, id_))}
            for card in CARDS
        ]
    return body


async def data_centers(request: Request) -> Response:
    return answer({"dataCenters": [_center(request, id_) for id_ in catalogue.DATA_CENTERS]})


async def data_center(request: Request) -> Response:
    id_ = request.path_params["id"]
    if id_ not in catalogue.DATA_CENTERS:
        raise missing("data center", id_)
    return answer(_center(request, id_))


# ---- bills


def _window(request: Request) -> tuple[float, float, str]:
    """Start and end, whole buckets, and the buckets' size."""
    query, now = request.query_params, world_of(request).clock.now()
    size = query.get("bucketSize", "day")
    if size not in buckets.SIZES:
        raise Refusal(422, f"bucketSize must be one of {', '.join(buckets.SIZES)}")
    if "lastN" in query:
        if not query["lastN"].isdigit() or not 0 < int(query["lastN"]) <= MOST_BUCKETS:
            raise Refusal(422, "lastN must be a whole number")
        end = buckets.end(now, size)
        return buckets.back(end, size, int(query["lastN"])), end, size
    end = _moment(query.get("endTime"), now)
    start = _moment(query.get("startTime"), end - timedelta(days=DAYS).total_seconds())
    return buckets.begin(start, size), buckets.ending(end, size), size


def _moment(text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(422, f"{text} is no RFC 3339 time") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _bill(request: Request, plane: str, id_field: str, unique: str, zero: dict[str, float]) -> dict[str, Any]:
    world = world_of(request)
    start, end, size = _window(request)
    only = request.query_params.get(id_field)
    lives = [life for life in world.state.lives if life.plane == plane and only in (None, life.provider_id)]
    usd = _buckets(billing.by_hour(lives, world.clock.now()).items(), start, end, size)
    records = [
        {id_field: provider_id, "startTime": iso(at), "endTime": iso(buckets.end(at, size)), **zero,
         "totalAmount": amount, "gpuAmount": amount}
        for (provider_id, at), amount in sorted(usd.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    total = sum(usd.values())
    query = {"startTime": iso(start), "endTime": iso(end), "bucketSize": size, id_field: only}
    return {"records": records, "metadata": {
        "query": query, "recordCount": len(records), unique: len({place[0] for place in usd}),
        "totals": {**zero, "totalAmount": total, "gpuAmount": total},
    }}


def _buckets(hours: Iterable[tuple[tuple[str, int], float]], start: float, end: float,
             size: str) -> dict[tuple[str, float], float]:
    found: Counter[tuple[str, float]] = Counter()
    for (provider_id, hour), amount in hours:
        at = hour * 3600
        if start <= at < end:
            found[provider_id, buckets.begin(at, size)] += amount          # type: ignore[assignment]    # floats add up too
    return {place: float(amount) for place, amount in found.items()}


async def pod_bill(request: Request) -> Response:
    return answer(_bill(request, "pod", "podId", "uniquePodCount", {"cpuAmount": 0.0, "diskAmount": 0.0}))


async def serverless_bill(request: Request) -> Response:
    return answer(_bill(request, "endpoint", "serverlessId", "uniqueServerlessCount",
                        {"cpuAmount": 0.0, "diskAmount": 0.0, "feeAmount": 0.0}))


ROUTES = [
    Route("/v2/catalog/gpus", gpus, methods=["GET"]),
    Route("/v2/catalog/gpus/{id:path}", gpu, methods=["GET"]),
    Route("/v2/catalog/datacenters", data_centers, methods=["GET"]),
    Route("/v2/catalog/datacenters/{id}", data_center, methods=["GET"]),
    Route("/v2/billing/pods", pod_bill, methods=["GET"]),
    Route("/v2/billing/serverless", serverless_bill, methods=["GET"]),
]
