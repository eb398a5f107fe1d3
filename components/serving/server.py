"""One gateway process: load the snapshot, listen, keep up, and drain when told to stop. Knows nothing of requests.

It is a gateway by itself, or one of several workers (`workers`, which starts them).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from uvicorn.config import Config
from uvicorn.server import Server

from components.serving.board import Board, KillSwitch
from components.serving.connection import guarded, watch_deadlines
from components.serving.gateway import Gateway
from components.serving.listening import cannot_listen, listen
from components.serving.options import GatewayOptions, check_options
from components.serving.pulse import Pulse
from components.serving.snapshot_watch import SnapshotWatch
from components.serving.state_folder import own_state_folder
from components.serving.stderr_log import log_to_stderr
from components.stage.files import write_text

if TYPE_CHECKING:
    from components.serving.label_log import LabelLog
    from components.serving.prediction_log import PredictionLog

_SWEEP_S = 0.25

log = logging.getLogger("towpath.gateway")


def serve(options: GatewayOptions) -> None:
    """Serve in this process until SIGTERM or SIGINT, and return once every request that was taken has been answered.

    Raises:
        ConfigError: the options are wrong, or there is no snapshot to start with.
        InfrastructureError: the port is taken, or the state folder cannot be written.
        AlreadyRunningError: another gateway uses the same state folder.
    """
    check_options(options)
    log_to_stderr()
    with listen(options.host, options.port) as listener:
        port = listener.getsockname()[1]

        def tell() -> None:
            say_listening(options, port)

        with own_state_folder(options, port) as folder:
            serve_on(listener, options, Board(folder, kill_switch=KillSwitch(options.snapshot)), tell)


def serve_on(listener: socket.socket, options: GatewayOptions, board: Board, tell: Callable[[], None]) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT; `tell` is called once a client that connects gets an answer.

    Raises:
        ConfigError: there is no snapshot to start with.
        InfrastructureError: somebody else, who is no gateway, listens on the port since it was bound.
    """
    predictions = _prediction_log(options, board.worker)
    gateway = Gateway(
        options.limits,
        options.token,
        state_dir=options.snapshot.absolute().parent,
        board=board,
        predictions=predictions,
        labels=_label_log(options, board.worker),
        user_header=options.user_header,
    )
    try:
        _GatewayServer(_uvicorn_config(gateway, options), gateway, options, tell).run(sockets=[listener])
    finally:
        gateway.close()
        for judge in gateway.judges.values():
            judge.close()
        if predictions is not None:
            predictions.close()


def say_listening(options: GatewayOptions, port: int) -> None:
    """Tell whoever waits for it on which port the gateway listens."""
    if options.port_file is not None:
        write_text(options.port_file, f"{port}\n")
    log.info("listening on http://%s:%d", options.host, port)


class _GatewayServer(Server):
    def __init__(self, config: Config, gateway: Gateway, options: GatewayOptions, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._options = options
        self._tell = tell
        self._background: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the snapshot, then listen: a client that can connect gets an answer."""
        assert sockets
        watch = SnapshotWatch(self._gateway, self._options.snapshot, self._options.poll_s)
        with suppress(NotImplementedError):  # no signals but Ctrl-C on Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.wake)
        await watch.start()
        pulse = Pulse(self._gateway)
        pulse.beat()  # whoever asks the first question sees this worker, and a kill switch holds before it
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not walk it during requests
        for each in sockets:
            try:
                each.listen(self.config.backlog)
            except OSError as error:  # which uvloop would keep to itself, and serve nobody
                host, port, *_ = each.getsockname()
                raise cannot_listen(host, port, error) from error
        await super().startup(sockets)
        self._background = [
            asyncio.create_task(watch.run()),
            asyncio.create_task(pulse.run()),
            asyncio.create_task(watch_deadlines(self.server_state.connections, _SWEEP_S)),
        ]
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell clients to go elsewhere while still answering them, then finish what was taken."""
        self._gateway.draining = True
        await asyncio.sleep(self._options.drain_s)
        for task in self._background:
            task.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and end like a program that did what it was told."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _uvicorn_config(gateway: Gateway, options: GatewayOptions) -> Config:
    stats = gateway.stats[""]
    return Config(
        gateway,
        http=guarded(options.limits, lambda status: stats.observe(status, 0.0)),
        ws="none",
        lifespan="off",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(options.limits.keep_alive_s),
        timeout_graceful_shutdown=int(options.limits.time_s) + 1,
        workers=1,
    )


def _label_log(options: GatewayOptions, worker: int) -> LabelLog | None:
    if options.log_dir is None:
        return None
    from components.serving.label_log import LabelLog

    return LabelLog(options.log_dir, worker)


def _prediction_log(options: GatewayOptions, worker: int) -> PredictionLog | None:
    if options.log_dir is None:
        return None
    from components.serving.prediction_log import LogOptions, PredictionLog, check_log_options

    log_options = LogOptions(
        options.log_dir, rate=options.log_rate, file_s=options.log_file_s, total_bytes=options.log_bytes
    )
    check_log_options(log_options)
    return PredictionLog(log_options, worker)
