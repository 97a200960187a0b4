"""Checks of what a run on RunPod needs there: image, endpoint and its workers, volume, cards, a way back to Prefect.

Made only where RUNPOD_API_KEY is set; whether the key is accepted is checks_services.py's matter. Nothing here costs
money. What is missing but not needed for the place where GPU work runs is told, and is no problem.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from callsheet.doors.finding import Check, Finding, Level, Site, from_error
from callsheet.doors.flow_runs import address_of
from callsheet.errors import CallsheetError, ProviderError, SettingMissing
from callsheet.models import Gpu
from callsheet.runpod.answers import GpuOffer, Volume, Worker
from callsheet.runpod.control import Control
from callsheet.runpod.http import Api
from callsheet.runpod.pod_env import api_address, store_address
from callsheet.runpod.provision import LEAST_GB, VOLUME
from callsheet.settings import Settings

T = TypeVar("T")

_UP = "run callsheet runpod up"


def image(site: Site) -> Finding:
    """Whether there is an image for pods, and whether what they are told leads anywhere."""
    settings = site.settings
    if not settings.runpod_image:
        variable = "CALLSHEET_RUNPOD_IMAGE to the one built from infra/"
        missing = SettingMissing(subject="container image", variable=variable)
        return from_error("runpod image", missing, _bad(settings, Gpu.POOL))
    try:
        place = store_address(settings)
    except CallsheetError as error:
        return from_error("runpod image", error, _bad(settings, Gpu.POOL, Gpu.ENDPOINT))
    return Finding("runpod image", Level.OK, f"machines run {settings.runpod_image} and put results into {place}")


def endpoint(site: Site) -> Finding:
    """Whether the endpoint is there, may have workers, and has healthy ones."""
    settings = site.settings
    worst = _bad(settings, Gpu.ENDPOINT)
    if not settings.runpod_endpoint:
        return Finding("runpod endpoint", Level.OK if worst is Level.WARNING else worst,
                       "RUNPOD_ENDPOINT_ID is not set", f"{_UP} and set it, to run GPU work on an endpoint")
    found = _ask(site, lambda control: control.endpoint(settings.runpod_endpoint or ""))
    if found is None:
        return Finding("runpod endpoint", worst, f"there is no endpoint {settings.runpod_endpoint} in the account",
                       f"correct RUNPOD_ENDPOINT_ID, or {_UP}")
    if not found.workers.max:
        return Finding("runpod endpoint", worst, f"{found.name} sleeps: it may have 0 workers, so jobs wait for ever",
                       f"{_UP} --yes, which wakes it: RunPod lowers the maximum of endpoints that are idle for a week")
    there = found.env.get("CALLSHEET_STORE")
    if there and there != settings.store:
        return Finding("runpod endpoint", worst, f"{found.name} puts results into {there}, runs look in "
                       f"{settings.store}", f"{_UP} --yes, or set CALLSHEET_STORE")
    workers = _ask(site, lambda control: control.workers(found.id))
    return _of_workers(found.name, found.workers.max, workers)


def _of_workers(name: str, most: int, workers: list[Worker]) -> Finding:
    states = [worker.status for worker in workers]
    counts = ", ".join(f"{states.count(state)} {state.lower()}" for state in sorted(set(states))) or "none now"
    told = f"{name} has {most} workers at most; {counts}"
    if "UNHEALTHY" in states:
        return Finding("runpod endpoint", Level.WARNING, told,
                       "read an unhealthy worker's log in RunPod's console: a wrong image or setting, or no volume")
    if states and set(states) == {"THROTTLED"}:
        return Finding("runpod endpoint", Level.WARNING, told,
                       "no GPU of its pools is free: allow more cards with CALLSHEET_RUNPOD_GPUS, then run callsheet "
                       "runpod up --yes")
    return Finding("runpod endpoint", Level.OK, told)


def volume(site: Site) -> Finding:
    """Whether the volume is there and large enough for the models."""
    settings = site.settings
    volumes: list[Volume] = _ask(site, lambda control: control.volumes())
    if settings.runpod_volume:
        found = next((one for one in volumes if one.id == settings.runpod_volume), None)
        if found is None:
            return Finding("runpod volume", _bad(settings, Gpu.POOL),
                           f"there is no volume {settings.runpod_volume} in the account",
                           f"correct CALLSHEET_RUNPOD_VOLUME, or {_UP}")
    else:
        found = next((one for one in volumes if one.name == VOLUME), None)
        if found is None:
            return Finding("runpod volume", Level.OK, "there is none, so each pod starts without models",
                           f"{_UP} --yes, which makes one, and set CALLSHEET_RUNPOD_VOLUME")
        return Finding("runpod volume", Level.WARNING, f"{found.name} is there, but pods do not mount it",
                       f"set CALLSHEET_RUNPOD_VOLUME to {found.id}")
    told = f"{found.name}, {found.size} GB in {found.data_center}"
    if found.size < LEAST_GB:
        return Finding("runpod volume", Level.WARNING, f"{told}: all models need {LEAST_GB} GB", f"{_UP} --yes")
    return Finding("runpod volume", Level.OK, told)


def cards(site: Site) -> Finding:
    """Whether any of the allowed cards can be had now."""
    settings = site.settings
    serverless = settings.gpu_place is Gpu.ENDPOINT
    offers: list[GpuOffer] = _ask(site, lambda control: control.gpus("SERVERLESS" if serverless else "POD"))
    levels = {offer.id: offer.availability for offer in offers}
    told = ", ".join(f"{card.name} {levels.get(card.id, 'NONE').lower()}" for card in settings.cards)
    if any(levels.get(card.id, "NONE") != "NONE" for card in settings.cards):
        return Finding("runpod cards", Level.OK, f"free now: {told}")
    return Finding("runpod cards", Level.WARNING, f"none is free now: {told}",
                   "wait, or allow more cards with CALLSHEET_RUNPOD_GPUS")


def way_back(site: Site) -> Finding:
    """Whether pods are told an address of Prefect's API that they can reach."""
    settings = site.settings
    if settings.gpu_place is not Gpu.POOL and not settings.prefect_public_url:
        return Finding("runpod and prefect", Level.OK, "only the pool needs a way back to Prefect")
    try:
        address = api_address(settings, address_of(settings, site.environment))
    except CallsheetError as error:
        return from_error("runpod and prefect", error, _bad(settings, Gpu.POOL))
    return Finding("runpod and prefect", Level.OK, f"pods reach Prefect's API at {address}")


def _bad(settings: Settings, *needed_by: Gpu) -> Level:
    """How bad it is that something is missing which only these places need."""
    return Level.PROBLEM if settings.gpu_place in needed_by else Level.WARNING


def _ask(site: Site, question: Callable[[Control], Coroutine[Any, Any, T]]) -> T:
    """One question to the control plane. Raises ProviderError."""
    key = site.settings.runpod_api_key
    assert key is not None, "these checks are made with a key only"
    return asyncio.run(question(Control(Api(site.address("RunPod"), key))))


def _unanswered(name: str, look: Callable[[Site], Finding]) -> Callable[[Site], Finding]:
    """A check for which no answer is only a warning: why there is none, the finding `runpod` says."""

    def check(site: Site) -> Finding:
        try:
            return look(site)
        except ProviderError as error:
            return Finding(name, Level.WARNING, error.what, "see the finding runpod, else run callsheet doctor again "
                           "in a minute")

    return check


CHECKS: tuple[Check, ...] = (
    Check("runpod image", image),
    *(Check(name, _unanswered(name, look), late=Level.WARNING) for name, look in (
        ("runpod endpoint", endpoint), ("runpod volume", volume), ("runpod cards", cards))),
    Check("runpod and prefect", way_back),
)
