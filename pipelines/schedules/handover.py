"""Handing infra/prefect.yaml to Prefect: the work pool and the flow deployments, each as active or paused as it was.

Knows nothing of what a flow does, nor of runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from components.errors import ConfigError, InfrastructureError
from pipelines.schedules.deployments import deployments, every_deployment, is_active
from pipelines.schedules.policy import read_policy

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

PREFECT_FILE = Path("infra/prefect.yaml")
"""What is handed over; Prefect's own format."""
POOL = "towpath"
"""The work pool that the worker polls."""
ROOT_VARIABLE = "TOWPATH_ROOT"
"""Names the project's folder to whoever runs a flow."""


def deploy(api_url: str, root: Path = Path(), *, paused: bool = False) -> tuple[int, int]:
    """Hand infra/prefect.yaml to the server at `api_url`; return how many of ours it has, and how many are paused.

    What the server has already stays active or paused, as it was: nobody's pause ends because something starts anew.

    Args:
        api_url: Prefect's API.
        root: The project.
        paused: Whether what is new, and ours, waits for somebody to let it run.

    Raises:
        ConfigError: the file is missing, or something in it cannot be meant; nothing was handed over.
        InfrastructureError: Prefect did not take it, or does not answer.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    content = _read(root / PREFECT_FILE)
    try:
        with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
            _prefect(api_url, root, "work-pool", "create", POOL, "--type", "process", "--overwrite")
            stopped = {each.name: _is_stopped(each) for each in every_deployment(client)}
            with TemporaryDirectory(prefix="towpath-schedules-") as folder:
                told = Path(folder) / PREFECT_FILE.name
                told.write_text(yaml.safe_dump(with_pauses(content, stopped, paused=paused), sort_keys=False))
                _prefect(api_url, root, "deploy", "--all", "--prefect-file", str(told))
            found = [_is_stopped(each) for each, _ in deployments(client)]
    except httpx.HTTPError as error:
        raise InfrastructureError(f"Prefect at {api_url} does not answer as it should: {error}") from error
    return len(found), sum(found)


def with_pauses(content: Mapping[str, Any], stopped: Mapping[str, bool], *, paused: bool) -> dict[str, Any]:
    """Return what prefect.yaml holds, with `paused` said of each flow deployment.

    One that is paused only afterwards may have been planned in between, and Prefect starts what is planned.

    Args:
        content: What the file holds.
        stopped: The flow deployments that the server has, and which of them somebody stopped.
        paused: Whether those of ours that are new begin paused; others do as the file says.
    """
    parts = []
    for part in content["deployments"]:
        is_ours = read_policy(part["name"], part.get("tags") or ()) is not None
        new = part.get("paused", False) or (paused and is_ours)
        parts.append({**part, "paused": stopped.get(part["name"], new)})
    return {**content, "deployments": parts}


def _is_stopped(where: DeploymentResponse) -> bool:
    """Say whether somebody stopped it; one without schedules has nothing to stop."""
    return where.paused or (bool(where.schedules) and not is_active(where))


def _read(file: Path) -> dict[str, Any]:
    """Read prefect.yaml as far as we must understand it; the rest is Prefect's to judge."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _problem(file, str(error)) from error
    parts = content.get("deployments") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not parts:
        raise _problem(file, "it has none")
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or "{{" in name:
            raise _problem(file, f"the name of one is {name!r}")
        if not isinstance(part.get("paused", False), bool):
            raise _problem(file, f"`paused` of {name} is {part['paused']!r}, neither true nor false")
        read_policy(name, part.get("tags") or ())
    return content


def _problem(file: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{file} cannot be handed over: {what}; "
        "expected Prefect's file with a list `deployments`, each with a plain name"
    )


def _prefect(api_url: str, root: Path, *arguments: str) -> None:
    """Run Prefect's own command in the project's folder."""
    folder = os.environ.get(ROOT_VARIABLE, str(root.resolve()))
    environment = {**os.environ, ROOT_VARIABLE: folder, "PREFECT_API_URL": api_url}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join((done.stdout + done.stderr).split())[-600:]
        raise InfrastructureError(f"`prefect {' '.join(arguments[:2])}` failed: {words}")
