"""The stack of real servers on one machine, without Docker: up, down, and how it is. All on loopback.

PostgreSQL, an S3 stand-in in memory, MLflow, Prefect with a worker and its watchdog, gateways, Prometheus. Commands of
the project use it while it is up. What they keep is theirs: nothing of the laptop's own servers is read or changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from components.types.release import Environment
from pipelines.schedules.handover import deploy
from pipelines.services import postgresql, prometheus, saved_objects
from pipelines.services import stack_state as state
from pipelines.services.local import gateway_service
from pipelines.services.object_store import OBJECT_STORE, credentials, make_buckets, object_store_launch
from pipelines.services.postgresql import POSTGRESQL, database_url
from pipelines.services.process import Launch, Service, answers, find_service, start_service, stop_service
from pipelines.services.stack_checks import GATEWAYS, require_free, require_programs
from pipelines.services.stack_servers import (
    FIGURES,
    HEALTH,
    MLFLOW,
    PREFECT,
    PROMETHEUS,
    TEXTFILES,
    WATCHDOG,
    WORKER,
    mlflow_launch,
    prefect_launch,
    textfiles_launch,
    watchdog_launch,
    worker_launch,
)
from pipelines.services.stack_state import BUCKETS, STACK, StackSettings
from pipelines.state import LOCKS, SERVICES

OWN = (POSTGRESQL, OBJECT_STORE, MLFLOW, PREFECT, TEXTFILES, PROMETHEUS, WATCHDOG, WORKER)
CLIENTS = (WATCHDOG, WORKER, PREFECT, MLFLOW)
"""Those that use PostgreSQL or S3."""
IN_MEMORY = "the S3 stand-in (moto) keeps everything in memory: `towpath backup FOLDER` before you rely on it"
LOST = (
    "the S3 stand-in was stopped from outside and forgot MLflow's artifacts and DVC's files, while the databases still "
    "name them: `towpath restore FOLDER` brings a backup back, `towpath stack down` ends it all"
)


@dataclass(frozen=True)
class StackView:
    """A server of the stack, and whether it answers."""

    name: str
    url: str
    page: str
    pid: int
    healthy: bool


@dataclass(frozen=True)
class Stack:
    """What runs, and what to know about it."""

    services: tuple[Service, ...]
    notes: tuple[str, ...]


def start_stack(gateways: Sequence[Environment], root: Path = Path()) -> Stack:
    """Start what does not run yet, wait until everything is healthy, and let the project's commands use it.

    Raises:
        MissingExtraError: the machine lacks a program or a package.
        ConflictError: a gateway of the laptop's own ledger runs, or a variable points elsewhere.
        InfrastructureError: a server did not start; whatever was started is stopped again.
    """
    require_programs()
    with _alone(root):
        was_there = (root / STACK).exists()
        require_free(root, is_new=not was_there)
        try:
            return _start_all(gateways, root)
        except BaseException:
            _stop_all(root, keep=was_there)
            raise


def stop_stack(root: Path = Path(), *, keep: bool = False) -> list[Service]:
    """Stop whatever of the stack runs and delete what it kept, unless `keep`; return what was stopped.

    Raises:
        InfrastructureError: what the S3 stand-in holds was to be kept and could not be read; it goes on then.
    """
    with _alone(root):
        return _stop_all(root, keep=keep)


def stop_clients(root: Path = Path()) -> None:
    """Stop whatever of the stack uses PostgreSQL or S3: both must be quiet while a backup is restored."""
    _stop_together([each for name, each in running(root).items() if name in CLIENTS], root)


def running(root: Path = Path()) -> dict[str, Service]:
    """Return the stack's servers that run, by name."""
    if state.read_settings(root) is None:
        return {}
    return {name: found for name in (*OWN, *GATEWAYS) if (found := find_service(name, root))}


def absent_servers(present: Iterable[str], root: Path = Path()) -> list[str]:
    """Return the servers that should run and are not among those present: the stack's own, and its gateways."""
    return sorted(set(_due(root)) - set(present))


def start_command(absent: Iterable[str]) -> str:
    """Return the command that starts what is absent."""
    names = set(absent)
    return "towpath stack up" + "".join(f" --gateway {e.value}" for e in Environment if gateway_service(e) in names)


def stack_views(root: Path = Path()) -> tuple[StackView, ...]:
    """Return every server of the stack that runs, and whether it answers now."""
    settings = state.read_settings(root)
    return tuple(
        StackView(each.name, each.url, each.page, each.pid, settings is not None and _is_healthy(each, settings))
        for each in running(root).values()
    )


