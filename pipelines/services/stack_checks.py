"""What must hold before the stack starts: what it needs is installed, and nothing points elsewhere. Starts nothing."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from components.errors import ConflictError, MissingExtraError
from components.types.release import Environment
from pipelines.services import postgresql, prometheus
from pipelines.services import stack_state as state
from pipelines.services.local import gateway_service
from pipelines.services.process import find_service

GATEWAYS = tuple(gateway_service(env) for env in Environment)
_PACKAGES = {"moto.server": "moto[server]", "psycopg2": "psycopg2-binary", "dvc_s3": "dvc-s3", "boto3": "boto3"}
VARIABLES = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "TOWPATH_LEDGER_URL")
"""By which a command finds its servers."""


def require_programs() -> None:
    """Check that everything which the stack starts is installed.

    Raises:
        MissingExtraError: something is not; all of it is named.
    """
    missing = [] if postgresql.programs() else ["PostgreSQL (Debian: apt-get install postgresql)"]
    missing += [] if prometheus.program() else ["Prometheus (Debian: apt-get install prometheus)"]
    missing += [f"{needs} (pip install '{needs}')" for module, needs in _PACKAGES.items() if not _is_there(module)]
    if missing:
        raise MissingExtraError(f"the stack needs what this machine lacks: {', '.join(missing)}")


def require_free(root: Path, *, is_new: bool) -> None:
    """Check that nothing would go on using other servers than the stack's.

    Raises:
        ConflictError: a gateway of the laptop's own ledger runs, or a variable points elsewhere.
    """
    if is_new and (busy := [name for name in GATEWAYS if find_service(name, root)]):
        raise ConflictError(f"{busy[0]} runs on the laptop's own ledger; `towpath down` stops it, then start again")
    ours = state.read_environment(root)
    for name in VARIABLES:
        if os.environ.get(name) not in (None, "", ours.get(name)):
            raise ConflictError(f"{name} is set and points elsewhere: commands would not use the stack; unset it")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False
