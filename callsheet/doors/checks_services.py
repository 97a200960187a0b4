"""Checks of what lies elsewhere: store, delivery, buckets, RunPod, the network, Prefect.

Only what is configured is asked, and nothing that costs money.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import urlsplit

from callsheet.doors.finding import Finding, Level, Site
from callsheet.doors.web import client, host_of
from callsheet.errors import SettingMissing
from callsheet.models import Gpu
from callsheet.settings import Settings

PROBE = "doctor/probe"
_ANSWER_S = 10.0


def prefect(site: Site) -> Finding:
    """Whether `callsheet up` runs for this home. A run needs no such server: it starts its own."""
    from callsheet.doors.local.server import running

    server = running(site.settings.home)
    if server is None:
        return Finding("prefect", Level.OK, f"no server runs for {site.settings.home}; a run starts its own",
                       "start callsheet up for the UI, schedules and training events")
    return Finding("prefect", Level.OK, f"the server of {site.settings.home} answers at {server.ui_url}")


def buckets(site: Site) -> Finding:
    """Whether each bucket that is named has credentials, and each set of credentials a bucket."""
    settings = site.settings
    missing = [*_of_r2(settings), *_of_aws(settings)]
    if missing:
        return _missing("buckets", missing, Level.PROBLEM)
    named = sorted({name for name in (*_used(settings), settings.r2_bucket, settings.aws_user_images_bucket) if name})
    if named:
        return Finding("buckets", Level.OK, f"credentials are there for {', '.join(named)}")
    if settings.aws_access_key_id or settings.r2_access_key:
        variable = "R2_BUCKET" if settings.r2_access_key else "AWS_USER_IMAGES_BUCKET"
        error = SettingMissing(subject="S3 bucket", variable=f"{variable}; until then films go to {settings.delivery}")
        return _missing("buckets", [error], Level.WARNING)
    return Finding("buckets", Level.OK, f"none is named: films go to {settings.delivery}")


def _missing(name: str, errors: list[SettingMissing], level: Level) -> Finding:
    return Finding(name, level, "; ".join(error.what for error in errors), "; ".join(error.fix for error in errors))


def _of_r2(settings: Settings) -> Iterator[SettingMissing]:
    if not settings.r2_bucket:
        return
    parts = {"R2_ENDPOINT": settings.r2_endpoint, "R2_ACCESS_KEY": settings.r2_access_key,
             "R2_SECRET_KEY": settings.r2_secret_key}
    subjects = {"R2_ENDPOINT": "R2 endpoint", "R2_ACCESS_KEY": "R2 access key", "R2_SECRET_KEY": "R2 secret key"}
    for variable, value in parts.items():
        if not value:
            yield SettingMissing(subject=subjects[variable], variable=variable)


def _of_aws(settings: Settings) -> Iterator[SettingMissing]:
    if not ({*_used(settings), settings.aws_user_images_bucket} - {settings.r2_bucket, None}):
        return
    key, secret = settings.aws_access_key_id, settings.aws_secret_access_key
    if key and secret:
        return
    if key or secret or not _found_by_boto3():
        variable = "AWS_ACCESS_KEY_ID" if secret else "AWS_SECRET_ACCESS_KEY" if key else (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        yield SettingMissing(subject="S3 access key with its secret", variable=variable)


def _found_by_boto3() -> bool:
    """A profile, or the role of this machine."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session().get_credentials() is not None
    except BotoCoreError:
        return False


def _used(settings: Settings) -> set[str]:
    """Buckets of store and delivery."""
    return {place.removeprefix("s3://").partition("/")[0] for place in (settings.store, settings.delivery)
            if place.startswith("s3://")}


def store(site: Site) -> Finding:
    """A small file is put twice: the second time must be refused, or two runs would both be paid."""
    from tasks.backends import backends

    store = backends(site.settings)[0].store
    data = f"callsheet doctor {datetime.now(UTC):%Y-%m-%dT%H}\n".encode()       # one file an hour: a store keeps all
    key = f"{PROBE}/{hashlib.sha256(data).hexdigest()}"
    written = store.put_if_absent(key, data)
    if store.put_if_absent(key, data):
        return Finding("store", Level.PROBLEM, f"{store.url} overwrites files: it ignores If-None-Match",
                       "use a store with conditional writes, such as Amazon S3, R2 or a local folder")
    if store.read(key) != data:
        return Finding("store", Level.PROBLEM, f"{store.url} gives other bytes for {key} than were put",
                       "check the store's disk, and that nobody else writes below doctor/")
    when = "just now" if written else "earlier in this hour"
    return Finding("store", Level.OK, f"{store.url} was written to {when} and refuses to overwrite")


