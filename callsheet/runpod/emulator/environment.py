"""What a container finds in its environment: what the request gave it, and what the provider adds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from callsheet.runpod.emulator.rows import Endpoint, Pod, Worker

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World


def worker_environment(world: World, endpoint: Endpoint, worker: Worker) -> dict[str, str]:
    """For a worker's process: the SDK's loop is driven by these addresses alone."""
    loop, gpu = f"{world.url}/worker/{endpoint.id}", f"gpu={quote(worker.gpu or '', safe='')}"
    volumes = endpoint.spec.get("networkVolumes") or ()
    return {
        **_volume(world, volumes[0] if volumes else None),
        **endpoint.spec.get("env", {}),
        **_machine(worker.id, worker.gpu, endpoint.spec["gpu"].get("count", 1), worker.data_center),
        "RUNPOD_ENDPOINT_ID": endpoint.id,
        "RUNPOD_AI_API_KEY": worker.key,
        "RUNPOD_WEBHOOK_GET_JOB": f"{loop}/job-take/$ID?{gpu}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{loop}/job-done/$RUNPOD_POD_ID/$ID?{gpu}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{loop}/job-stream/$RUNPOD_POD_ID/$ID?{gpu}",
        "RUNPOD_WEBHOOK_PING": f"{loop}/ping/$RUNPOD_POD_ID",
        "RUNPOD_PING_INTERVAL": str(world.options.ping_s * 1000),
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


def pod_environment(world: World, pod: Pod) -> dict[str, str]:
    """For a pod's process, which may delete itself with the key it gets."""
    network = pod.spec.get("mounts", {}).get("network") or ()
    return {
        **_volume(world, network[0]["volumeId"] if network else None),
        **pod.spec.get("env", {}),
        **_machine(pod.id, pod.gpu, pod.gpus, pod.data_center),
        "RUNPOD_API_KEY": pod.key,
    }


def _machine(id_: str, gpu: str | None, gpus: int, data_center: str | None) -> dict[str, str]:
    return {
        "RUNPOD_POD_ID": id_, "RUNPOD_POD_HOSTNAME": f"{id_}-64410000", "RUNPOD_GPU_COUNT": str(gpus),
        "RUNPOD_GPU_NAME": gpu or "", "RUNPOD_DC_ID": data_center or "",
    }


def _volume(world: World, volume_id: str | None) -> dict[str, Any]:
    """A folder stands for a mounted volume; a container's own CALLSHEET_VOLUME goes first."""
    if volume_id is None:
        return {}
    folder = world.folder / "volumes" / volume_id
    folder.mkdir(parents=True, exist_ok=True)
    return {"RUNPOD_VOLUME_ID": volume_id, "CALLSHEET_VOLUME": str(folder)}
