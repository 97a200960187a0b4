"""An automation could not do its work: say so where people look.

A trigger whose parameters cannot be filled makes no run, and the server only emits an event. This run stands in
for the one that is missing, and ends Failed so that nobody overlooks it.
"""

from __future__ import annotations

import json
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from callsheet.errors import RequestInvalid


@flow(name="trigger-failed", flow_run_name="a trigger failed")
def trigger_failed(happened: dict[str, Any], resource: str = "") -> None:
    """Show what failed, then fail.

    Args:
        happened: Payload of the event prefect.automation.action.failed.
        resource: The automation that failed.
    """
    reason = str(happened.get("reason") or "the server gave no reason")
    if dict(happened.get("action") or {}).get("type") == "change-flow-run-state":
        get_run_logger().info("no run is missing: %s", reason)       # a run that was to be marked Crashed had ended
        return
    shown = json.dumps(happened, indent=1, ensure_ascii=False)[:4000]
    create_markdown_artifact(
        f"# A trigger failed\n\n{reason}\n\nAutomation: `{resource[:300]}`\n\n```json\n{shown}\n```\n\n"
        "The usual cause is an event without a payload, or with one that is not an object. Correct the sender "
        "and emit the event again: `callsheet emit` shows the shape.",
        key="trigger-failed",
        description=reason[:200],
    )
    raise RequestInvalid(field="event", detail=reason, remedy="correct the sender and emit the event again")
