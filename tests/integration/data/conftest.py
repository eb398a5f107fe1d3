"""A project folder whose data can be probed and ingested."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data_project import DataProject


@pytest.fixture
def project(tmp_path: Path) -> DataProject:
    return DataProject(tmp_path)
