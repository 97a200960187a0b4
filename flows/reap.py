"""What RunPod may still be paid for, and nobody needs: pods are deleted, finished jobs of dead runs are settled.

    callsheet runpod reap
    prefect deployment run reap/runpod

Every ten minutes where RunPod is configured. It is the third stop: a pod is deleted by its worker, else it deletes
itself, else this finds it by its name.
"""

from __future__ import annotations

import asyncio

from prefect import flow, get_run_logger

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
    with running("reap"):
        pods = asyncio.run(reap_pods(dry_run))
        lines = [f"pod {pod.pod_id} ({pod.name}): {pod.reason}{_did(pod.deleted, pod.problem)}" for pod in pods]
        if not dry_run:
            lines += asyncio.run(settle_left_jobs())
    for line in lines:
        log.warning(line)
    return lines


def _did(deleted: bool, problem: str) -> str:
    return ": deleted" if deleted else f": not deleted ({problem or 'only looked'})"
