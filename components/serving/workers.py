"""Several workers behind one port: start them, replace those that die, and stop them together. Serves nothing itself.

The parent imports no library that serves, and has one thread. Each worker is a fresh interpreter (a fork would share
threads and locks of onnxruntime and uvloop), gets its listening socket from the parent, and ends when the parent does.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from components.errors import InfrastructureError
from components.serving.listening import can_share_ports, listen_beside, listen_for_workers
from components.serving.options import TOKEN_VARIABLE, GatewayOptions, check_options
from components.serving.state_folder import own_state_folder
from components.serving.stderr_log import log_to_stderr
from components.stage.files import write_text
from components.types.record import canonical_json

STEADY_S = 10.0
"""A worker that lived so long had no trouble starting: its successor starts at once."""
LONGEST_WAIT_S = 10.0
_FIRST_WAIT_S = 0.25
_HANDED_BACK_S = 0.5
"""A worker that is gone for longer leaves its share of new connections to the others; what waits for it is cut off."""
_GRACE_S = 5.0

log = logging.getLogger("towpath.gateway")


@dataclass(frozen=True)
class WorkerTask:
    """What a worker is told by its parent; the token is in its environment."""

    options: GatewayOptions
    worker: int
    state_dir: Path
    parent: int
    """The parent's process id."""
    listener: int
    """The descriptor of its bound socket."""
    ready: int
    """The descriptor to write a byte to once it listens."""
    predecessor: int | None
    """How the process before it ended; None for the first."""


class Worker:
    """One place among the workers, and the process that has it now."""

    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.listener: socket.socket | None = listener
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: int | None = None
        """Where its readiness is heard, until it was."""
        self.is_ready = False
        self.started_s = 0.0
        self.deaths = 0
        """In a row, each soon after its start."""
        self.start_at_s: float | None = None
        """When it is to be started; None while it runs, or before its turn."""
        self.exit_code: int | None = None


