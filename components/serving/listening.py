"""Sockets to listen on, one for all or one for each worker. Knows nothing of what is said on them.

Each worker has a listening socket of its own on the same port (SO_REUSEPORT): Linux then spreads new connections
evenly over them, where workers that share one socket leave most connections to whichever wakes first. The parent keeps
every socket open, so that a worker that dies loses no connection it had not accepted yet: its successor accepts them.

Binding a port does not make it one's own: another gateway may bind it too until one of both listens, which is only
after its models are loaded, and with SO_REUSEPORT even then. So a gateway also holds the port's name (`_held`), and
looks whether another one holds the same port of all addresses, or of one where it asks for all.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from components.errors import InfrastructureError

_NAME = "towpath-gateway-"
_NAMES_HELD = Path("/proc/net/unix")


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket bound to a port that is nobody else's for the block; 0 takes a free one.

    Raises:
        InfrastructureError: the port is taken, or the address is not this machine's.
    """
    with _bound(host, port, shared=False) as listener, _held(listener):
        yield listener


@contextmanager
def listen_for_workers(host: str, port: int, workers: int) -> Iterator[list[socket.socket]]:
    """Give a socket per worker, all bound to one port that is nobody else's for the block.

    Raises:
        InfrastructureError: the port is taken, or the address is not this machine's.
    """
    with listen(host, port) as probe, ExitStack() as kept:  # with SO_REUSEPORT at once, we would join another gateway
        port = probe.getsockname()[1]
        if can_share_ports():
            probe.close()
            made = (listen_beside(host, port) for _ in range(workers))
        else:
            made = (probe.dup() for _ in range(workers))
        yield [kept.enter_context(each) for each in made]


def listen_beside(host: str, port: int) -> socket.socket:
    """Return one more socket on a port that this process listens on already.

    Raises:
        InfrastructureError: the port was taken meanwhile.
    """
    return _bound(host, port, shared=True)


def cannot_listen(host: str, port: int, error: OSError) -> InfrastructureError:
    """Return what is said where a port or an address is not to be had."""
    return InfrastructureError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port")


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
        raise cannot_listen(host, port, error) from error
    return listener


@contextmanager
def _held(listener: socket.socket) -> Iterator[None]:
    """Hold the name of a socket's address and port for the block.

    It is a name that Linux keeps (an abstract socket): only one process can have it, in the same network namespace as
    the port, and it ends with the process in whichever way. Elsewhere a bound port is not shared to begin with.
    """
    if sys.platform != "linux":
        yield
        return
    host, port = listener.getsockname()[:2]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        try:
            name.bind(f"\0{_NAME}{host}:{port}")
            # only now: of two that come at once, the later one sees the other (or each the other, and both give way)
            if any(_overlap(host, other) for other in _hosts_held(port)):
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        except OSError as error:
            raise cannot_listen(host, port, error) from error
        yield


def _hosts_held(port: int) -> Iterator[str]:
    """Give the addresses whose `port` some gateway of this network namespace holds, this one's among them."""
    try:
        lines = _NAMES_HELD.read_text(errors="replace").splitlines()
    except OSError:  # there is no /proc
        return
    for line in lines:
        host, _, held_port = line.partition(f" @{_NAME}")[2].rpartition(":")
        if held_port == str(port):
            yield host


def _overlap(one: str, other: str) -> bool:
    """Return whether two different addresses are all of them and one of those: ``::`` is those of IPv4, too."""
    if one == other:
        return False
    return "::" in (one, other) or ("0.0.0.0" in (one, other) and ":" not in one + other)  # noqa: S104 - compared only
