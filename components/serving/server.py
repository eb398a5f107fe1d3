"""Start a gateway, keep it at its snapshot, and drain it when it is told to stop. Knows nothing of requests."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from uvicorn.config import Config
from uvicorn.server import Server

from components.errors import InfrastructureError
from components.serving.connection import guarded, watch_deadlines
from components.serving.gateway import Gateway
from components.serving.options import GatewayOptions, check_options
from components.serving.snapshot_watch import SnapshotWatch
from components.stage.files import write_text

_SWEEP_S = 0.25

log = logging.getLogger("towpath.gateway")


def serve(options: GatewayOptions) -> None:
    """Serve until SIGTERM or SIGINT, and return once every request that was taken has been answered.

    Raises:
        ConfigError: the options are wrong, or there is no snapshot to start with.
        InfrastructureError: the port is taken.
    """
    check_options(options)
    _log_to_stderr()
    gateway = Gateway(options.limits, options.token)
    stats = gateway.stats[""]
    config = Config(
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
    listener = _listen(options.host, options.port)
    with listener:
        _GatewayServer(config, gateway, options).run(sockets=[listener])


class _GatewayServer(Server):
    def __init__(self, config: Config, gateway: Gateway, options: GatewayOptions) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._options = options
        self._watch: SnapshotWatch | None = None
        self._background: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the snapshot, then listen: a client that can connect gets an answer."""
        self._watch = SnapshotWatch(self._gateway, self._options.snapshot, self._options.poll_s)
        with suppress(NotImplementedError):  # no signals but Ctrl-C on Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._watch.wake)
        await self._watch.start()
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not walk it during requests
        await super().startup(sockets)
        self._background = [
            asyncio.create_task(self._watch.run()),
            asyncio.create_task(watch_deadlines(self.server_state.connections, _SWEEP_S)),
        ]
        assert sockets is not None
        port = sockets[0].getsockname()[1]
        if self._options.port_file is not None:
            write_text(self._options.port_file, f"{port}\n")
        log.info("listening on http://%s:%d", self._options.host, port)

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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InfrastructureError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listener


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s gateway %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
