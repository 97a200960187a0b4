"""The control plane, /v2/...: pods, endpoints, templates, volumes."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callsheet.runpod.emulator import answers, bodies
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.http_tools import answer, body_as, nothing, world_of
from callsheet.runpod.emulator.refusals import Refusal, missing
from callsheet.runpod.emulator.rows import Endpoint, Pod, Template, Volume
from callsheet.runpod.emulator.world import World

CONTAINER = ("image", "args", "disk", "env", "ports", "registry")


# ---- pods


def _pod(world: World, pod: Pod) -> dict[str, Any]:
    return answers.pod(pod, round(world.books.usd_per_second(pod.id) * 3600, 6), world.clock.now(), world.skew())


async def pods(request: Request) -> Response:
    world = world_of(request)
    return answer({"pods": [_pod(world, pod) for pod in world.pods.live()]})


async def create_pod(request: Request) -> Response:
    world = world_of(request)
    spec = _with_template(world, (await body_as(request, bodies.CreatePod)).spec())
    for mount in spec.get("mounts", {}).get("network", ()):
        where = _volume(world, mount["volumeId"]).spec["dataCenter"]
        if where not in (spec.get("dataCenterIds") or [where]):
            raise Refusal(400, f"network volume {mount['volumeId']} is in {where}")
        spec["dataCenterIds"] = [where]
    world.command(spec, "pod")
    return answer(_pod(world, world.pods.create(spec)), 201)


async def pod(request: Request) -> Response:
    world = world_of(request)
    return answer(_pod(world, world.pods.find(request.path_params["id"])))


async def delete_pod(request: Request) -> Response:
    world = world_of(request)
    found: Pod = world.pods.find(request.path_params["id"])
    if world.faults.take(FaultKind.DELETE_FAILS, *world.pods.labels(found)):
        raise Refusal(500, "a fault was injected")
    world.pods.delete(found)
    return nothing()


async def act_on_pod(request: Request) -> Response:
    world = world_of(request)
    found = world.pods.find(request.path_params["id"])
    world.pods.act(found, (await body_as(request, bodies.PodAction)).action)
    return nothing() if found.deleted is not None else answer(_pod(world, found))


# ---- endpoints


def _endpoint(request: Request) -> Endpoint:
    found = world_of(request).state.endpoints.get(request.path_params["id"])
    if found is None:
        raise missing("endpoint", request.path_params["id"])
    return found


async def endpoints(request: Request) -> Response:
    world = world_of(request)
    return answer({"endpoints": [answers.endpoint(row, f"{world.url}/jobs") for row in world.state.endpoints]})


async def create_endpoint(request: Request) -> Response:
    world = world_of(request)
    spec = _with_template(world, (await body_as(request, bodies.CreateEndpoint)).spec())
    _check_endpoint(world, spec)
    row = world.state.endpoints.save(
        Endpoint(id=secrets.token_hex(7), spec=spec, created=world.clock.now()))
    return answer(answers.endpoint(row, f"{world.url}/jobs"), 201)


async def endpoint(request: Request) -> Response:
    return answer(answers.endpoint(_endpoint(request), f"{world_of(request).url}/jobs"))


async def update_endpoint(request: Request) -> Response:
    world, row = world_of(request), _endpoint(request)
    changes = _with_template(world, (await body_as(request, bodies.UpdateEndpoint)).changes())
    spec = {name: value for name, value in {**row.spec, **changes}.items() if value is not None}
    for nested in ("gpu", "workers"):
        spec[nested] = {**row.spec[nested], **(changes.get(nested) or {})}
    if spec["workers"]["min"] > spec["workers"]["max"]:
        raise Refusal(422, "workers.min is more than workers.max")
    _check_endpoint(world, spec)
    if any(spec.get(field) != row.spec.get(field) for field in (*CONTAINER, "gpu", "networkVolumes")):
        row.version += 1
    row.spec = spec
    world.state.endpoints.save(row)
    return answer(answers.endpoint(row, f"{world.url}/jobs"))


async def delete_endpoint(request: Request) -> Response:
    world, row = world_of(request), _endpoint(request)
    for worker in world.workers.live(row.id):
        world.workers.end(worker, "the endpoint was deleted")
    world.state.endpoints.drop(row.id)
    return nothing()


async def workers(request: Request) -> Response:
    world, row = world_of(request), _endpoint(request)
    return answer(answers.workers(row, list(world.workers.live(row.id)), world.clock.now()))


def _check_endpoint(world: World, spec: dict[str, Any]) -> None:
    world.command(spec, "handler")
    for volume_id in spec.get("networkVolumes") or ():
        where = _volume(world, volume_id).spec["dataCenter"]
        if where not in (spec.get("dataCenterIds") or [where]):
            raise Refusal(400, f"network volume {volume_id} is in {where}, where the endpoint may not run")


# ---- templates


def _with_template(world: World, spec: dict[str, Any]) -> dict[str, Any]:
    """A template's container settings under what the request says itself. Raises Refusal 404."""
    if (id_ := spec.get("templateId")) is None:
        return spec
    found = world.state.templates.get(id_)
    if found is None:
        raise missing("template", id_)
    below = {field: found.spec[field] for field in CONTAINER if field in found.spec}
    return {**below, **spec, "env": {**below.get("env", {}), **(spec.get("env") or {})}}


