"""A project whose incremental source is looked at, without Prefect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch_project import BatchProject


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchProject:
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "false")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.chdir(tmp_path)
    return BatchProject(tmp_path)
