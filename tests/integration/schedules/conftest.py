"""A real Prefect server with its services, a project whose flows sleep, and a worker where a test asks for one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.stage.process import kill_group
from pipelines.schedules.deployments import deployment, trigger
from pipelines.schedules.handover import POOL, deploy
from pipelines.services.local import prefect_launch
from pipelines.services.process import supervised_service

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def prefect_url(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[str]:
    """Give the address of a Prefect server of our own, on SQLite, with its scheduler."""
    folder = tmp_path_factory.mktemp("prefect")
    shutil.copytree(prefect_home, folder / ".towpath" / "prefect")
    with supervised_service(prefect_launch(folder, with_page=True), folder) as service:
        yield f"{service.url}/api"


def far_from_now() -> str:
    """Return a cron line of a daily time, twelve hours from now: a worker must not find it due."""
    then = datetime.now(UTC) + timedelta(hours=12)
    return f"{then.minute} {then.hour} * * *"


@dataclass
class Project:
    """A project with sleeping flows, at a server."""

    root: Path
    client: SyncPrefectClient
    url: str
    began: Path
    """Where a flow that began leaves a file named after its process."""

    def deploy(self, **changes: Any) -> str:
        """Deploy one sleeping flow of a new name, with `changes` to its part of prefect.yaml, and return the name."""
        name = f"sleeper-{uuid4().hex[:8]}"
        part = {
            "name": name,
            "entrypoint": "tests.scheduled_flows:sleeper",
            "parameters": {"folder": str(self.began)},
            "schedules": [{"cron": far_from_now(), "timezone": "UTC", "slug": "daily"}],
            "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW", "grace_period_seconds": 120},
            "tags": ["catch-up=latest", "resume=once", "absent-after-s=3600"],
            "work_pool": {"name": POOL},
            **changes,
        }
        pull = [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $TOWPATH_ROOT }}"}}]
        path = self.root / "infra" / "prefect.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({"pull": pull, "deployments": [part]}))
        deploy(self.url, self.root)
        return name

    def trigger(self, name: str) -> FlowRun:
        return trigger(self.client, name)

    def slots(self, name: str) -> int:
        limit = deployment(self.client, name).global_concurrency_limit
        assert limit is not None
        return limit.active_slots

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker of the pool, in a process group of its own with the flows it starts."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        environment = {**os.environ, "PREFECT_API_URL": self.url, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=log, stderr=subprocess.STDOUT, process_group=0
            )
        try:
            yield process
        finally:
            kill_group(process.pid, grace_s=0.2, leader=process)
            process.wait()

    @property
    def _log(self) -> Path:
        return self.root / "worker.log"

    def worker_log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def project(tmp_path: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Give a project of its own; its flow deployments are deleted afterwards."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("TOWPATH_ROOT", "TOWPATH_NOTICE_URL", "TOWPATH_NOTICE_SECRET"):
        monkeypatch.delenv(name, raising=False)
    began = tmp_path / "began"
    began.mkdir()
    with temporary_settings({PREFECT_API_URL: prefect_url}), get_client(sync_client=True) as client:
        yield Project(tmp_path, client, prefect_url, began)
        for each in client.read_deployments(limit=200):
            client.delete_deployment(each.id)
    _kill({int(path.stem) for path in began.glob("*.pid")})


def _kill(pids: set[int]) -> None:
    for pid in pids:  # the flow's own process: a test that failed may have left it
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
