"""How MLflow, Prefect, its worker, the watchdog and the text-file exporter of the stack start. Starts nothing.

Credentials go by environment, never by command line, which everybody on the machine can read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pipelines.schedules.handover import POOL
from pipelines.services.object_store import OBJECT_STORE, credentials
from pipelines.services.postgresql import database_url
from pipelines.services.process import Launch, Service
from pipelines.services.stack_state import BUCKETS, STACK, StackSettings
from pipelines.state import QUIET, STATE

MLFLOW, PREFECT, WORKER, WATCHDOG = "stack-mlflow", "stack-prefect", "stack-worker", "stack-watchdog"
TEXTFILES, PROMETHEUS = "stack-textfiles", "stack-prometheus"
_POLL_S = 3
"""How often the worker asks for runs that are due."""
FIGURES = (STATE / "monitoring", STATE / "schedules")
"""Below these folders, what is no server leaves its figures for Prometheus."""

HEALTH = {
    OBJECT_STORE: "/moto-api/",
    MLFLOW: "/health",
    PREFECT: "/api/health",
    WORKER: "/health",
    WATCHDOG: "/health",
    TEXTFILES: "/metrics",
    PROMETHEUS: "/-/ready",
}
"""Where a server says that it is well; gateways say it at ``/v2/health/live``."""


def mlflow_launch(settings: StackSettings, database: Service, objects: Service) -> Launch:
    """Return how MLflow starts: runs in PostgreSQL, artifacts in S3, both through the server alone."""
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers", "1", "--serve-artifacts", "--artifacts-destination", f"s3://{BUCKETS[0]}/runs"),
    )
    environment = {
        **QUIET,
        **credentials(settings),
        "MLFLOW_BACKEND_STORE_URI": database_url(settings, database, "mlflow"),
        "MLFLOW_S3_ENDPOINT_URL": objects.url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return Launch(MLFLOW, command, 5000, HEALTH[MLFLOW], "", environment, is_bare=True)


def prefect_launch(settings: StackSettings, database: Service, root: Path) -> Launch:
    """Return how the Prefect server starts, with its page and its services."""
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "{port}")
    environment = {
        **_prefect_environment(root),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url(settings, database, "prefect", "postgresql+asyncpg"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_UI_API_URL": "/api",
    }
    return Launch(PREFECT, command, 4200, HEALTH[PREFECT], "", environment, is_bare=True)


def worker_launch(variables: Mapping[str, str], root: Path) -> Launch:
    """Return how the worker starts: flow runs are processes of its own, in this process's environment."""
    command = (
        *(sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--with-healthcheck"),
        *("--pool", POOL, "--type", "process", "--name", WORKER, "--install-policy", "never"),
    )
    health = {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": "{port}"}
    health["PREFECT_WORKER_QUERY_SECONDS"] = str(_POLL_S)
    environment = {**_prefect_environment(root), **variables, **health, "TOWPATH_ROOT": str(root.resolve())}
    return Launch(WORKER, command, 0, HEALTH[WORKER], HEALTH[WORKER], environment)


def watchdog_launch(variables: Mapping[str, str], root: Path) -> Launch:
    """Return how the watchdog starts: beside the worker, because a worker that is down could not say so."""
    command = (sys.executable, "-m", "pipelines.services.watchdog", "--port", "{port}")
    environment = {**_prefect_environment(root), **variables}
    return Launch(WATCHDOG, command, 0, HEALTH[WATCHDOG], HEALTH[WATCHDOG], environment)


def textfiles_launch(root: Path) -> Launch:
    """Return how the exporter of monitoring's text files starts."""
    command = (
        sys.executable,
        "-m",
        "pipelines.services.textfiles",
        *(str((root / folder).resolve()) for folder in FIGURES),
    )
    return Launch(TEXTFILES, (*command, "--port", "{port}"), 9100, HEALTH[TEXTFILES], "/metrics", {}, is_bare=True)


def _prefect_environment(root: Path) -> dict[str, str]:
    home = (root / STACK / "prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    return {**QUIET, "PREFECT_HOME": str(home), "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false"}
