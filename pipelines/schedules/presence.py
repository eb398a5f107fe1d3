"""Whether the process of a flow run is alive: said by the run as labels, checked by whoever shares its machine."""

from __future__ import annotations

import contextlib
import os
import socket
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

PLACE, PID, CREATED, COMMIT, RESUMES = (
    f"towpath.{word}" for word in ("place", "pid", "process-created", "commit", "resumes")
)
_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_SAME_S = 1.0


class Presence(StrEnum):
    """What can be said of a run's process from here."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"
    """On another machine, or in another container: only its heartbeats can be heard."""


def here() -> str:
    """Return what names this machine and its processes: two containers of one machine differ."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def note_process(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - the names are Prefect's
    """Label a flow run with the process that runs it; a flow's `on_running` hook."""
    import psutil

    note_labels(flow_run, {PLACE: here(), PID: os.getpid(), CREATED: psutil.Process().create_time()})


def note_labels(run: FlowRun, labels: dict[str, str | int | float]) -> None:
    """Add labels to a flow run."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run.id, {**run.labels, **labels})
    run.labels.update(labels)


def presence(run: FlowRun) -> Presence:
    """Say whether the process of a flow run is alive."""
    labels = run.labels
    pids = {str(run.infrastructure_pid or ""), str(labels.get(PID, "")) if labels.get(PLACE) == here() else ""}
    if any(_is_its_process(pid, run) for pid in pids):
        return Presence.ALIVE
    return Presence.DEAD if labels.get(PLACE) == here() else Presence.ELSEWHERE


def _is_its_process(pid: str, run: FlowRun) -> bool:
    import psutil

    with contextlib.suppress(ValueError, psutil.Error):  # gone, or somebody else's: then it is not this run's
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        created = run.labels.get(CREATED)
        if run.labels.get(PLACE) == here() and isinstance(created, int | float):
            return abs(process.create_time() - created) < _SAME_S and pid == str(run.labels.get(PID))
        return process.environ().get(_RUN_VARIABLE) == str(run.id)
    return False
