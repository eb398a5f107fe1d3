"""`towpath skew` finds what differs between training and serving, and nothing where nothing does; with real TFDV."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.release.ledger import Ledger
from components.release.records import Digests, Placement, RecordedVersion, Transition
from components.stage.files import write_json
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec
from components.types.release import Environment
from components.types.training import PREPARED_FILE, PreparedSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tfx_python")]
ROOT = Path(__file__).resolve().parents[3]
ROWS, SERVED = 3_000, 600
PRODUCT, DATA = "c" * 64, "d" * 64
TYPES = {
    "fare": ColumnType.FLOAT64,
    "city": ColumnType.STRING,
    "zone": ColumnType.INT64,
    "shared": ColumnType.BOOL,
}
Run = Callable[..., tuple[int, Any, str]]


def rides(count: int, seed: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    fares = np.where(rng.random(count) < 0.3, 0.0, rng.gamma(2.0, 5.0, count)).tolist()
    unknown = rng.random(count) < 0.1
    return {
        "fare": [None if missing else value for value, missing in zip(fares, unknown, strict=True)],
        "city": rng.choice(["Oslo", "Bergen", ""], count, p=[0.5, 0.4, 0.1]).tolist(),
        "zone": rng.poisson(4, count).tolist(),
        "shared": (rng.random(count) < 0.3).tolist(),
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("skew")
    (root / "pipelines").mkdir()
    (root / "pipelines/configs").symlink_to(ROOT / "pipelines/configs")
    (root / "components").symlink_to(ROOT / "components")
    prepared = root / "out/rides/prepared"
    prepared.mkdir(parents=True)
    table = pa.table({"id": [f"ride-{i}" for i in range(ROWS)], **rides(ROWS, 0)})
    pq.write_table(table, prepared / "train.parquet")
    inputs = tuple(InputSpec(name, kind, (), name == "fare", (name,)) for name, kind in TYPES.items())
    spec = PreparedSpec(
        "rides", Task.REGRESSION, inputs, (), (), 0.0, 1.0, ("fare",), None, {"train": ROWS}, DATA, "id", "label"
    )
    write_json(prepared / PREPARED_FILE, spec)
    (root / ".towpath").mkdir()
    ledger = Ledger(f"sqlite:///{root}/.towpath/ledger.db")
    ledger.record_version(RecordedVersion("rides", 1, PRODUCT, DATA, "onnx", "ada"))
    digests = Digests(PRODUCT, DATA, "c0de", "1" * 64, "2" * 64, "3" * 64)
    to = Placement(stable=1)
    ledger.commit(Transition("rides", Environment.LOCAL, 0, 1, "stable", to, digests, "ada", "the gates passed"))
    return root


@pytest.fixture
def served(project: Path) -> Callable[[dict[str, list[Any]], list[str]], None]:
    def write(columns: dict[str, list[Any]], ids: list[str]) -> None:
        count = len(ids)
        folder = project / ".towpath/gateway/log/rides/date=2026-11-20"
        folder.mkdir(parents=True, exist_ok=True)
        table = pa.table(
            {
                **columns,
                "prediction": [1.0] * count,
                "time": pa.array([datetime(2026, 11, 20, 12, tzinfo=UTC)] * count, pa.timestamp("us", tz="UTC")),
                "request_id": ids,
                "row": pa.array([0] * count, pa.int32()),
                "digest": [PRODUCT] * count,
                "role": ["stable"] * count,
                "status": pa.array([200] * count, pa.int16()),
            }
        )
        table = table.replace_schema_metadata({"towpath": json.dumps({"digest": PRODUCT})})
        pq.write_table(table, folder / "20261120T120000.000000Z-v1-w0-1-1.parquet")

    return write


@pytest.fixture
def skew(project: Path) -> Run:
    def run(*options: str) -> tuple[int, Any, str]:
        environment = {key: value for key, value in os.environ.items() if key != "TOWPATH_LEDGER_URL"}
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "skew", "rides", "--json", *options],
            cwd=project,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return run


def test_rows_like_those_of_training_are_no_skew(skew: Run, served: Callable[..., None], project: Path) -> None:
    known = {name: values[:SERVED] for name, values in rides(ROWS, 0).items()}
    served(known, [f"ride-{i}" for i in range(SERVED)])
    code, found, said = skew()
    assert code == 0, said
    assert found["report"]["passed"]
    assert {each["feature"]: each["measure"] for each in found["report"]["features"]} == {
        "fare": "Jensen-Shannon", "city": "L-infinity", "zone": "Jensen-Shannon", "shared": "L-infinity",
    }  # fmt: skip
    assert all(each["distance"] <= each["bound"] for each in found["report"]["features"])
    assert found["report"]["exact"] == {
        "ids_compared": SERVED, "training_only": ROWS - SERVED, "serving_only": 0, "features": [],
    }  # fmt: skip
    assert "no skew" in (project / found["page"]).read_text()


def test_what_differs_is_found_by_distribution_and_by_id(skew: Run, served: Callable[..., None]) -> None:
    asked = {name: values[:SERVED] for name, values in rides(ROWS, 0).items()}
    asked["city"] = ["Oslo"] * SERVED  # a client that leaves the city at its default
    asked["fare"] = [None if place % 2 else value for place, value in enumerate(asked["fare"])]
    asked["zone"] = [0 if place == 7 else value for place, value in enumerate(asked["zone"])]
    true = rides(ROWS, 0)
    served(asked, [f"ride-{i}" if i < 100 else f"new-{i}" for i in range(SERVED)])
    code, found, said = skew()
    assert code == 4
    assert "city" in said
    by_name = {each["feature"]: each for each in found["report"]["features"]}
    assert {name: each["passed"] for name, each in by_name.items()} == {
        "city": False, "fare": False, "zone": True, "shared": True,
    }  # fmt: skip
    share = np.mean([city == "Oslo" for city in true["city"]])
    assert by_name["city"]["distance"] == pytest.approx(1 - share, abs=1e-6)
    assert by_name["fare"]["serving_missing"] > 0.5
    exact = {each["feature"]: each for each in found["report"]["exact"]["features"]}
    assert found["report"]["exact"]["ids_compared"] == 100
    assert exact["zone"]["mismatched"] == (true["zone"][7] != 0)
    assert exact["city"]["mismatched"] == sum(city != "Oslo" for city in true["city"][:100])
    lost = sum(value is not None and place % 2 for place, value in enumerate(true["fare"][:100]))
    assert exact["fare"]["base_only"] == lost
    assert exact["fare"]["mismatched"] == 0  # a fare of 0 is a value, and the same on both sides


def test_a_version_that_takes_other_inputs_is_refused(skew: Run, served: Callable[..., None]) -> None:
    columns = {**rides(SERVED, 0), "weather": ["dry"] * SERVED}
    served(columns, [f"ride-{i}" for i in range(SERVED)])
    code, found, said = skew()
    assert (code, found) == (2, None)
    assert "`weather` is string in the version and missing in the prepared data" in said


def test_too_few_rows_say_nothing(skew: Run, served: Callable[..., None]) -> None:
    served({name: values[:20] for name, values in rides(ROWS, 0).items()}, [f"ride-{i}" for i in range(20)])
    code, found, said = skew()
    assert (code, found) == (2, None)
    assert "insufficient: 20 rows" in said


def test_nothing_logged_since_then_says_nothing(skew: Run) -> None:
    code, found, said = skew("--since", "2026-11-21")
    assert (code, found) == (2, None)
    assert "insufficient" in said
