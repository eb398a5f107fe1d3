"""This process as a driver of a Ray cluster: joins one that is there, starts none. Imports Ray when it joins.

The address comes from ``RAY_ADDRESS`` (HOST:PORT of the head). The machine must be a node of the cluster itself, as
``ray start --address=HOST:PORT --num-cpus=0`` makes it. What is started here ends with this process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.cluster.capacity import Request, require_capacity
from components.cluster.code import copy_code
from components.cluster.folders import chunks
from components.cluster.packages import installed_here, require_same
from components.errors import BadInputError, InfrastructureError, MissingExtraError, TowpathError
from components.stage.files import tree_digest

ADDRESS_VARIABLE = "RAY_ADDRESS"
_SENT_AHEAD = 4
"""Pieces on their way at once."""


class NodeLostError(Exception):
    """A node, or a process of ours there, is gone; the same work can be done elsewhere."""


@contextmanager
def joined() -> Iterator[Session]:
    """Join the cluster for the length of the block, with this project's code.

    Raises:
        MissingExtraError: Ray is not installed.
        BadInputError: ``RAY_ADDRESS`` is missing, or of another form.
        InfrastructureError: nobody answers there, or this machine is no node of the cluster.
    """
    if find_spec("ray") is None:
        raise MissingExtraError.of("runner `ray` needs ray, not installed here", "ray")
    address = _address()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    with tempfile.TemporaryDirectory(prefix="towpath-code-") as folder:
        copy_code(Path(folder))
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, runtime_env={"working_dir": folder})
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            words = " ".join(str(error).split())[:300]
            raise InfrastructureError(
                f"this machine cannot join the Ray cluster at {address}: {words}; it must be a node of it: "
                f"ray start --address={address} --num-cpus=0"
            ) from error
        finally:
            for each, handler in handlers.items():  # Ray sets its own, and exits on them
                signal.signal(each, handler)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Ray tells of lost processes there
            yield Session()
    finally:
        ray.shutdown()


class Session:
    """What is done on the cluster while this process is joined to it."""

    def __init__(self) -> None:
        """Remember what this machine has installed."""
        self._here = installed_here()

    def cpus(self) -> int:
        """Return how many cores all nodes offer together."""
        import ray

        return int(sum(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]))

    def require_capacity(self, request: Request, what: str, key: str) -> None:
        """Check that some node can ever give what is asked.

        Raises:
            ConfigError: none can.
        """
        import ray

        require_capacity(request, ray.nodes(), what, key)

    def start(self, body: type, request: Request, *arguments: Any) -> Any:
        """Start an actor with `body` on whichever node has room; return its handle at once."""
        import ray

        return (
            ray.remote(body)
            .options(
                num_cpus=request.cpus,
                num_gpus=request.gpus,
                memory=request.memory_bytes or None,
                max_concurrency=_SENT_AHEAD,
                scheduling_strategy="SPREAD",
            )
            .remote(*arguments)
        )

    def require_same_environment(self, actor: Any) -> str:
        """Check an actor's node against this machine, and return the node's name.

        Raises:
            BadInputError: the node has other versions than this machine.
            NodeLostError: it is gone.
        """
        name: str = self.get(actor.name.remote())
        require_same(self._here, self.get(actor.installed.remote()), name)
        return name

    def send(self, actor: Any, kind: str, folder: Path, digest: str, wanted: Callable[[str], bool]) -> None:
        """Bring a folder to an actor's node, unless it is there already.

        Args:
            actor: A `components.cluster.node.Node`.
            kind: Groups folders on the node.
            folder: What is sent.
            digest: Of what is sent.
            wanted: Says by its relative path whether a file is sent.

        Raises:
            NodeLostError: the node is gone.
            DigestMismatchError: other bytes arrived.
        """
        if self.get(actor.has.remote(kind, digest)):
            return
        sent: list[Any] = []
        for chunk in chunks(folder, wanted):
            if len(sent) >= _SENT_AHEAD:
                self.get(sent.pop(0))
            sent.append(actor.receive.remote(kind, digest, chunk))
        for each in sent:
            self.get(each)
        self.get(actor.finish.remote(kind, digest))

    def send_whole(self, actor: Any, kind: str, folder: Path) -> str:
        """Bring all of a folder to an actor's node, and return its digest.

        Raises:
            NodeLostError: the node is gone.
            DigestMismatchError: other bytes arrived, or there is something else than plain files.
        """
        digest = tree_digest(folder)
        self.send(actor, kind, folder, digest, lambda _: True)
        return digest

    def ready(self, references: Sequence[Any], timeout_s: float) -> list[Any]:
        """Return those of `references` that have something to give, after at most `timeout_s` seconds."""
        import ray

        return list(ray.wait(list(references), num_returns=1, timeout=timeout_s, fetch_local=False)[0])

    def get(self, reference: Any) -> Any:
        """Return a result.

        Raises:
            TowpathError: what was raised on the node.
            NodeLostError: the node is gone.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(reference)
        except RayTaskError as error:
            if isinstance(error.cause, TowpathError):
                raise error.cause from None
            raise InfrastructureError(f"a node of the cluster failed: {_words(error.cause)}") from error
        except RayError as error:
            raise NodeLostError(_words(error)) from error

    def stop(self, actor: Any) -> None:
        """End an actor's process at once; what it started ends with it."""
        import ray

        with contextlib.suppress(Exception):  # it may be gone, and the cluster too
            ray.kill(actor)


def _address() -> str:
    address = os.environ.get(ADDRESS_VARIABLE, "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        found = f"is `{address}`" if address else "is not set"
        raise BadInputError(
            f"{ADDRESS_VARIABLE} {found}; runner `ray` needs HOST:PORT of the cluster's head there, for example "
            f"10.0.0.5:6379 (or run here: TOWPATH_RUNNER=local)"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise InfrastructureError(
            f"no Ray cluster answers at {address} ({ADDRESS_VARIABLE}): {error.strerror or error}; start it, or run "
            "here: TOWPATH_RUNNER=local"
        ) from error
    return address


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
