"""What a rented pod runs: one flow run, then the pod's own deletion.

    python -m callsheet.runpod.entrypoint           the image's command `pod`

A container that exits is started again and paid for, so this program ends only when its pod is deleted; until then
it asks for that again and again. It stops the flow run itself at its deadline, when nothing has moved for too long,
and when the server says that the run is cancelled or over. Started a second time, it runs nothing and deletes.
The deadline counts from the flow's start, and ends with the pod's own time, which counts from its order: a pod that
booted for long does not outlive what was promised for it, even when nobody is left to delete it.

What it is told by the worker: PREFECT_API_URL, PREFECT__FLOW_RUN_ID, CALLSHEET_POD_DEADLINE_S, CALLSHEET_POD_UNTIL
(seconds since 1970), CALLSHEET_POD_QUIET_S, CALLSHEET_RUNPOD_API; by RunPod: RUNPOD_POD_ID, RUNPOD_API_KEY, which may
delete this pod and nothing else.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from callsheet.runpod.children import Family
from callsheet.runpod.farewell import Farewell
from callsheet.runpod.flow_state import FlowRuns, State
from callsheet.runpod.pulse import HEARTBEAT, QUIET_S, Pulse
from callsheet.runpod.volume import worker_environment

COMMAND = (sys.executable, "-m", "prefect", "flow-run", "execute")
DEADLINE_S = 3600.0
POLL_S = 0.2
ASK_S = 2.0
"""How often the server is asked for the run's state."""

CANCEL_GRACE_S = 5.0
"""For Prefect's own way of stopping a run; then everything is killed."""

FINISH_GRACE_S = 60.0
"""For a run that is over to send its last logs and events."""

_TOO_LATE = "it ran over its deadline, which counts from the pod's order"

LOG = logging.getLogger("callsheet.pod")


