"""Training event -> order -> produce.

    callsheet emit 0001_european_20_female --lora loras/0001_european_20_female.safetensors

Light: it checks the event, asks for one produce run and ends. Events are de-duplicated by actor and LoRA
bytes, so any number of them, also across server restarts, leads to one produce run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from callsheet.errors import FileChanged, NotReady, RequestInvalid
from callsheet.events import LoraTrained
from callsheet.manifest import read_manifest
from callsheet.models import Gpu, Order
from callsheet.orders import order_for
from callsheet.store.sources import admit
from tasks.run import current, running

GREETING = "looks into the camera, smiles and waves"


def _run_name() -> str:
    payload = flow_run.parameters.get("payload")
    who = payload.get("actor_id", "somebody") if isinstance(payload, dict) else "somebody"
    return f"{str(who)[:64]} is trained"


@flow(name="lora-trained", flow_run_name=_run_name)
def lora_trained(
    payload: dict[str, Any], event_id: str = "", manifest: str = "", gpu: Gpu = Gpu.AUTO
) -> str:
    """Make a poster and a film of an actor whose training has just finished.

    Args:
        payload: The event's payload: actor_id and lora, and perhaps sha256, manifest, description, base_model.
        event_id: The event's id, for the log.
        manifest: The manifest that has the actor's row, unless the payload names another. An actor without a row
            gets a short greeting film.
        gpu: Where pictures are made.

    Returns:
        Id of the produce run, new or already there.
    """
    trained = LoraTrained.read(payload)
    get_run_logger().info("event %s: %s is trained: %s", event_id or "-", trained.actor_id, trained.lora)
    book = trained.manifest or manifest
    with running(trained.actor_id):
        listed, order = _order(trained, book)
        order = admit(order, current().sources)
        sha256 = order.cast[0].lora.sha256 or ""
        if trained.sha256 and trained.sha256 != sha256:
            raise FileChanged(path=trained.lora)
        return _produce_once(order, trained.once_key(sha256), book if listed else "", gpu)


def _order(trained: LoraTrained, book: str) -> tuple[bool, Order]:
    """Whether the actor has a row in the manifest, and the order: the row's, else a greeting."""
    if book:
        row = read_manifest(Path(book), trained={trained.actor_id: trained.lora}).row(trained.actor_id)
        if row is not None and row.order is not None:
            return True, row.order
        if row is not None:
            raise NotReady(actor=f"{trained.actor_id} ({row.waiting})")
    words = {
        "id": trained.actor_id,
        "lora": trained.lora,
        "description": trained.description,
        "base_model": trained.base_model or "",
        "prompt": f"{trained.description or trained.actor_id} {GREETING}",
    }
    return False, order_for({name: word for name, word in words.items() if word}, Path.cwd(), file="the event")


def _produce_once(order: Order, key: str, book: str, gpu: Gpu) -> str:
    parameters = {"order": order.model_dump(mode="json"), "gpu": gpu, "write_back": book}
    run = _create(parameters, key)
    for again in range(1, 10):
        if not _ended_badly(run):
            break
        run = _create(parameters, f"{key}-{again}")   # a new event after a failure is a wish to try again
    else:
        raise RequestInvalid(field="event", detail=f"{order.cast[0].id} failed ten times", remedy="run it by hand")
    get_run_logger().info("produce run %s (%s)", run.name, run.id)
    create_link_artifact(
        f"{PREFECT_UI_URL.value()}/runs/flow-run/{run.id}", link_text=f"produce: {run.name}", key="produce-run"
    )
    return str(run.id)


def _create(parameters: dict[str, Any], key: str) -> FlowRun:
    # timeout 0: ask for the run and do not wait; as_subflow would give each event a run of its own.
    return cast(
        FlowRun,
        run_deployment("produce/cpu", parameters=parameters, idempotency_key=key, timeout=0, as_subflow=False),
    )


def _ended_badly(run: FlowRun) -> bool:
    return run.state is not None and run.state.type in (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
