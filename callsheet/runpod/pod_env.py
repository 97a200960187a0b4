"""What a rented machine is told: the address of Prefect's API, its limits, and where results go.

Covers environment variables by allow-lists, of pods and of jobs of an endpoint: nothing of the worker's own
environment travels by itself. An address or a folder that exists on this machine alone is refused before anything is
paid.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import AliasChoices, SecretStr

from callsheet.errors import SettingInvalid, SettingMissing
from callsheet.pricing import Rate
from callsheet.settings import Settings

PASSED = (
    "public_url", "allowed", "engine", "fallback", "lipsync", "restore",
    "budget_batch", "budget_day", "budget_order", "budget_soft",
    "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_region", "aws_user_images_bucket",
    "aws_endpoint_url", "r2_endpoint", "r2_access_key", "r2_secret_key", "r2_bucket", "elevenlabs_api_key",
)
"""Settings of the worker that a pod gets, where they are set."""

OURS = (
    "PREFECT__FLOW_RUN_ID", "PREFECT_API_URL", "CALLSHEET_POD_DEADLINE_S", "CALLSHEET_POD_UNTIL",
    "CALLSHEET_POD_QUIET_S", "CALLSHEET_GPU", "CALLSHEET_RUNPOD_API", "CALLSHEET_PAID_PLANE", "CALLSHEET_PAID_RATE",
    "CALLSHEET_PAID_GPU",
)
"""What the worker says itself: nobody else may."""

LIFE_SIGNS = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""Seconds. An automation of ours marks a run Crashed that was silent for 90; Prefect's own measure is 180."""

BROUGHT = frozenset({
    "PREFECT__FLOW_RUN_ID", "PREFECT__WORKER_ID", "PREFECT__WORKER_NAME", "PREFECT__FLOW_ID", "PREFECT__FLOW_NAME",
    "PREFECT__DEPLOYMENT_ID", "PREFECT__DEPLOYMENT_NAME", "CALLSHEET_PAID_RATE", "CALLSHEET_PAID_GPU", *LIFE_SIGNS,
})
"""What a flow run may bring along to an endpoint: who asks for it, and what it costs. By name, never by prefix:
whoever may call the endpoint sends it, and other variables decide what a worker runs and where it writes."""


def is_here(url: str) -> bool:
    """Whether the address means this very machine."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def is_public(url: str) -> bool:
    """Whether others can reach it, as far as its spelling tells."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    address = _address(host)
    if address is not None:
        return address.is_global
    return "." in host and not host.endswith((".local", ".localhost", ".internal", ".lan"))


def place_of(api: str) -> str:
    """An address of Prefect's API for comparing: one spelling, no credentials. Raises ValueError."""
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address of the web")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"


def rehearsed(settings: Settings) -> bool:
    """Whether the provider is an emulator on this machine, whose pods share its network and its disk."""
    return is_here(settings.runpod_api)


def api_address(settings: Settings, own: str | None) -> str:
    """Prefect's API as a pod reaches it. `own` is the worker's. Raises SettingMissing, SettingInvalid."""
    chosen = settings.prefect_public_url or own
    if not chosen:
        raise SettingMissing(subject="an address of Prefect's API for pods", variable="CALLSHEET_PREFECT_PUBLIC_URL")
    if rehearsed(settings):
        return chosen
    if settings.prefect_public_url:
        if is_here(chosen):                           # a private one may be meant: a VPN
            raise SettingInvalid(
                variable="CALLSHEET_PREFECT_PUBLIC_URL", value=repr(chosen),
                detail="it means this machine alone, which no pod reaches")
        return chosen
    if not is_public(chosen):
        raise SettingInvalid(
            variable="PREFECT_API_URL", value=repr(chosen), detail="pods cannot reach a private address",
            remedy="set CALLSHEET_PREFECT_PUBLIC_URL to an address of Prefect's API that the internet reaches, such as "
                   "https://prefect.studio.example/api")
    return chosen


def store_address(settings: Settings) -> str:
    """Where a pod puts its results. Raises SettingInvalid for a folder, which a pod would take with it."""
    if not settings.store.startswith("s3://") and not rehearsed(settings):
        raise SettingInvalid(
            variable="CALLSHEET_STORE", value=repr(settings.store),
            detail="a pod cannot reach a folder of this machine",
            remedy="set CALLSHEET_STORE to s3://bucket/prefix, for the worker and for whoever asks for the work")
    return settings.store


def pod_environment(
    settings: Settings,
    *,
    flow_run_id: str,
    api: str,
    deadline_s: float,
    until: float,
    quiet_s: float,
    rate: Rate,
    asked: Mapping[str, str],
) -> dict[str, str]:
    """Everything that a pod's container is told. `asked` are variables that a pool or deployment adds.

    `until`: seconds since 1970 when it ends at the latest; `deadline_s` counts from the start of the flow run.
    Raises SettingInvalid when they contradict what only the worker may say.
    """
    env = _passed(settings) | dict(asked) | {"CALLSHEET_STORE": store_address(settings)}
    if settings.delivery.startswith("s3://") or rehearsed(settings):
        env.setdefault("CALLSHEET_DELIVERY", settings.delivery)
    _refuse_ours(asked)
    return env | LIFE_SIGNS | {
        "PREFECT_API_URL": api,
        "PREFECT__FLOW_RUN_ID": flow_run_id,
        "CALLSHEET_POD_DEADLINE_S": f"{deadline_s:g}",
        "CALLSHEET_POD_UNTIL": f"{until:.3f}",
        "CALLSHEET_POD_QUIET_S": f"{quiet_s:g}",
        "CALLSHEET_RUNPOD_API": settings.runpod_api,
        "CALLSHEET_GPU": "here",
        "CALLSHEET_PAID_PLANE": "pod",
        "CALLSHEET_PAID_RATE": f"{rate.usd_per_second:.10g}",
        "CALLSHEET_PAID_GPU": rate.gpu,
    }


def job_environment(*, asked: Mapping[str, str]) -> dict[str, str]:
    """What a flow run brings along to an endpoint, whose template has everything else.

    A job's input is kept by the provider: no secret is in it. Raises SettingInvalid.
    """
    _refuse_ours(asked)
    for name in asked:
        if name not in BROUGHT:
            raise SettingInvalid(
                variable=f"env.{name}", value="set by the job variables", detail="an endpoint's job may not bring it",
                remedy="take it out of the work pool's or deployment's env, and set it in the endpoint's template")
    return {**asked, **LIFE_SIGNS}


def _passed(settings: Settings) -> dict[str, str]:
    env: dict[str, str] = {}
    for name in PASSED:
        value = getattr(settings, name)
        if value is None:
            continue
        names = Settings.model_fields[name].validation_alias
        assert isinstance(names, AliasChoices)
        env[str(names.choices[0])] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return env


def _refuse_ours(asked: Mapping[str, str]) -> None:
    for name in asked:
        if name in OURS or name.startswith("RUNPOD_"):
            raise SettingInvalid(
                variable=f"env.{name}", value="set by the job variables",
                detail="only the worker and RunPod may say it",
                remedy="take it out of the work pool's or deployment's env")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
