"""A project of one model, and tables for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.feature_project import Project, adult_table, taxi_table


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def people() -> Callable[..., pa.Table]:
    """Return a function that makes a table with every type of column, and gaps in some."""

    def make(rows: int = 2_000, seed: int = 0, first_id: int = 0) -> pa.Table:
        rng = np.random.default_rng(seed)

        def gaps(values: np.ndarray, share: float = 0.1) -> pa.Array:
            return pa.array(values, mask=rng.random(rows) < share)

        age = rng.normal(40, 12, rows)
        jobs = rng.choice(np.array(["cook", "smith"], dtype=object), rows, p=[0.6, 0.4])
        jobs[:4] = "poet"
        return pa.table(
            {
                "id": pa.array(np.arange(first_id, first_id + rows)),
                "age": age,
                "height": gaps(rng.normal(170, 9, rows)),
                "children": rng.integers(0, 5, rows),
                "cars": gaps(rng.integers(0, 4, rows)),
                "member": rng.random(rows) < 0.3,
                "insured": gaps(rng.random(rows) < 0.8),
                "city": rng.choice(np.array(["Oslo", "Rome", "Lima"], dtype=object), rows, p=[0.6, 0.3, 0.1]),
                "job": gaps(jobs),
                "seen": pa.array(np.arange(rows) * 1_000_000, pa.timestamp("us", tz="UTC")),
                "label": pa.array(np.where(age + rng.normal(0, 5, rows) > 40, "old", "young").tolist()),
            }
        )

    return make


@pytest.fixture
def adult() -> pa.Table:
    return adult_table()


@pytest.fixture
def taxi() -> pa.Table:
    return taxi_table()
