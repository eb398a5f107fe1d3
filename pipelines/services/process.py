"""A server of ours as a process: started, found again, known to be ours, stopped. Knows no particular server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import InfrastructureError
from components.stage.files import write_json
from components.stage.process import kill_group
from components.types import record
from pipelines.state import LOCKS, SERVICES, bare_environment

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Launch:
    """How to start a server and when to call it ready."""

    name: str
    command: tuple[str, ...]
    """With ``{port}`` where the port belongs."""
    port: int
    """The port to prefer; another free one is taken when it is in use, or when it is 0."""
    health_path: str
    page: str
    """The path that a person would open."""
    environment: Mapping[str, str]
    """With ``{port}`` where the port belongs."""
    is_bare: bool = False
    """Whether it gets none of this process's own variables but those that every program needs: a server that runs a
    model's code must not hold the credentials of whoever started it."""
    start_timeout_s: float = 120.0
    scheme: str = "http"
    is_ready: Callable[[int], bool] | None = None
    """Whether it is ready at this port, for a server that does not speak HTTP; `health_path` is not asked then."""
    user: str | None = None
    """The user that it runs as, where that is not ours; only root can choose."""


@dataclass(frozen=True)
class Service:
    """A server that was started; its record stands in ``.towpath/services/<name>.json``."""

    name: str
    pid: int
    started_at: float
    """The process's creation time in seconds since the epoch; pid and time together name the process."""
    url: str
    page: str
    log: str


def find_service(name: str, root: Path = Path()) -> Service | None:
    """Return the recorded server if its very process still runs; the record of a dead one is deleted."""
    path = root / SERVICES / f"{name}.json"
    try:
        service = record.read(Service, path)
    except (OSError, ValueError):
        return None
    if _is_running(service):
        return service
    path.unlink(missing_ok=True)
    return None


def start_service(launch: Launch, root: Path = Path()) -> Service:
    """Start a server that stays, unless it runs already; wait until it is ready, and record it.

    Raises:
        InfrastructureError: it ended, or was not ready in time; the message names its log.
    """
    from filelock import FileLock

    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCKS / f"service-{launch.name}.lock"):
        if running := find_service(launch.name, root):
            return running
        try:
            return _start(launch, root)
        except InfrastructureError:
            return _start(replace(launch, port=0), root)  # somebody may have taken the port between look and start


@contextlib.contextmanager
def supervised_service(launch: Launch, root: Path = Path()) -> Iterator[Service]:
    """Run a server for the length of the block; it dies with this process, also when this process is killed.

    Raises:
        InfrastructureError: it ended, or was not ready in time.
    """
    process, url, log = _spawn(replace(launch, port=0), root, guarded=True)
    try:
        _wait_until_ready(launch, process, url, log)
        yield Service(launch.name, process.pid, time.time(), url, url + launch.page, str(log))
    finally:
        kill_group(process.pid, leader=process)
        process.wait()


def stop_service(service: Service, root: Path = Path()) -> None:
    """Stop a recorded server, if it is still the process that was started, and delete its record."""
    if _is_running(service):
        kill_group(service.pid, grace_s=10.0)
    (root / SERVICES / f"{service.name}.json").unlink(missing_ok=True)


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Return whether a GET of `url` succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310 - our own loopback address
            return bool(response.status < 400)
    except (OSError, urllib.error.URLError):
        return False


def group_of(user: str | None) -> int | None:
    """Return a user's own group, by number."""
    import pwd

    return pwd.getpwnam(user).pw_gid if user else None


def _start(launch: Launch, root: Path) -> Service:
    import psutil

    process, url, log = _spawn(launch, root, guarded=False)
    try:
        _wait_until_ready(launch, process, url, log)
        created = psutil.Process(process.pid).create_time()
        service = Service(launch.name, process.pid, created, url, url + launch.page, str(log))
        write_json(root / SERVICES / f"{launch.name}.json", service)
    except BaseException:
        kill_group(process.pid, leader=process)
        raise
    return service


def _spawn(launch: Launch, root: Path, *, guarded: bool) -> tuple[subprocess.Popen[bytes], str, Path]:
    port = _free_port(launch.port)
    folder = root / SERVICES
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{launch.name}.log"
    guard = [sys.executable, "-m", "components.stage.guard"] if guarded else []
    command = [*guard, *(part.replace("{port}", str(port)) for part in launch.command)]
    with log.open("ab") as output:
        environment = {name: value.replace("{port}", str(port)) for name, value in launch.environment.items()}
        process = subprocess.Popen(
            command,
            cwd=root,
            env={**(bare_environment() if launch.is_bare else os.environ), **environment},
            user=launch.user,
            group=group_of(launch.user),
            extra_groups=[] if launch.user else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    return process, f"{launch.scheme}://{HOST}:{port}", log


def _wait_until_ready(launch: Launch, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + launch.start_timeout_s
    while not (_is_ready(launch, url) and _listens(process.pid, url)):
        if process.poll() is not None:
            raise InfrastructureError(f"the {launch.name} server ended with code {process.returncode}; see {log}")
        if time.monotonic() > deadline:
            kill_group(process.pid, leader=process)
            raise InfrastructureError(
                f"the {launch.name} server was not ready after {launch.start_timeout_s:.0f} s; see {log}"
            )
        time.sleep(0.1)


def _is_ready(launch: Launch, url: str) -> bool:
    if launch.is_ready is None:
        return answers(url + launch.health_path)
    return launch.is_ready(urlsplit(url).port or 0)


def _listens(pid: int, url: str) -> bool:
    """Return whether a process or a child of it listens at `url`; somebody else may have taken the port meanwhile."""
    import psutil

    port = urlsplit(url).port
    try:
        leader = psutil.Process(pid)
        connections = [
            each for process in (leader, *leader.children(recursive=True)) for each in process.net_connections()
        ]
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise InfrastructureError(f"no free port on {HOST}")


def _is_running(service: Service) -> bool:
    import psutil

    try:
        process = psutil.Process(service.pid)
        same = abs(process.create_time() - service.started_at) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
