"""Runs of the last time that nobody works on any more.

`up` can be stopped, or its machine can go, while runs are under way. Their processes are gone, but the server
still calls them Running, and a training event would wait for them. What they made is kept; a new run goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

WORDS = "callsheet up was stopped while this ran. Finished work is kept: run again to go on."


def close_left_runs(pools: Collection[str]) -> int:
    """Mark the unfinished runs of these pools, and what they called, as Crashed; how many.

    Call it when no worker of the pools runs. Prefect's settings name the server.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterParentFlowRunId,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    going_on = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    )
    with get_client(sync_client=True) as client:
        left = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=going_on),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(pools))),
        )
        closed: set[UUID] = set()
        while left:
            for run in left:
                client.set_flow_run_state(run.id, Crashed(message=WORDS), force=True)
                closed.add(run.id)
            children = FlowRunFilterParentFlowRunId(any_=[run.id for run in left])
            left = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=going_on, parent_flow_run_id=children)
            )
    return len(closed)
