"""Prefect's worker for RunPod: the work-pool type `runpod`, whose flow runs get a machine each.

    prefect worker start --pool runpod

Job variables (job_variables.py has ranges and words; all may be set on pool, deployment or run):

    mode            "pod" | "serverless"                      "pod"
    deadline_s      seconds until the machine is deleted      3600
    image           container image of pods                   CALLSHEET_RUNPOD_IMAGE
    cards           A40, L40S, RTX A6000, A100, H100          CALLSHEET_RUNPOD_GPUS
    gpu_count       cards a pod                               1
    cloud           "secure" | "community" | "any"            "secure"
    data_centers    ids, such as EU-RO-1                      all, or the volume's
    volume          network volume's id                       CALLSHEET_RUNPOD_VOLUME
    disk_gb         of the container                          50
    endpoint        serverless: the endpoint's id             RUNPOD_ENDPOINT_ID
    boot_s          a pod that is not up then is replaced     420
    quiet_s         a pod on which nothing happens is ended   900
    capacity_s      patience while no card is free            900
    cancel_grace_s  for a flow that runs to end by itself     8
    env             further variables of the machine          {}

Covers what Prefect asks of a worker, and the watch over runs that another worker left behind. How a run and its
machine are looked after is in attend.py and knows nothing of Prefect; machines are in pod_hire.py and job_hire.py;
what Prefect is told is in the class `PrefectDesk` here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import RelatedResource, emit_event
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound, ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Crashed, Failed, State
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult
from pydantic import field_validator

from callsheet.costs import Outcome, Payer
from callsheet.errors import CallsheetError, ProviderError, SettingInvalid, SettingMissing
from callsheet.pricing import HOUR_S, card
from callsheet.runpod.attend import Attendance, End, Rented
from callsheet.runpod.books import Books
from callsheet.runpod.client import JobsClient
from callsheet.runpod.control import Control
from callsheet.runpod.http import Api
from callsheet.runpod.job_hire import JobHire
from callsheet.runpod.job_variables import JobVariables
from callsheet.runpod.pod_env import api_address, job_environment, pod_environment
from callsheet.runpod.pod_hire import PodHire, PodWish
from callsheet.runpod.pods import PREFIX, named, pod_name, release
from callsheet.runpod.reap import flow_run_of
from callsheet.runpod.tending import Limits, Phase, RunSight, Verdict
from callsheet.settings import Settings
from callsheet.store.attempts import close_attempt, holder
from callsheet.store.base import Store
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Journal
from callsheet.store.ledger import Ledger
from tasks.backends import backends

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