def _template(request: Request) -> Template:
    found = world_of(request).state.templates.get(request.path_params["id"])
    if found is None:
        raise missing("template", request.path_params["id"])
    return found


async def templates(request: Request) -> Response:
    return answer({"templates": [answers.template(row) for row in world_of(request).state.templates]})


async def create_template(request: Request) -> Response:
    world, spec = world_of(request), (await body_as(request, bodies.CreateTemplate)).spec()
    if any(row.spec["name"] == spec["name"] for row in world.state.templates):
        raise Refusal(400, f"a template called {spec['name']} exists already")
    return answer(answers.template(world.state.templates.save(Template(id=secrets.token_hex(5), spec=spec))), 201)


async def template(request: Request) -> Response:
    return answer(answers.template(_template(request)))


async def update_template(request: Request) -> Response:
    row = _template(request)
    changes = (await body_as(request, bodies.UpdateTemplate)).changes()
    row.spec = {name: value for name, value in {**row.spec, **changes}.items() if value is not None}
    return answer(answers.template(world_of(request).state.templates.save(row)))


async def delete_template(request: Request) -> Response:
    world_of(request).state.templates.drop(_template(request).id)
    return nothing()


# ---- volumes


def _volume(world: World, id_: str) -> Volume:
    found = world.state.volumes.get(id_)
    if found is None:
        raise missing("network volume", id_)
    return found


async def volumes(request: Request) -> Response:
    return answer({"networkVolumes": [answers.volume(row) for row in world_of(request).state.volumes]})


async def create_volume(request: Request) -> Response:
    spec = (await body_as(request, bodies.CreateVolume)).spec()
    row = world_of(request).state.volumes.save(Volume(id=secrets.token_hex(5), spec=spec))
    return answer(answers.volume(row), 201)


async def volume(request: Request) -> Response:
    return answer(answers.volume(_volume(world_of(request), request.path_params["id"])))


async def update_volume(request: Request) -> Response:
    world = world_of(request)
    row = _volume(world, request.path_params["id"])
    changes = (await body_as(request, bodies.UpdateVolume)).changes()
    if not changes or changes.get("size", row.spec["size"]) < row.spec["size"]:
        raise Refusal(422 if not changes else 400, "a volume only grows, and something must change")
    row.spec = {**row.spec, **changes}
    return answer(answers.volume(world.state.volumes.save(row)))


async def delete_volume(request: Request) -> Response:
    world = world_of(request)
    world.state.volumes.drop(_volume(world, request.path_params["id"]).id)
    return nothing()


ROUTES = [
    Route("/v2/pods", pods, methods=["GET"]),
    Route("/v2/pods", create_pod, methods=["POST"]),
    Route("/v2/pods/{id}", pod, methods=["GET"]),
    Route("/v2/pods/{id}", delete_pod, methods=["DELETE"]),
    Route("/v2/pods/{id}/action", act_on_pod, methods=["POST"]),
    Route("/v2/serverless", endpoints, methods=["GET"]),
    Route("/v2/serverless", create_endpoint, methods=["POST"]),
    Route("/v2/serverless/{id}", endpoint, methods=["GET"]),
    Route("/v2/serverless/{id}", update_endpoint, methods=["PATCH"]),
    Route("/v2/serverless/{id}", delete_endpoint, methods=["DELETE"]),
    Route("/v2/serverless/{id}/workers", workers, methods=["GET"]),
    Route("/v2/templates", templates, methods=["GET"]),
    Route("/v2/templates", create_template, methods=["POST"]),
    Route("/v2/templates/{id}", template, methods=["GET"]),
    Route("/v2/templates/{id}", update_template, methods=["PATCH"]),
    Route("/v2/templates/{id}", delete_template, methods=["DELETE"]),
    Route("/v2/network-volumes", volumes, methods=["GET"]),
    Route("/v2/network-volumes", create_volume, methods=["POST"]),
    Route("/v2/network-volumes/{id}", volume, methods=["GET"]),
    Route("/v2/network-volumes/{id}", update_volume, methods=["PATCH"]),
    Route("/v2/network-volumes/{id}", delete_volume, methods=["DELETE"]),
]
