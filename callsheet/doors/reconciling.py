"""`callsheet costs --reconcile`: the provider's bill, what can be seen of its machines, and the ledger, as one.

Covers asking and writing. Which endpoints are ours is known from the ledger and the settings; pods are all of the
account's, so an account that others use too has their pods as orphans here, unless they live and have other names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from callsheet.costs import CostRow
from callsheet.errors import SettingMissing
from callsheet.reconcile import Billed, Seen, corrections
from callsheet.runpod.control import Control
from callsheet.runpod.http import Api
from callsheet.runpod.rates import job_rates
from callsheet.settings import Settings
from callsheet.store.ledger import Ledger

POD_PREFIX = "callsheet-"


def control_of(settings: Settings) -> Control:
    """The account's control plane. Raises SettingMissing without a key."""
    if settings.runpod_api_key is None:
        raise SettingMissing(subject="RunPod API key", variable="RUNPOD_API_KEY")
    return Control(Api(settings.runpod_api, settings.runpod_api_key))


def reconcile_all(settings: Settings, ledger: Ledger, since: datetime, now: datetime) -> int:
    """Correct everything from the day (UTC) of `since` to `now`; how many entries of the ledger changed.

    Raises SettingMissing, ProviderError, StoreError. After an error it can be done again.
    """
    control = control_of(settings)
    begin = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day_before = begin - timedelta(days=1)
    recorded = ledger.estimates(day_before, now + timedelta(days=1))     # other machines' clocks may be ahead
    current = ledger.rows(day_before, now + timedelta(days=2))
    bill, seen = asyncio.run(_asked(control, settings, begin, now, recorded))
    written = [ledger.correct(one.resource, one.day, one.rows) for one in corrections(
        recorded, current, bill, seen, begin)]
    return sum(written)


async def _asked(
    control: Control, settings: Settings, begin: datetime, until: datetime, recorded: Iterable[CostRow]
) -> tuple[list[tuple[str, Billed]], list[Seen]]:
    """The bill's lines with their plane, and the machines that live now."""
    endpoints = {row.provider_id for row in recorded if row.plane == "endpoint"}
    if settings.runpod_endpoint:
        endpoints.add(settings.runpod_endpoint)
    async with control:
        pods = await control.pods()
        strangers = {pod.id for pod in pods if not pod.name.startswith(POD_PREFIX)}
        bill: list[tuple[str, Billed]] = [
            ("pod", line) for line in await control.pod_bill(begin, until) if line.provider_id not in strangers]
        for endpoint in sorted(endpoints):
            bill += [("endpoint", line) for line in await control.endpoint_bill(begin, until, endpoint)]
        rates = await job_rates(control, settings.cards)
        first = rates[settings.cards[0].id]               # for an endpoint that was warm and had no job
    seen = [
        Seen(plane="pod", provider_id=pod.id, gpu=pod.rate.gpu, usd_per_second=pod.rate.usd_per_second,
             started=pod.created_at)
        for pod in pods if pod.id not in strangers and pod.created_at is not None
    ]
    seen += [Seen(plane="endpoint", provider_id=each, gpu=first.gpu, usd_per_second=first.usd_per_second, started=begin)
             for each in sorted(endpoints)]
    return bill, seen
