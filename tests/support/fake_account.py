"""An account at RunPod that has volumes, templates and endpoints only: held in memory, spoken to over httpx."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr

from callsheet.runpod.control import Control
from callsheet.runpod.http import Api

LISTS = {"network-volumes": "networkVolumes", "templates": "templates", "serverless": "endpoints"}
A40, A6000, L40S, L40 = "NVIDIA A40", "NVIDIA RTX A6000", "NVIDIA L40S", "NVIDIA L40"


def centre(name: str, *stock: tuple[str, str], volumes: tuple[str, ...] = ("STANDARD",)) -> dict[str, Any]:
    return {"id": name, "name": name, "region": "EUROPE", "networkVolumeTypes": list(volumes), "compliance": [],
            "globalNetwork": False,
            "gpuAvailability": [{"id": card, "name": card, "availability": level} for card, level in stock]}


def gpu(card: str, pool: str, hourly: float) -> dict[str, Any]:
    return {"id": card, "name": card, "pool": pool, "manufacturer": "NVIDIA", "memory": 48, "secure": True,
            "community": False, "price": {"secure": 1.0, "community": 0.0, "serverless": hourly},
            "maxCount": {"secure": 1, "community": 0}}


class FakeAccount:
    """`seen` has every request that changes something, as (method, path, body)."""

    def __init__(self) -> None:
        self.things: dict[str, list[dict[str, Any]]] = {"network-volumes": [], "templates": [], "serverless": []}
        self.centres = [centre("EU-RO-1", (A40, "LOW"), (L40S, "HIGH")),
                        centre("EU-SE-1", (A40, "HIGH"), (L40S, "HIGH"))]
        self.gpus = [gpu(A40, "AMPERE_48", 1.224), gpu(A6000, "AMPERE_48", 1.224), gpu(L40S, "ADA_48_PRO", 1.908),
                     gpu(L40, "ADA_48_PRO", 1.908)]
        self.seen: list[tuple[str, str, dict[str, Any]]] = []
        self.lose: list[str] = []
        """Kinds whose next creation is carried out and its answer lost."""
        self.refuse: list[str] = []
        """Kinds whose next creation is lost and not carried out."""
        self.lag = 0
        """Listings that do not show the newest thing yet."""
        self.deaf = False
        """Changes are answered and not carried out."""
        self.pods: list[dict[str, Any]] = []
        self.workers: list[dict[str, Any]] = []

    def control(self) -> Control:
        async def no_sleep(_: float) -> None:
            return None

        return Control(Api("http://127.0.0.1:1", SecretStr("key"), transport=httpx.MockTransport(self.answer),
                           sleep=no_sleep))

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v2/")
        if request.method == "GET":
            return httpx.Response(200, json=self.listing(path))
        body = json.loads(request.content)
        self.seen.append((request.method, path, body))
        kind, _, thing_id = path.partition("/")
        if request.method == "PATCH":
            (thing,) = (one for one in self.things[kind] if one["id"] == thing_id)
            if not self.deaf:
                thing.update({name: {**thing[name], **value} if name in ("gpu", "workers") else value
                              for name, value in body.items()})
            return httpx.Response(200, json=thing)
        if kind in self.refuse:
            self.refuse.remove(kind)
            return httpx.Response(502)
        thing = self.make(kind, body)
        if kind in self.lose:
            self.lose.remove(kind)
            return httpx.Response(502)
        return httpx.Response(201, json=thing)

    def listing(self, path: str) -> dict[str, Any]:
        if path == "catalog/gpus":
            return {"gpus": self.gpus}
        if path == "catalog/datacenters":
            return {"dataCenters": self.centres}
        if path == "pods":
            return {"pods": self.pods}
        if path.endswith("/workers"):
            return {"workers": self.workers, "summary": {}}
        if "/" in path:
            kind, _, thing_id = path.partition("/")
            (thing,) = (one for one in self.things[kind] if one["id"] == thing_id)
            return thing
        shown = self.things[path]
        if self.lag and shown:
            self.lag -= 1
            shown = shown[:-1]
        return {LISTS[path]: shown}

    def make(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        thing_id = f"{kind[:3]}{len(self.things[kind]) + 1}"
        thing: dict[str, Any] = {
            "id": thing_id, "args": "", "env": {}, "disk": 20, "ports": [], "registry": None, **body,
        }
        if template := next((one for one in self.things["templates"] if one["id"] == body.get("templateId")), None):
            thing |= {name: template[name] for name in ("image", "args", "env", "disk") if name not in body}
        if kind == "serverless":
            thing |= {"createdAt": "2026-11-20T10:00:00Z", "gpu": {"excludedTypes": [], **body["gpu"]}}
        self.things[kind].append(thing)
        return thing
