"""What RunPod may still be paid for, and nobody needs: pods are deleted, finished jobs of dead runs are settled.

    callsheet runpod reap
    prefect deployment run reap/runpod

Every ten minutes where RunPod is configured. It is the third stop: a pod is deleted by its worker, else it deletes
itself, else this finds it by its name.
"""

from __future__ import annotations

import asyncio

from prefect import flow, get_run_logger

from callsheet.errors import CallsheetError
from tasks.left_jobs import settle_left_jobs
from tasks.reaping import reap_pods
from tasks.run import running


@flow(name="reap", flow_run_name="reap")
def reap(dry_run: bool = False) -> list[str]:
    """Delete pods that nobody needs and settle jobs whose asker is gone.

    Args:
        dry_run: Only say which pods would be deleted; nothing is settled.

    Returns:
        A line for each pod and job.
    """
    log = get_run_logger()
    lines: list[str] = []
    broken: list[CallsheetError] = []
    with running("reap"):
        for half in (_pods, _jobs):                   # one that fails does not keep the other from its work
            try:
                lines += half(dry_run)
            except CallsheetError as error:
                log.error("%s", error)
                broken.append(error)
    for line in lines:
        log.warning(line)
    if broken:
        raise broken[0]
    return lines


def _pods(dry_run: bool) -> list[str]:
    gone = asyncio.run(reap_pods(dry_run))
    return [f"pod {pod.pod_id} ({pod.name}): {pod.reason}{_did(pod.deleted, pod.problem)}" for pod in gone]


def _jobs(dry_run: bool) -> list[str]:
    return [] if dry_run else asyncio.run(settle_left_jobs())


def _did(deleted: bool, problem: str) -> str:
    return ": deleted" if deleted else f": not deleted ({problem or 'only looked'})"
