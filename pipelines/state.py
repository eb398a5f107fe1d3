"""Where Towpath keeps what is neither data nor code, and the environment its libraries start in.

Makes nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from components.stage.environment import bare_environment as plain_environment

STATE = Path(".towpath")
LOCKS = STATE / "locks"
CALLS = STATE / "calls"
CHECKOUTS = STATE / "checkouts"
STORE = STATE / "store"
SERVICES = STATE / "services"
ROUTER = STATE / "gateway" / "router.json"
ARTIFACTS = STATE / "mlflow-artifacts"
REPORTS = Path("reports")

QUIET = {
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""Switches off what the libraries we start would send, and pickle in MLflow."""


def quiet(environment: MutableMapping[str, str] = os.environ) -> None:
    """Switch off telemetry in `environment` unless the user has set a value."""
    for name, value in QUIET.items():
        environment.setdefault(name, value)
    environment.setdefault("PREFECT_HOME", str((STATE / "prefect").resolve()))
    environment.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    environment.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # the server keeps all of it
    environment.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")  # what was not sent is sent again
    environment.setdefault("PREFECT_CLIENT_MAX_RETRIES", "7")  # 2 + 4 + … + 128 s: a server may be gone for minutes


_OURS = ("TOWPATH_CALL_DIR", "TOWPATH_GATEWAY_TOKEN", "TOWPATH_PYTHON", "TOWPATH_SAVEDMODEL_DEVICES")


def bare_environment() -> dict[str, str]:
    """Return what a gateway, or a program that runs a model's code, needs of this process's variables: no secret."""
    return plain_environment(*_OURS)


def ledger_url() -> str:
    """Return the release ledger's database URL: ``TOWPATH_LEDGER_URL``, else SQLite in the state folder."""
    return os.environ.get("TOWPATH_LEDGER_URL") or f"sqlite:///{(STATE / 'ledger.db').resolve()}"


def tracking_uri(server: str | None = None) -> str:
    """Return MLflow's address: ``MLFLOW_TRACKING_URI``, else the local `server`, else SQLite in the state folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or server or f"sqlite:///{(STATE / 'mlflow.db').resolve()}"


def is_local_tracking() -> bool:
    """Return whether MLflow is the one of this machine, whose files stand in the state folder."""
    return not os.environ.get("MLFLOW_TRACKING_URI")
