"""A stage's process: its own group, which ends when its parent does. Knows nothing of the stage.

The pipeline names a folder for each call in ``TOWPATH_CALL_DIR``; into it the stage writes ``pid`` (its process group),
``progress.jsonl`` (live progress), ``log`` (its output) and ``error.json``. Without the variable (plain ``dvc repro``)
nothing is written, and output goes to the terminal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

CALL_DIR_VARIABLE = "TOWPATH_CALL_DIR"
PID_FILE = "pid"
PROGRESS_FILE = "progress.jsonl"
ERROR_FILE = "error.json"
LOG_FILE = "log"
CANCELLED_FILE = "cancelled"


def call_file(name: str) -> Path | None:
    """Return the path of one of this call's files, or None outside the pipeline."""
    folder = os.environ.get(CALL_DIR_VARIABLE)
    return Path(folder) / name if folder else None


def own_group() -> None:
    """Under the pipeline, lead a process group of its own; always, end when the parent ends.

    Under plain ``dvc repro`` the stage stays in the terminal's group, so that Ctrl-C reaches it.
    """
    parent = os.getppid()
    if path := call_file(PID_FILE):
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)
        path.write_text(str(os.getpgrp()))
        if path.with_name(CANCELLED_FILE).exists():  # stopped before there was a pid to stop
            raise KeyboardInterrupt
    threading.Thread(target=die_with_parent, args=(parent,), daemon=True, name="parent-watch").start()


def kill_group(group: int, grace_s: float = 5.0, leader: subprocess.Popen[bytes] | None = None) -> None:
    """End a process group: SIGTERM, and SIGKILL after `grace_s` seconds; a group that is gone is fine.

    Args:
        group: The group's id.
        grace_s: How long it may take to end by itself.
        leader: Its leader, where that is a child of this process: it must be reaped, or the group seems to go on.
    """
    for signum, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + wait_s
        try:
            os.killpg(group, signum)
            while time.monotonic() < deadline:
                if leader is not None:
                    leader.poll()
                os.killpg(group, 0)
                time.sleep(0.02)
        except ProcessLookupError:
            return


def die_with_parent(parent: int) -> None:
    """Wait for process `parent` to end, and then end this process, with its group when it leads one."""
    _wait_for_end(parent)
    print("the parent process ended; stopping this stage", file=sys.stderr, flush=True)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end(pid: int) -> None:
    """Return when process `pid`, our parent, has ended (PR_SET_PDEATHSIG would follow the creating thread instead)."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        with contextlib.closing(os.fdopen(descriptor)):
            if os.getppid() == pid:
                select.select([descriptor], [], [])
            return
    while os.getppid() == pid:
        time.sleep(0.5)
