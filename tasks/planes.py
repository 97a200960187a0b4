"""The account at RunPod, as the settings name it. Nothing is sent here."""

from __future__ import annotations

from callsheet.errors import SettingInvalid, SettingMissing
from callsheet.runpod.control import Control
from callsheet.runpod.http import Api
from callsheet.settings import Settings


def planes(settings: Settings) -> tuple[Api, Control]:
    """The jobs plane and the control plane of the account. Raises SettingMissing."""
    if settings.runpod_api_key is None:
        raise SettingMissing(subject="RunPod API key", variable="RUNPOD_API_KEY")
    key = settings.runpod_api_key
    return Api(settings.runpod_jobs, key), Control(Api(settings.runpod_api, key))


def endpoint_of(settings: Settings) -> str:
    """Raises SettingMissing."""
    if settings.runpod_endpoint is None:
        raise SettingMissing(subject="the endpoint's id", variable="RUNPOD_ENDPOINT_ID (callsheet runpod up tells it)")
    return settings.runpod_endpoint


async def check_endpoint(settings: Settings) -> None:
    """Whether jobs can go there and their results come here, before the first one is paid.

    Raises SettingMissing, SettingInvalid, ProviderError.
    """
    endpoint_id = endpoint_of(settings)
    _, control = planes(settings)
    async with control:
        found = await control.endpoint(endpoint_id)
    if found is None:
        raise SettingInvalid(
            variable="RUNPOD_ENDPOINT_ID", value=endpoint_id, detail="the account has no such endpoint",
            remedy="correct it: `callsheet runpod up` tells the id")
    theirs = found.env.get("CALLSHEET_STORE")
    if theirs and theirs != settings.store:
        raise SettingInvalid(
            variable="CALLSHEET_STORE", value=settings.store,
            detail=f"endpoint {found.name} puts results into {theirs}",
            remedy="run `callsheet runpod up --yes`, which tells it this store, or set CALLSHEET_STORE to that one")
