"""The folder that a gateway's workers share: where it is, and whose. Knows nothing of what is in it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import AlreadyRunningError, InfrastructureError
from components.serving.options import GatewayOptions

OF_THIS_RUN = ("workers", "totals")
"""What of it ends with the gateway; the rollouts stay."""

log = logging.getLogger("towpath.gateway")


@contextmanager
def own_state_folder(options: GatewayOptions, port: int) -> Iterator[Path]:
    """Give the gateway's folder, and hold it for the block.

    What is in it should outlive the gateway (an alarm that was raised stays raised), so it belongs to the port; a port
    that was only free by chance says nothing about who comes next, so there it is temporary.

    Raises:
        AlreadyRunningError: another gateway has it.
        InfrastructureError: it cannot be made.
    """
    folder = options.state_dir
    if folder is None and options.port == 0:
        with _temporary() as made:
            yield made
        return
    if folder is None:
        folder = options.snapshot.absolute().parent / f"gateway-{port}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        if options.state_dir is not None:
            raise InfrastructureError(
                f"{folder} cannot be written: {error.strerror}; choose another --state-dir"
            ) from error
        log.warning("%s cannot be written (%s): counts and alarms do not outlive this gateway", folder, error.strerror)
        with _temporary() as made:
            yield made
        return
    with lock:
        _hold(lock.fileno(), folder)
        for name in OF_THIS_RUN:
            shutil.rmtree(folder / name, ignore_errors=True)
        yield folder


@contextmanager
def _temporary() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="towpath-gateway-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _hold(descriptor: int, folder: Path) -> None:
    """Take a lock that ends with this process, in whichever way."""
    try:
        import fcntl
    except ImportError:  # Windows: two gateways on one port cannot be, two on one --state-dir are the user's care
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise AlreadyRunningError(f"another gateway uses {folder}; give this one another --state-dir") from None
