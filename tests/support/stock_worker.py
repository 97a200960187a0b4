"""A RunPod endpoint whose workers are stock worker-comfyui: the jobs plane as a transport, its pictures drawn.

Every shape in which workers give pictures back can be asked for; what it draws is comfyui_drawing.py's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from callsheet.runpod.client import Api, JobsClient
from tests.support.comfyui_drawing import Drawing, mp4, png

ENDPOINT = "stock5"
KEY = "rpa_A1B2C3D4E5F6"
Files = Sequence[tuple[str, bytes]]
"""Name and bytes, in the order of the graph's saving nodes."""


def inline(files: Files) -> Any:
    """worker-comfyui since 5.0."""
    return {"images": [{"filename": name, "type": "base64", "data": _b64(data)} for name, data in files]}


def plain(files: Files) -> Any:
    """Forks: strings alone."""
    return {"images": [_b64(data) for _, data in files]}


def data_uris(files: Files) -> Any:
    return {"images": [f"data:application/octet-stream;base64,{_b64(data)}" for _, data in files]}


def nested(files: Files) -> Any:
    return {"job_results": {"images": [_b64(data) for _, data in files]}}


def message(files: Files) -> Any:
    """Before 5.0: one file."""
    return {"message": _b64(files[0][1]), "status": "success"}


SHAPES: Mapping[str, Callable[[Files], Any]] = {
    "inline": inline, "plain": plain, "data_uris": data_uris, "nested": nested, "message": message,
}


class StockWorker(httpx.AsyncBaseTransport):
    """`POST /run` makes it all; `GET /status` tells of it after `looks` looks."""

    def __init__(self, folder: Path, shape: Callable[[Files], Any] = inline, looks: int = 2) -> None:
        (folder / "input").mkdir(parents=True, exist_ok=True)
        self.folder, self.shape, self.looks = folder, shape, looks
        self.asked: list[str] = []
        """Requests as `METHOD /path`."""
        self.jobs: list[dict[str, Any]] = []
        """Every job's `input`."""
        self.result: dict[str, Any] | None = None
        """Of every job, in place of what it made."""
        self.lose_answers = False
        """The connection breaks after a job was taken."""
        self._looked = 0
        self._done: dict[str, Any] = {}

    def client(self) -> JobsClient:
        return JobsClient(Api("https://api.runpod.example", SecretStr(KEY), transport=self), ENDPOINT)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        word = request.url.path.split("/")[2]
        self.asked.append(f"{request.method} /{word}")
        if word == "run":
            job = json.loads(request.content)["input"]
            self.jobs.append(job)
            self._looked = 0
            self._done = self.result or {"status": "COMPLETED", "output": self.shape(self._made(job))}
            if self.lose_answers:
                raise httpx.ReadTimeout("lost", request=request)
            return httpx.Response(200, json={"id": f"job-{len(self.jobs)}", "status": "IN_QUEUE"})
        if word == "cancel":
            self._done = {"status": "CANCELLED"}
            return httpx.Response(200, json={"status": "CANCELLED"})
        self._looked += 1
        state = self._done if self._looked > self.looks else {
            "status": "IN_QUEUE" if self._looked == 1 else "IN_PROGRESS"}
        return httpx.Response(200, json={"id": "job", **state})

    def _made(self, job: Mapping[str, Any]) -> Files:
        for image in job.get("images", ()):
            (self.folder / "input" / image["name"]).write_bytes(base64.b64decode(image["image"]))
        graph, made = job["workflow"], []
        drawing = Drawing(graph, self.folder / "input")
        for name, node in graph.items():
            if node["class_type"] == "SaveImage":
                made.append((f"file_{name}_00001_.png", png(drawing.frames(name)[0], graph)))
            elif node["class_type"] == "SaveVideo":
                target = self.folder / f"clip_{len(self.jobs)}.mp4"
                mp4(drawing.frames(name), drawing.rate(name), graph, target)
                made.append((f"file_{name}_00001_.mp4", target.read_bytes()))
        return made


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
