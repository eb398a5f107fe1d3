"""The servers of a laptop: MLflow and Prefect on SQLite in the state folder, and the gateway. All on loopback."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.types.release import Environment
from pipelines.services.process import Launch, Service, find_service, start_service, stop_service, supervised_service
from pipelines.state import ARTIFACTS, STATE

MLFLOW, PREFECT, GATEWAY = "mlflow", "prefect", "gateway"


def gateway_service(env: Environment) -> str:
    """Return the name under which an environment's gateway is recorded."""
    return GATEWAY if env is Environment.LOCAL else f"{GATEWAY}-{env.value}"


ALL = (*(gateway_service(env) for env in reversed(Environment)), PREFECT, MLFLOW)
"""In the order in which they are stopped."""


def mlflow_launch(root: Path) -> Launch:
    """Return how the MLflow server starts."""
    state = (root / STATE).resolve()
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{state / 'mlflow.db'}"),
        *("--artifacts-destination", str((root / ARTIFACTS).resolve())),
    )
    return Launch(MLFLOW, command, 5000, "/health", "", {})


def prefect_launch(root: Path, *, with_page: bool) -> Launch:
    """Return how the Prefect server starts; without its page and services for one run, with them to stay."""
    home = (root / STATE / "prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    lean = () if with_page else ("--no-ui", "--no-services")
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "{port}", *lean)
    environment = {"PREFECT_HOME": str(home), "PREFECT_UI_API_URL": "/api", "PREFECT_API_URL": ""}
    return Launch(PREFECT, command, 4200, "/api/health", "", environment)


def gateway_launch(name: str, options: Sequence[str], port: int, *, serves: bool = True) -> Launch:
    """Return how a gateway starts on loopback; without anything to serve yet, it counts as ready when it listens."""
    command = (sys.executable, "-m", "components.serving", *options, "--host", "127.0.0.1", "--port", "{port}")
    health = "/v2/health/ready" if serves else "/v2/health/live"
    return Launch(name, command, port, health, "/release", {}, is_bare=True)


def start_servers(root: Path = Path()) -> list[Service]:
    """Start MLflow and Prefect side by side unless they run, and return them.

    Raises:
        InfrastructureError: one did not start.
    """
    launches = [mlflow_launch(root), prefect_launch(root, with_page=True)]
    with ThreadPoolExecutor(len(launches)) as pool:
        return list(pool.map(lambda launch: start_service(launch, root), launches))


def stop_servers(root: Path = Path()) -> list[Service]:
    """Stop whatever of ours runs, and return it."""
    running = [service for name in ALL if (service := find_service(name, root))]
    for service in running:
        stop_service(service, root)
    return running


@contextlib.contextmanager
def prefect_api(root: Path = Path()) -> Iterator[str]:
    """Give the address of a Prefect API: the user's own, the running local server's, or one supervised for the block.

    Raises:
        InfrastructureError: no server could be started.
    """
    if address := os.environ.get("PREFECT_API_URL"):
        yield address
    elif service := find_service(PREFECT, root):
        yield f"{service.url}/api"
    else:
        with supervised_service(prefect_launch(root, with_page=False), root) as own:
            yield f"{own.url}/api"
