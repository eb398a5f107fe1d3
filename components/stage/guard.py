"""Run a command that must not outlive its caller: ``python -m components.stage.guard COMMAND...``.

The guard leads a process group with the command in it; when the caller ends, in whichever way, the group is killed.
Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

from components.stage.process import die_with_parent


def main(command: list[str]) -> int:
    """Run `command` to its end and return its exit code."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    threading.Thread(target=die_with_parent, args=(os.getppid(),), daemon=True).start()
    with subprocess.Popen(command) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
