"""TensorFlow's process as seen from here: start it, have it fork servers, hear of their ends. Knows no product.

All runtimes of a process share one, which ends with the last of them, with this process, and when it is killed.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import weakref
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.errors import FaultError
from components.stage.environment import bare_environment

DEVICES_VARIABLE = "TOWPATH_SAVEDMODEL_DEVICES"
"""What TensorFlow's process gets as CUDA_VISIBLE_DEVICES; none, unless it is set."""
_CHILD = "components.runtime.savedmodel.child"
_ROOT = Path(__file__).resolve().parents[3]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

log = logging.getLogger("towpath.runtime")

Ended = Callable[[int | None], None]
"""Hears a server's exit code; None where all of TensorFlow's process ended."""


class Host:
    """One process with TensorFlow in it."""

    def __init__(self) -> None:
        """Start it; `serve` may be called at once.

        Raises:
            FaultError: it cannot be started.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        heard, told = os.pipe()
        command = [sys.executable, "-m", _CHILD, str(os.getpid()), str(theirs.fileno()), str(told)]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(), told),
                process_group=0,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            os.close(heard)
            raise FaultError(f"TensorFlow's process cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
            os.close(told)
        self.pid = process.pid
        self._requests = ours
        self._state = _State()
        listener = threading.Thread(target=_listen, args=(process, heard, self._state), daemon=True, name="savedmodel")
        try:
            listener.start()
        except RuntimeError as error:  # the system gives no thread at the moment
            _end(process, ours)
            process.wait()
            os.close(heard)
            raise FaultError(f"TensorFlow's process cannot be listened to: {error}") from error
        weakref.finalize(self, _end, process, ours)

    @property
    def failure(self) -> str | None:
        """Why it does not live; None while it does."""
        return self._state.failure

    def serve(self, directory: Path, threads: int, lanes: list[socket.socket], ended: Ended) -> int:
        """Have a SavedModel served on the other ends of some sockets, and return the server's number.

        Raises:
            FaultError: the process is gone.
        """
        number = self._state.add(ended)
        request = {"serve": number, "directory": str(directory.absolute()), "threads": threads}
        descriptors = array("i", [lane.fileno() for lane in lanes])
        try:
            self._send(request, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except OSError as error:
            self._state.forget(number)
            raise FaultError(f"TensorFlow's process is gone: {self.failure or error.strerror}") from error
        return number

    def pid_of(self, number: int) -> int | None:
        """Return a server's process, once it was told."""
        return self._state.pids.get(number)

    def kill(self, number: int) -> None:
        """End a server at once; one that has ended is fine."""
        try:
            self._send({"kill": number})
        except OSError:  # gone, and its servers with it
            return

    def _send(self, request: dict[str, Any], ancillary: Any = ()) -> None:
        self._requests.sendmsg([json.dumps(request).encode()], ancillary)


_shared: weakref.ref[Host] | None = None
_sharing = threading.Lock()


def shared_host() -> Host:
    """Return this process's one, started now if there is none that lives.

    Raises:
        FaultError: it cannot be started.
    """
    global _shared
    with _sharing:
        host = _shared() if _shared is not None else None
        if host is None or host.failure is not None:
            host = Host()
            _shared = weakref.ref(host)
        return host


class _State:
    """What is known of the process, shared with the thread that listens to it."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.pids: dict[int, int] = {}
        self._ended: dict[int, Ended] = {}
        self._lock = threading.RLock()  # a runtime may be collected, and its server killed, while this is held
        self._last = 0

    def add(self, ended: Ended) -> int:
        with self._lock:
            self._last += 1
            self._ended[self._last] = ended
            return self._last

    def forget(self, number: int) -> None:
        with self._lock:
            self._ended.pop(number, None)

    def end(self, number: int, code: int | None) -> None:
        with self._lock:
            ended = self._ended.pop(number, None)
            self.pids.pop(number, None)
        if ended is not None:
            try:
                ended(code)
            except Exception:  # the ends of other servers are still to be heard
                log.exception("the end of a server could not be told")

    def end_all(self) -> None:
        for number in list(self._ended):
            self.end(number, None)


def _listen(process: subprocess.Popen[bytes], heard: int, state: _State) -> None:
    said = "it ended"
    try:
        with os.fdopen(heard) as replies:
            for line in replies:
                said = _heard(json.loads(line), state) or said
    except Exception as error:
        said = f"it was not understood: {type(error).__name__}: {error}"
        process.kill()  # nobody hears it any more, and whoever finds it dead starts another
    code = process.wait()
    state.failure = f"{said} (exit code {code})"
    state.end_all()


def _heard(reply: dict[str, Any], state: _State) -> str | None:
    """Take a reply; return why the process ends, where that is what it says."""
    if "ended" in reply:
        state.end(reply["server"], reply["ended"])
    elif "pid" in reply:
        state.pids[reply["server"]] = reply["pid"]
    return reply.get("failed")


def _end(process: subprocess.Popen[bytes], requests: socket.socket) -> None:
    process.kill()  # its servers watch it
    requests.close()


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **bare_environment(),
        **dict.fromkeys(_THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join(paths),
        "CUDA_VISIBLE_DEVICES": os.environ.get(DEVICES_VARIABLE, "-1"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