class Workers:
    """The parent: `run` returns when all workers have ended."""

    def __init__(self, options: GatewayOptions, listeners: list[socket.socket], state_dir: Path) -> None:
        self._options = options
        self._port: int = listeners[0].getsockname()[1]
        self._state_dir = state_dir
        self._workers = [Worker(number, listener) for number, listener in enumerate(listeners)]
        self._selector = selectors.DefaultSelector()
        self._signals, self._waker = socket.socketpair()
        self._has_told = False
        self._stop_by_s: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        """Keep the workers running until SIGTERM or SIGINT, and return the exit code."""
        self._hear_signals()
        self._workers[0].start_at_s = 0.0  # the others once it serves: a wrong snapshot is then said once
        while self._stop_by_s is None or any(each.process for each in self._workers):
            self._start_due()
            for key, _ in self._selector.select(self._wait_s()):
                if key.data is None:
                    self._heard(self._signals.recv(64))
                else:
                    self._became_ready(key.data)
            self._reap()
            if self._stop_by_s is not None and time.monotonic() > self._stop_by_s:
                self._send(signal.SIGKILL)
        return self._exit_code

    def _hear_signals(self) -> None:
        self._signals.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # it arrives as a byte
        self._selector.register(self._signals, selectors.EVENT_READ)

    def _heard(self, numbers: bytes) -> None:
        if signal.SIGHUP in numbers:
            self._send(signal.SIGHUP, only_ready=True)  # another reads the snapshot anyway, and would die of it
        if (signal.SIGTERM in numbers or signal.SIGINT in numbers) and self._stop_by_s is None:
            self._stop()

    def _stop(self) -> None:
        options = self._options
        self._stop_by_s = time.monotonic() + options.drain_s + options.limits.time_s + _GRACE_S
        self._send(signal.SIGTERM)
        for each in self._workers:
            each.start_at_s = None
            self._hand_back(each)  # else connections would still be taken that nobody answers

    def _send(self, number: signal.Signals, *, only_ready: bool = False) -> None:
        for each in self._workers:
            if each.process is not None and (each.is_ready or not only_ready):
                each.process.send_signal(number)

    def _start_due(self) -> None:
        for each in self._workers:
            if each.start_at_s is not None and each.start_at_s <= time.monotonic():
                try:
                    self._start(each)
                except (OSError, InfrastructureError) as error:  # as when there is no memory or port: try again later
                    log.error("worker %d cannot be started: %s", each.number, error)
                    each.start_at_s = time.monotonic() + LONGEST_WAIT_S

    def _start(self, worker: Worker) -> None:
        if worker.listener is None:
            worker.listener = listen_beside(self._options.host, self._port)
        heard, told = os.pipe()
        descriptor = worker.listener.fileno()
        task = WorkerTask(
            replace(self._options, token=None),
            worker.number,
            self._state_dir,
            os.getpid(),
            descriptor,
            told,
            worker.exit_code,
        )
        token = {TOKEN_VARIABLE: self._options.token} if self._options.token else {}
        try:
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "components.serving.worker", canonical_json(task)],
                pass_fds=(descriptor, told),
                process_group=0,  # Ctrl-C in a terminal reaches the parent alone, which stops all of them in order
                env={**os.environ, **token},
            )
        except OSError:
            os.close(heard)
            raise
        finally:
            os.close(told)
        worker.started_s, worker.start_at_s = time.monotonic(), None
        worker.ready, worker.is_ready = heard, False
        self._selector.register(heard, selectors.EVENT_READ, worker)

    def _became_ready(self, worker: Worker) -> None:
        """Hear that a worker listens, or, where the pipe just ended, that it never will."""
        assert worker.ready is not None
        worker.is_ready = os.read(worker.ready, 1) != b""
        self._forget_pipe(worker)
        if worker.is_ready and worker.number == 0:
            for each in self._workers[1:]:
                if each.process is None and each.start_at_s is None:
                    each.start_at_s = 0.0
        self._tell_once()

    def _tell_once(self) -> None:
        if not self._has_told and all(each.is_ready or each.deaths for each in self._workers):
            self._has_told = True
            if self._options.port_file is not None:
                write_text(self._options.port_file, f"{self._port}\n")
            log.info("%d workers listen on http://%s:%d", len(self._workers), self._options.host, self._port)

    def _reap(self) -> None:
        for each in self._workers:
            if each.process is not None and (code := each.process.poll()) is not None:
                self._ended(each, code)

    def _ended(self, worker: Worker, exit_code: int) -> None:
        lived_s = time.monotonic() - worker.started_s
        was_ready, worker.is_ready, worker.process = worker.is_ready, False, None
        self._forget_pipe(worker)
        if self._stop_by_s is not None:
            self._exit_code = self._exit_code or (1 if exit_code not in (0, -signal.SIGTERM) else 0)
            return
        if not self._has_told and not was_ready and worker.number == 0 and worker.exit_code is None:
            self._exit_code = exit_code if exit_code > 0 else 1  # it said why
            self._stop()
            return
        worker.exit_code = exit_code
        worker.deaths = 1 if lived_s >= STEADY_S else worker.deaths + 1
        wait_s = 0.0 if worker.deaths == 1 else min(_FIRST_WAIT_S * 2 ** (worker.deaths - 2), LONGEST_WAIT_S)
        log.error("worker %d ended (%s); it is replaced in %.2f s", worker.number, _how(exit_code), wait_s)
        worker.start_at_s = time.monotonic() + wait_s
        if wait_s > _HANDED_BACK_S and can_share_ports() and any(each.is_ready for each in self._workers):
            self._hand_back(worker)
        self._tell_once()

    def _hand_back(self, worker: Worker) -> None:
        if worker.listener is not None:
            worker.listener.close()
            worker.listener = None

    def _forget_pipe(self, worker: Worker) -> None:
        if worker.ready is not None:
            self._selector.unregister(worker.ready)
            os.close(worker.ready)
            worker.ready = None

    def _wait_s(self) -> float | None:
        """Return how long nothing needs to be done unless something is heard."""
        times = [each.start_at_s for each in self._workers if each.start_at_s is not None]
        if self._stop_by_s is not None:
            times.append(self._stop_by_s)
        return max(0.0, min(times) - time.monotonic()) if times else None


def serve_by_workers(options: GatewayOptions) -> int:
    """Serve with `options.workers` processes until SIGTERM or SIGINT, and return the exit code.

    Raises:
        ConfigError: the options are wrong.
        InfrastructureError: the port is taken, or the state folder cannot be written.
        AlreadyRunningError: another gateway uses the same state folder.
    """
    check_options(options)
    log_to_stderr()
    with (
        listen_for_workers(options.host, options.port, options.workers) as listeners,
        own_state_folder(options, listeners[0].getsockname()[1]) as folder,
    ):
        return Workers(options, listeners, folder).run()


def _how(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
