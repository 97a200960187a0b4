"""Rows as the provider shows them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from callsheet.runpod.emulator.clock import iso
from callsheet.runpod.emulator.pods import ACTIONS
from callsheet.runpod.emulator.rows import Endpoint, Job, JobState, Pod, Template, Volume, Worker, WorkerState

CONTAINER = ("args", "disk", "env", "image", "ports", "registry")


def job_status(job: Job, skew_s: float = 0.0) -> dict[str, Any]:
    """What /status says, and what webhooks get."""
    body: dict[str, Any] = {"id": job.id, "status": job.state.value}
    if job.taken is not None:
        body["delayTime"] = round((job.taken - job.queued + skew_s) * 1000)
        body["workerId"] = job.worker
        if job.ended is not None:
            body["executionTime"] = round((job.ended - job.taken + skew_s) * 1000)
    if job.has_output:
        body["output"] = job.output
    if job.has_error:
        body["error"] = job.error
    return body


def health(jobs: list[Job], endpoint: Endpoint, workers: list[Worker]) -> dict[str, Any]:
    states = Counter(job.state for job in jobs)
    by_state = Counter(worker.state for worker in workers)
    return {
        "jobs": {"completed": endpoint.completed, "failed": endpoint.failed, "retried": endpoint.retried,
                 "inProgress": states[JobState.IN_PROGRESS], "inQueue": states[JobState.IN_QUEUE]},
        "workers": {"idle": by_state[WorkerState.IDLE], "initializing": by_state[WorkerState.INITIALIZING],
                    "ready": by_state[WorkerState.IDLE] + by_state[WorkerState.RUNNING],
                    "running": by_state[WorkerState.RUNNING], "throttled": by_state[WorkerState.THROTTLED],
                    "unhealthy": by_state[WorkerState.UNHEALTHY]},
    }


def _container(spec: dict[str, Any]) -> dict[str, Any]:
    return {"image": spec["image"], "args": spec.get("args", ""), "disk": spec.get("disk", 20),
            "env": spec.get("env", {}), "ports": spec.get("ports", []), "registry": spec.get("registry")}


def pod(row: Pod, usd_per_hour: float, now: float, skew_s: float = 0.0) -> dict[str, Any]:
    running = row.state == "RUNNING"
    uptime = math.floor(now - row.started) if running and row.started is not None else 0
    return {
        **_container(row.spec),
        "id": row.id, "name": row.spec["name"], "status": row.state, "actions": list(ACTIONS.get(row.state, ())),
        "mounts": row.spec.get("mounts", {}), "gpu": {"id": row.gpu, "count": row.gpus}, "cloud": row.cloud,
        "dataCenterId": row.data_center, "cudaVersion": "13.0", "ssh": {"proxy": None, "direct": None},
        "template": row.spec.get("templateId"), "cost": usd_per_hour, "locked": False,
        "runtime": {"uptime": uptime} if running else None, "createdAt": iso(row.created + skew_s),
        "startedAt": iso(None if row.started is None else row.started + skew_s),
        "globalNetworking": {"enabled": False},
    }


def endpoint(row: Endpoint, jobs_url: str) -> dict[str, Any]:
    spec, at = row.spec, f"{jobs_url}/{row.id}"
    gpu = spec["gpu"]
    return {
        **_container(spec),
        "id": row.id, "name": spec["name"], "type": spec["type"], "scaling": spec["scaling"],
        "workers": spec["workers"], "timeout": spec["timeout"], "flashboot": spec["flashboot"],
        "gpu": {"pools": gpu["pools"], "count": gpu.get("count", 1), "excludedTypes": gpu.get("excludedTypes", []),
                "allowedCudaVersions": gpu.get("allowedCudaVersions", []),
                "minCudaVersion": gpu.get("minCudaVersion")},
        "dataCenterIds": spec.get("dataCenterIds", []), "networkVolumes": spec.get("networkVolumes", []),
        "requestUrls": {"run": f"{at}/run", "runSync": f"{at}/runsync", "status": f"{at}/status/{{jobId}}",
                        "stream": f"{at}/stream/{{jobId}}", "cancel": f"{at}/cancel/{{jobId}}",
                        "retry": f"{at}/retry/{{jobId}}", "purgeQueue": f"{at}/purge-queue",
                        "health": f"{at}/health"},
        "createdAt": iso(row.created),
    }


def workers(row: Endpoint, found: list[Worker], now: float) -> dict[str, Any]:
    states = Counter(worker.state for worker in found)
    summary = {state.value.lower(): states[state] for state in WorkerState}
    return {
        "workers": [_worker(row, worker, now) for worker in found],
        "summary": {**summary, "total": len(found)},
        "endpointVersion": row.version,
    }


def _worker(row: Endpoint, worker: Worker, now: float) -> dict[str, Any]:
    return {
        "id": worker.id, "status": worker.state.value, "isStale": worker.version != row.version,
        "version": worker.version, "gpuCount": row.spec["gpu"].get("count", 1) if worker.gpu else 0,
        "image": row.spec["image"], "gpuTypeId": worker.gpu, "dataCenterId": worker.data_center,
        "uptimeSeconds": None if worker.placed is None else math.floor(now - worker.placed),
        "startedAt": iso(worker.placed),
    }


def template(row: Template) -> dict[str, Any]:
    spec = row.spec
    return {
        **_container(spec),
        "id": row.id, "name": spec["name"], "mounts": spec.get("mounts", {}), "serverless": spec["serverless"],
        "public": spec["public"], "category": spec["category"], "startSsh": spec["startSsh"],
        "startJupyter": spec["startJupyter"], "allowedCudaVersions": spec.get("allowedCudaVersions", []),
    }


def volume(row: Volume) -> dict[str, Any]:
    return {"id": row.id, "name": row.spec["name"], "size": row.spec["size"], "dataCenter": row.spec["dataCenter"],
            "type": row.spec["type"]}