@dataclass(frozen=True)
class Shift:
    """What this pod is to do, and for how long."""

    flow_run_id: str
    pod_id: str
    deadline_s: float
    quiet_s: float
    folder: Path
    """Where the marker and the heartbeat lie; on the container's disk, so that a restart finds them."""
    until: float = math.inf
    """Seconds since 1970, when all is over, however late it began."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Shift:
        """As the worker says. A pod that is told nonsense still has an id, and can be deleted."""
        pod_id = environment.get("RUNPOD_POD_ID", "")
        return cls(
            flow_run_id=environment.get("PREFECT__FLOW_RUN_ID", ""),
            pod_id=pod_id,
            deadline_s=_seconds(environment, "CALLSHEET_POD_DEADLINE_S", DEADLINE_S),
            quiet_s=_seconds(environment, "CALLSHEET_POD_QUIET_S", QUIET_S),
            folder=Path(tempfile.gettempdir()) / f"callsheet-pod-{pod_id or os.getpid()}",
            until=_seconds(environment, "CALLSHEET_POD_UNTIL", math.inf),
        )

    @property
    def marker(self) -> Path:
        return self.folder / f"begun-{self.flow_run_id}"

    @property
    def left_s(self) -> float:
        return self.until - time.time()

    @property
    def heartbeat(self) -> Path:
        return self.folder / "heartbeat"


class Pod:
    """One flow run on this pod."""

    def __init__(
        self, shift: Shift, environment: Mapping[str, str], runs: FlowRuns, command: tuple[str, ...] = COMMAND,
    ) -> None:
        self.shift, self.runs, self.command = shift, runs, command
        self.heartbeat = Path(environment.get(HEARTBEAT) or shift.heartbeat)
        self._environment = {**worker_environment(environment), HEARTBEAT: str(self.heartbeat)}
        self._stopped = ""
        """Why this process was asked to stop; empty while nobody asked."""

    def stop(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: the flow run is given up."""
        self._stopped = f"the pod was stopped by {signal.Signals(number).name}"

    def work(self) -> None:
        """Run it, unless it is over, or runs or ran already; leave it with a final state."""
        shift = self.shift
        state = self.runs.state(shift.flow_run_id, patience_s=max(0.0, min(120.0, shift.left_s)))
        if state is None:
            LOG.error("the server has no flow run %s, or does not answer", shift.flow_run_id)
        elif state.final:
            LOG.info("flow run %s is %s already", shift.flow_run_id, state.name)
        elif shift.marker.exists():
            self._conclude("the container was started a second time: its first process died")
        elif state.kind == "RUNNING":
            LOG.error("flow run %s is running on another machine", shift.flow_run_id)
        elif state.kind == "CANCELLING":
            self._conclude("cancelled while the pod started")
        elif shift.left_s <= 0:
            self._conclude(_TOO_LATE)
        else:
            shift.folder.mkdir(parents=True, exist_ok=True)
            shift.marker.touch()
            try:
                reason = self._run()
            except Exception as error:
                LOG.exception("the flow run's process could not be watched")
                reason = f"{type(error).__name__}: {error}"
            self._conclude(reason)

    def _run(self) -> str:
        """Run the flow; why it was stopped, or how its process ended."""
        self.heartbeat.parent.mkdir(parents=True, exist_ok=True)
        family = Family([*self.command, self.shift.flow_run_id], self._environment)
        try:
            return self._watch(family)
        finally:
            family.kill()

    def _watch(self, family: Family) -> str:
        began = asked = time.monotonic()
        pulse = Pulse(self.heartbeat)
        while (code := family.code) is None:
            now = time.monotonic()
            if self._stopped:
                return self._stopped
            if self.shift.left_s <= 0:
                return _TOO_LATE
            if now - began > self.shift.deadline_s:
                return f"it ran over its deadline of {self.shift.deadline_s:g} s"
            if pulse.quiet_s() > self.shift.quiet_s:
                return f"nothing moved for {self.shift.quiet_s:g} s"
            if now - asked > ASK_S:
                asked = now
                state = self.runs.state(self.shift.flow_run_id)
                if state is not None and state.over:
                    return self._let_end(family, state)
            time.sleep(POLL_S)
        return f"its process ended with exit code {code}"

    def _let_end(self, family: Family, state: State) -> str:
        """The server says that it is over: wait a little for the process to see it too."""
        grace_s = FINISH_GRACE_S if state.kind in ("COMPLETED", "FAILED") else CANCEL_GRACE_S
        end = time.monotonic() + min(grace_s, self.shift.left_s)
        while family.code is None and time.monotonic() < end and not self._stopped:
            time.sleep(POLL_S)
        return f"the server says {state.name}"

    def _conclude(self, reason: str) -> None:
        """See to it that the run has a final state on the server."""
        state = self.runs.state(self.shift.flow_run_id, patience_s=30)
        LOG.info("flow run %s: %s; the server says %s", self.shift.flow_run_id, reason, state.name if state else "?")
        waits = state is not None and state.kind in ("SCHEDULED", "PAUSED") and reason.endswith("exit code 0")
        if state is None or state.final or waits:     # one that waits will be run again, elsewhere
            return
        kind = "CANCELLED" if state.kind == "CANCELLING" else "CRASHED"
        self.runs.end(self.shift.flow_run_id, kind, f"Pod {self.shift.pod_id}: {reason}")


def main(environment: Mapping[str, str] | None = None) -> int:
    """Do the shift, then delete the pod. Whatever happens before, the deletion follows."""
    environment = os.environ if environment is None else environment
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        shift = Shift.of(environment)
        pod = Pod(shift, environment, FlowRuns(environment.get("PREFECT_API_URL", ""), environment))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, pod.stop)
        pod.work()
    except BaseException:
        LOG.exception("the pod's own program failed")
    Farewell.of(environment).say()
    return 0


def _seconds(environment: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        return float(environment.get(name) or otherwise)
    except ValueError:
        LOG.error("%s is no number: %s s are taken", name, otherwise)
        return otherwise


if __name__ == "__main__":
    sys.exit(main())