def delivery(site: Site) -> Finding:
    """A small file is delivered, and looked up again."""
    from callsheet.store.base import private_folder
    from tasks.backends import backends

    delivery = backends(site.settings)[1]
    data = f"callsheet doctor {datetime.now(UTC).isoformat()}\n".encode()
    with private_folder() as folder:
        source = folder / "probe.txt"
        source.write_bytes(data)
        url = delivery.put(f"{PROBE}.txt", source, "text/plain")
    if not delivery.holds(f"{PROBE}.txt", hashlib.sha256(data).hexdigest()):
        return Finding("delivery", Level.PROBLEM, f"{delivery.url} does not hold what was put under {PROBE}.txt",
                       "check that the bucket is the right one and that its key may read it")
    return Finding("delivery", Level.OK, f"{delivery.url} can be written to; the public address would be {url}")


def runpod(site: Site) -> Finding:
    """Whether the key is accepted: one list of pods, which costs nothing."""
    key = site.settings.runpod_api_key
    if key is None:
        missing = SettingMissing(subject="RunPod API key", variable="RUNPOD_API_KEY to run GPU work on RunPod")
        if site.settings.gpu is Gpu.POOL:
            return Finding("runpod", Level.WARNING, f"{missing.what}; CALLSHEET_GPU is pool, so GPU work waits for "
                           "another worker of the pool gpu", f"{missing.fix}, or run callsheet up here")
        return Finding("runpod", Level.OK, f"{missing.what} for GPU work there; without one it runs here", missing.fix)
    import httpx

    address = site.address("RunPod")
    try:
        with client(address, _ANSWER_S) as web:
            status = web.get(f"{address}/v2/pods", headers={"authorization": f"Bearer {key.get_secret_value()}"}
                                ).status_code
    except (httpx.HTTPError, ValueError) as error:       # its words could quote the key
        return Finding("runpod", Level.WARNING, f"{host_of(address)} did not answer ({type(error).__name__}), so the "
                       "key could not be tried", "check the network, a proxy or a firewall, and RUNPOD_API_KEY")
    return _runpod(status, site.settings.gpu_place)


def _runpod(status: int, gpu: Gpu) -> Finding:
    if status == 200:
        where = {Gpu.POOL: "on the work pool runpod", Gpu.ENDPOINT: "at the endpoint"}.get(gpu, "here")
        return Finding("runpod", Level.OK, f"the RunPod API key is valid; GPU work runs {where}")
    if status == 401:
        return Finding("runpod", Level.PROBLEM, "RunPod refuses the API key (401)",
                       "make a new key in the RunPod console and set RUNPOD_API_KEY")
    if status == 403:
        return Finding("runpod", Level.PROBLEM, "the RunPod API key is valid but may not list pods (403)",
                       "give the key the right to read and write pods, or set RUNPOD_API_KEY to one that has it")
    if status == 402:
        return Finding("runpod", Level.PROBLEM, "the RunPod account has no funds (402)", "add credit in the console")
    return Finding("runpod", Level.WARNING, f"RunPod answered {status}, so the key could not be tried",
                   "run callsheet doctor again in a minute")


def network(site: Site) -> Finding:
    """Whether every service that is configured answers at all, whatever it says."""
    wanted = dict(_services(site))
    if not wanted:
        return Finding("network", Level.OK, "no service is configured, so none was asked")
    with ThreadPoolExecutor(len(wanted)) as threads:
        reasons = dict(zip(wanted, threads.map(_unreachable, wanted.values()), strict=True))
    silent = [f"{name} at {host_of(wanted[name])} ({why})" for name, why in reasons.items() if why]
    if silent:
        return Finding("network", Level.WARNING, f"no answer from {', '.join(silent)}",
                       "check the network, a proxy or a firewall, and the address in the settings")
    return Finding("network", Level.OK, f"reachable: {', '.join(wanted)}")


def _services(site: Site) -> Iterator[tuple[str, str]]:
    """Name and address of each one that a run would use."""
    settings = site.settings
    keys = {"RunPod": settings.runpod_api_key, "ElevenLabs": settings.elevenlabs_api_key,
            "Hugging Face": settings.hf_token}
    if settings.openai_api_key:
        yield "OpenAI", settings.openai_url
    yield from ((name, site.address(name)) for name, key in keys.items() if key)
    used = _used(settings)
    if settings.r2_bucket in used and settings.r2_endpoint:
        yield "R2", settings.r2_endpoint
    if used - {settings.r2_bucket}:
        yield "S3", settings.aws_endpoint_url or f"https://s3.{settings.aws_region}.amazonaws.com"
    if settings.database_url:
        yield "PostgreSQL", settings.database_url.get_secret_value()
    if api := site.environment.get("PREFECT_API_URL", "").strip():
        yield "Prefect", api


def _unreachable(address: str) -> str:
    """Why it cannot be reached, empty when it can. An answer of any kind counts."""
    import httpx

    try:
        parts = urlsplit(address)
        if parts.scheme.startswith("postgres"):
            if parts.hostname:                        # without one it is a socket of this machine
                with closing(socket.create_connection((parts.hostname, parts.port or 5432), _ANSWER_S)):
                    pass
            return ""
        with client(address, _ANSWER_S) as web:
            web.head(address)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return type(error).__name__
    return ""
