"""One of several workers as a program: ``python -m components.serving.worker TASK``; only `workers` starts it."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from dataclasses import replace

from components.errors import TowpathError
from components.serving.options import token_from_environment
from components.serving.stderr_log import log_to_stderr
from components.serving.workers import WorkerTask
from components.stage.process import die_with_parent
from components.types import record


def main(text: str) -> int:
    """Serve until told to stop, or until the parent is gone, and return the exit code."""
    task = record.load(WorkerTask, json.loads(text))
    threading.Thread(target=die_with_parent, args=(task.parent,), daemon=True, name="parent-watch").start()
    from components.serving.board import Board, KillSwitch
    from components.serving.server import serve_on

    log_to_stderr(f"worker {task.worker}")
    options = replace(task.options, token=token_from_environment())

    def tell() -> None:
        os.write(task.ready, b"1")
        os.close(task.ready)

    try:
        board = Board(task.state_dir, task.worker, options.workers, task.predecessor, KillSwitch(options.snapshot))
        with socket.socket(fileno=task.listener) as listener:
            serve_on(listener, options, board, tell)
    except TowpathError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
