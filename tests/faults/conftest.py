"""Everything here takes its time, and is left out of the quick run."""

from pathlib import Path

import pytest

from tests.integration.mlflow_registry.conftest import request_for, rows

__all__ = ["request_for", "rows"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
