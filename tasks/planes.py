"""The account at RunPod, as the settings name it. Nothing is sent here."""

from __future__ import annotations

from callsheet.errors import SettingMissing
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
