"""Handing infra/prefect.yaml to Prefect: the work pool and the flow deployments, each as active or paused as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from components.errors import ConfigError, InfrastructureError
from pipelines.schedules.deployments import deployments, is_active

PREFECT_FILE = Path("infra/prefect.yaml")
POOL = "towpath"
ROOT_VARIABLE = "TOWPATH_ROOT"


def deploy(api_url: str, root: Path = Path(), *, paused: bool = False) -> tuple[int, int]:
    """Hand infra/prefect.yaml to the server at `api_url`; return how many there are, and how many run by themselves.

    What the server has already stays active or paused, as it was: nobody's pause ends because something starts anew.

    Args:
        api_url: Prefect's API.
        root: The project.
        paused: Whether what is new waits for somebody to let it run.

    Raises:
        ConfigError: the file is missing, or has no list of flow deployments with names.
        InfrastructureError: Prefect did not take it, or does not answer.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
            before = {each.name: is_active(each) for each, _ in deployments(client)}
            _prefect(api_url, root, "work-pool", "create", POOL, "--type", "process", "--overwrite")
            with TemporaryDirectory(prefix="towpath-schedules-") as folder:
                told = Path(folder) / PREFECT_FILE.name
                told.write_text(_with_pauses(root / PREFECT_FILE, before, paused=paused))
                _prefect(api_url, root, "deploy", "--all", "--prefect-file", str(told))
            found = [is_active(each) for each, _ in deployments(client)]
    except httpx.HTTPError as error:
        raise InfrastructureError(f"Prefect at {api_url} does not answer as it should: {error}") from error
    return len(found), sum(found)


def _with_pauses(file: Path, active: Mapping[str, bool], *, paused: bool) -> str:
    """Return prefect.yaml with what is paused said of each flow deployment.

    One that is paused only afterwards may have been planned in between, and Prefect starts what is planned.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for each in content["deployments"]:
            each["paused"] = not active.get(each["name"], not (paused or each.get("paused", False)))
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} cannot be used ({type(error).__name__}: {error}); "
            "expected Prefect's file with a list `deployments`, each with a name"
        ) from error
    return yaml.safe_dump(content, sort_keys=False)


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
