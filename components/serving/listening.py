"""Sockets to listen on, one for all or one for each worker. Knows nothing of what is said on them.

Each worker has a listening socket of its own on the same port (SO_REUSEPORT): Linux then spreads new connections
evenly over them, where workers that share one socket leave most connections to whichever wakes first. The parent keeps
every socket open, so that a worker that dies loses no connection it had not accepted yet: its successor accepts them.
"""

from __future__ import annotations

import socket
import sys

from components.errors import InfrastructureError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to a port that is nobody else's; 0 takes a free one.

    Raises:
        InfrastructureError: the port is taken, or the address is not this machine's.
    """
    return _bound(host, port, shared=False)


def listen_for_workers(host: str, port: int, workers: int) -> list[socket.socket]:
    """Return a socket per worker, all bound to one port that is nobody else's.

    Raises:
        InfrastructureError: the port is taken, or the address is not this machine's.
    """
    with _bound(host, port, shared=False) as probe:  # with SO_REUSEPORT at once, we would join another gateway
        port = probe.getsockname()[1]
        if not can_share_ports():
            return [probe.dup() for _ in range(workers)]
    return [listen_beside(host, port) for _ in range(workers)]


def listen_beside(host: str, port: int) -> socket.socket:
    """Return one more socket on a port that this process listens on already.

    Raises:
        InfrastructureError: the port was taken meanwhile.
    """
    return _bound(host, port, shared=True)


def can_share_ports() -> bool:
    """Return whether several sockets on one port share its connections."""
    return sys.platform == "linux"  # others have the option, too, and give all connections to one socket


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InfrastructureError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return listener
