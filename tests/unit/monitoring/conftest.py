"""A profile of a version and a prediction log in its real layout, both made of a few columns."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from components.monitoring.log_files import LogWindow
from components.types.dataset import ColumnType, Task
from components.types.evaluation import Direction, Evaluation, MetricValue, SplitResult
from components.types.product import InputSpec
from components.types.training import PreparedSpec

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
INPUTS = (
    InputSpec("age", ColumnType.FLOAT64, (), True, ("age",)),
    InputSpec("visits", ColumnType.INT64, (), False, ("visits",)),
    InputSpec("smoker", ColumnType.BOOL, (), False, ("smoker",)),
    InputSpec("city", ColumnType.STRING, (), True, ("city",)),
)


def rows_of(count: int, seed: int = 0, **shift: float) -> pl.DataFrame:
    """Return rows as a version is asked; `age` and `rich` move the age and the share of Oslo."""
    rng = np.random.default_rng(seed)
    oslo = shift.get("oslo", 0.6)
    age = pl.Series("age", rng.normal(50 + shift.get("age", 0.0), 10, count))
    missing = pl.Series(rng.random(count) < 0.05)
    return pl.DataFrame(
        {
            "age": age.zip_with(~missing, pl.Series([None] * count, dtype=pl.Float64)),
            "visits": rng.integers(0, 4, count),
            "smoker": rng.random(count) < 0.3,
            "city": rng.choice(["Oslo", "Bergen", "Tromsø"], count, p=[oslo, 0.9 - oslo, 0.1]),
        }
    )


@pytest.fixture
def spec() -> PreparedSpec:
    return PreparedSpec(
        "people", Task.BINARY, INPUTS, ("no", "yes"), (1.0, 1.0), 0.0, 1.0, ("a",), None,
        {"train": 4_000, "validation": 1, "test": 1_000}, "d" * 64, "id", "label",
    )  # fmt: skip


@pytest.fixture
def evaluation() -> Evaluation:
    empty = SplitResult(1, {}, ())
    test = SplitResult(1_000, {"auc": MetricValue(0.9, 0.88, 0.92, Direction.HIGHER)}, ())
    return Evaluation("people", "people-sklearn", Task.BINARY, "auc", "p" * 64, "d" * 64, empty, test)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Return a folder with a train split and, beside it, what the product said of the test split."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    rows_of(4_000).with_row_index("id").write_parquet(folder / "train.parquet")
    said = pl.DataFrame({"prediction": ["no"] * 700 + ["yes"] * 300})
    said.write_parquet(tmp_path / "predictions.parquet")
    return folder


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., LogWindow]:
    """Return a function that writes rows as a file of the log, and gives the window of the whole day."""
    written = 0

    def write(rows: pl.DataFrame, version: int = 3, role: str = "stable", begin: datetime = NOON, **columns: object):
        nonlocal written
        count = rows.height
        own = {
            "prediction": ["no", "no", "no", "no", "no", "no", "no", "yes", "yes", "yes"] * (count // 10 + 1),
            "probabilities": [[0.75, 0.25]] * count,
            "request_id": [f"r{written}-{place}" for place in range(count)],
            "row": [0] * count,
            "latency_ms": [float(place % 100 + 1) for place in range(count)],
            "status": [200] * count,
            "time": [begin + timedelta(milliseconds=place) for place in range(count)],
        } | columns
        log = rows.with_columns(
            pl.Series("prediction", own["prediction"][:count]),
            pl.Series("probabilities", own["probabilities"], dtype=pl.Array(pl.Float32, 2)),
            pl.Series("request_id", own["request_id"]),
            pl.Series("row", own["row"], dtype=pl.Int32),
            pl.Series("latency_ms", own["latency_ms"], dtype=pl.Float32),
            pl.Series("status", own["status"], dtype=pl.Int16),
            pl.Series("time", own["time"], dtype=pl.Datetime("us", "UTC")),
            pl.lit(role).alias("role"),
        )
        written += 1
        folder = tmp_path / "log" / "people" / f"date={begin.date().isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        table = log.to_arrow(compat_level=pl.CompatLevel.oldest())
        about = json.dumps({"digest": "p" * 64, "version": version}).encode()
        table = table.replace_schema_metadata({b"towpath": about})
        pq.write_table(table, folder / f"{begin:%Y%m%dT%H%M%S}.000000Z-v{version}-w0-1-{written}.parquet")
        return LogWindow(tmp_path / "log", "people", NOON - timedelta(hours=12), NOON + timedelta(hours=12))

    return write