def _start_all(gateways: Sequence[Environment], root: Path) -> Stack:
    settings = state.read_settings(root) or state.make_settings(postgresql.make_folder(root), root)
    postgresql.initialise(settings)
    database, objects = _start_together([postgresql.postgresql_launch(settings), object_store_launch()], root)
    is_new = postgresql.make_databases(settings, database)
    notes = [IN_MEMORY]
    if make_buckets(settings, objects) and not saved_objects.load(settings, objects, root) and not is_new:
        notes.append(LOST)
    launches = [mlflow_launch(settings, database, objects), prefect_launch(settings, database, root)]
    mlflow, prefect, _ = _start_together([*launches, textfiles_launch(root)], root)
    variables = {
        "MLFLOW_TRACKING_URI": mlflow.url,
        "PREFECT_API_URL": f"{prefect.url}/api",
        "TOWPATH_LEDGER_URL": database_url(settings, database, "ledger"),
    }
    state.take_over(_dvc_remote(settings, objects), root)
    state.write_environment(variables, root)
    os.environ.update(variables)  # also where they are those of a start before
    state.add_gateways(gateways, root)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(_start_gateways, gateways, root)
        notes += _start_worker(variables, root)
        starting.result()
    start_service(prometheus.prometheus_launch(running(root), root), root)
    return Stack(tuple(running(root).values()), tuple(notes))


def _start_worker(variables: Mapping[str, str], root: Path) -> list[str]:
    """Start the worker and the watchdog, the schedules paused before, and return what to know about them."""
    notes = []
    if find_service(WORKER, root) is None:  # before it: nothing runs that nobody asked for
        count, stopped = deploy(variables["PREFECT_API_URL"], root, paused=True)
        paused = "all paused" if stopped == count else f"{stopped} of them paused"
        notes.append(
            f"{count} schedules are on the server, {paused}: `towpath schedule resume --all` lets them run, "
            "`towpath schedule list` shows them"
        )
    _start_together([worker_launch(variables, root), watchdog_launch(variables, root)], root)
    return notes


def _start_together(launches: Sequence[Launch], root: Path) -> list[Service]:
    with ThreadPoolExecutor(len(launches)) as pool:
        return list(pool.map(lambda launch: start_service(launch, root), launches))


def _stop_together(services: Sequence[Service], root: Path) -> None:
    with ThreadPoolExecutor(len(services) or 1) as pool:
        list(pool.map(lambda service: _stop(service, root), services))


def _start_gateways(gateways: Sequence[Environment], root: Path) -> None:
    from pipelines.gateway import start_gateway

    for env in gateways:
        start_gateway(None, None, root, env.value)


def _stop_all(root: Path, *, keep: bool) -> list[Service]:
    services, settings = running(root), state.read_settings(root)
    _stop_together([each for name, each in services.items() if name not in (POSTGRESQL, OBJECT_STORE)], root)
    if keep and settings and OBJECT_STORE in services:
        saved_objects.save(settings, services[OBJECT_STORE], root)
    _stop_together([each for name, each in services.items() if name in (POSTGRESQL, OBJECT_STORE)], root)
    stopped = list(services.values())
    names = {*_due(root), *services}
    state.forget_environment(root)
    state.forget_gateways(root)
    state.hand_back(root)
    for name in names:
        (root / SERVICES / f"{name}.log").unlink(missing_ok=True)
        (root / LOCKS / f"service-{name}.lock").unlink(missing_ok=True)
    if not keep:
        if settings:
            state.forget_figures(FIGURES, root)
            shutil.rmtree(settings.database_folder, ignore_errors=True)
        shutil.rmtree(root / STACK, ignore_errors=True)
    return stopped


def _due(root: Path) -> tuple[str, ...]:
    return (*OWN, *(gateway_service(env) for env in state.read_gateways(root)))


def _stop(service: Service, root: Path) -> None:
    """Stop a server and whatever it started, also what went into a process group of its own: a worker's flow runs."""
    import psutil

    started = []
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(service.pid).children(recursive=True)
    if service.name == POSTGRESQL:
        postgresql.stop_postgresql(service)
    stop_service(service, root)
    for signal_name in ("terminate", "kill"):
        _, started = psutil.wait_procs(started, timeout=0.0)
        for each in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(each, signal_name)()
        _, started = psutil.wait_procs(started, timeout=10.0)


def _is_healthy(service: Service, settings: StackSettings) -> bool:
    if service.name == POSTGRESQL:
        return postgresql.is_healthy(settings, service)
    return answers(service.url + HEALTH.get(service.name, "/v2/health/live"))


def _dvc_remote(settings: StackSettings, objects: Service) -> dict[str, str]:
    names = credentials(settings)
    return {
        "url": f"s3://{BUCKETS[1]}/files",
        "endpointurl": objects.url,
        "region": names["AWS_DEFAULT_REGION"],
        "access_key_id": names["AWS_ACCESS_KEY_ID"],
        "secret_access_key": names["AWS_SECRET_ACCESS_KEY"],
        "verify": "true",
    }


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the stack's lock; a second start or stop waits for the first."""
    from filelock import FileLock

    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCKS / "stack.lock"):
        yield
