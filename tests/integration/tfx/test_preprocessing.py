"""The Transform graph gives the features and the target that the prepare stage wrote for every other trainer."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.training.tfx.exact import exact_columns
from components.types import record
from components.types.features import FEATURE_PLAN_FILE, FeaturePlan
from tests.feature_project import Project, adult_table, taxi_table

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
ROWS = 6_000


def _column(values: np.ndarray, missing: np.ndarray) -> pa.Array:
    return pa.array(values, mask=missing)


def numbers() -> tuple[pa.Table, str, dict]:
    """Numbers of every type, imputed and scaled in every way, and what float32 would spoil."""
    rng = np.random.default_rng(1)

    def some(share: float = 0.1) -> np.ndarray:
        return rng.random(ROWS) < share

    age = rng.normal(40, 12, ROWS)
    columns = {
        "id": np.arange(ROWS),
        "age": age,
        "height": _column(rng.normal(170, 9, ROWS), some()),
        "shoe size": _column(rng.integers(35, 48, ROWS), some()),
        "weight": _column(rng.gamma(2, 30, ROWS), some()),
        "children": rng.integers(0, 5, ROWS),
        "debt": _column(rng.normal(0, 1e4, ROWS), some(0.4)),
        "member": rng.random(ROWS) < 0.3,
        "insured": _column(rng.random(ROWS) < 0.8, some()),
        "rich": rng.integers(0, 2, ROWS),
        "longitude": _column(-87.6 + rng.normal(0, 0.05, ROWS), some()),
        "tract": _column(17_031_000_000 + rng.integers(0, 900_000, ROWS), some()),
        "when": 1_400_000_000 + rng.integers(0, 10_000_000, ROWS),
        "same": np.full(ROWS, 3.5),
        "same or none": _column(np.full(ROWS, 3.5), some()),
        "zero": _column(np.where(some(0.5), 0.0, rng.normal(0, 1, ROWS)), some()),
        "label": pa.array(np.where(age + rng.normal(0, 5, ROWS) > 40, "old", "young").tolist()),
    }
    options = {
        "shoe size": {"impute": "median", "scale": "minmax"},
        "weight": {"impute": "constant", "fill": -1000.0, "scale": "minmax"},
        "debt": {"impute": "constant", "fill": 5.5},
        "children": {"scale": "minmax"},
        "when": {"scale": "none"},
        "rich": {"kind": "flag"},
        "zero": {"impute": "median"},
    }
    return pa.table(columns), "label", {"task": "binary", "columns": options, "nullable": ["age", "children"]}


def categories() -> tuple[pa.Table, str, dict]:
    """Categories of every type: frequent, rare, tied at the edge, unseen, empty, missing, and of strange letters."""
    rng = np.random.default_rng(2)

    def some(share: float = 0.1) -> np.ndarray:
        return rng.random(ROWS) < share

    words = np.array(["", " ", "0", "False", "a\nb", "a\rb", "é", "\U0001f600", "z", "Z"], dtype=object)
    heavy = np.array([f"v{i:04d}" for i in range(2_000)], dtype=object)[rng.zipf(1.3, ROWS) % 2_000]
    tied = np.array([f"t{i % 30:02d}" for i in range(ROWS)], dtype=object)
    columns = {
        "id": np.arange(ROWS),
        "words": rng.choice(words, ROWS),
        "words or none": _column(rng.choice(words, ROWS), some()),
        "heavy": heavy,
        "tied": tied,
        "rare": _column(np.array([f"r{i}" for i in range(ROWS)], dtype=object), some()),
        "lone": np.where(np.arange(ROWS) % 1_500, "often", "seldom").astype(object),
        "zone": rng.integers(0, 40, ROWS) ** 2,
        "ward": rng.integers(-3, 3, ROWS),
        "zone or none": _column(rng.integers(-5, 5, ROWS), some()),
        "large": _column(2**53 - rng.integers(0, 4, ROWS), some()),
        "price": _column(rng.choice(np.array([0.0, 0.1, 0.1 + 1e-9, 2.5]), ROWS, p=[0.4, 0.4, 0.1, 0.1]), some()),
        "full": rng.choice(np.array(["a", "b"], dtype=object), ROWS),
        "label": rng.integers(0, 3, ROWS) * 10,
    }
    options = {
        "heavy": {"max_categories": 20, "min_count": 3},
        "tied": {"max_categories": 10},
        "zone": {"kind": "categorical", "max_categories": 7},
        "ward": {"kind": "categorical"},
        "zone or none": {"kind": "categorical"},
        "large": {"kind": "categorical"},
        "price": {"kind": "categorical"},
    }
    return pa.table(columns), "label", {"task": "multiclass", "columns": options, "nullable": ["full", "zone"]}


def images() -> tuple[pa.Table, str, dict]:
    """Two images, of whole numbers and of others, beside a number; the label is a bool."""
    rng = np.random.default_rng(3)
    whole = {f"pixel_{i}": rng.integers(0, 256, ROWS) for i in range(12)}
    other = {f"ray_{i}": rng.normal(size=ROWS) for i in range(6)}
    table = pa.table({"id": np.arange(ROWS), **whole, "x": rng.normal(size=ROWS), **other, "y": rng.random(ROWS) < 0.5})
    sections = {
        "picture": {"columns": "pixel_*", "shape": [2, 2, 3]},
        "scan": {"columns": "ray_*", "shape": [2, 3], "scale": 1},
    }
    return table, "y", {"task": "binary", "images": sections}


def price() -> tuple[pa.Table, str, dict]:
    """A regression whose target has more digits than float32."""
    rng = np.random.default_rng(4)
    columns = {"id": np.arange(ROWS), "x": rng.normal(size=ROWS), "price": 1e7 + rng.gamma(2, 100, ROWS)}
    return pa.table(columns), "price", {"task": "regression"}


def count() -> tuple[pa.Table, str, dict]:
    """A regression of whole numbers, from one text."""
    rng = np.random.default_rng(5)
    towns = np.array(["Oslo", "Rome"], dtype=object)
    columns = {"id": np.arange(ROWS), "town": rng.choice(towns, ROWS), "sold": 2**30 + rng.integers(0, 9, ROWS)}
    return pa.table(columns), "sold", {"task": "regression"}


def damaged() -> tuple[pa.Table, str, dict]:
    """A table whose rows are no longer those that were prepared, when Transform comes to them."""
    return count()


def adult() -> tuple[pa.Table, str, dict]:
    return adult_table(), "income-per-year", {"task": "binary"}


def taxi() -> tuple[pa.Table, str, dict]:
    return taxi_table(), "big_tip", {"task": "binary", "exclude": ["tips"]}


TABLES = (numbers, categories, images, price, count, adult, taxi)


@pytest.fixture(scope="module")
def projects(tfx_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Return a prepared, transformed project per table that is here, and a damaged one; one process does them all."""
    made = {}
    for make in (*TABLES, damaged):
        try:
            table, label, features = make()
        except pytest.skip.Exception:
            continue  # its own test says so
        made[make.__name__] = project = Project(tmp_path_factory.mktemp(make.__name__))
        project.write(table, label, features)
        project.prepare()
    rows = made["damaged"].rows("train")
    others = rows.set_column(rows.column_names.index("town"), "town", pa.array(["Lima"] * rows.num_rows))
    pq.write_table(others, made["damaged"].prepared / "train.parquet")
    script = Path(__file__).with_name("transform_folders.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(tfx_python), str(script), *(str(each.prepared) for each in made.values())]
    subprocess.run(command, env=environment, capture_output=True, timeout=900, check=True)
    return made


def transformed(project: Project, split: str, name: str) -> np.ndarray:
    return np.load(project.prepared / "transformed" / f"{split}.{name}.npy")


def project_of(projects: dict[str, Project], make: Callable[[], object]) -> Project:
    if make.__name__ not in projects:
        make()  # skips, with the reason
    project = projects[make.__name__]
    failed = project.prepared / "failed.txt"
    assert not failed.exists(), failed.read_text()
    return project


def plan_of(project: Project) -> FeaturePlan:
    return record.read(FeaturePlan, project.prepared / FEATURE_PLAN_FILE)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("make", TABLES)
def test_transform_gives_the_features_that_every_other_trainer_has(
    projects: dict[str, Project], make: Callable[[], object], split: str
) -> None:
    project = project_of(projects, make)
    ours, theirs = project.features(split), transformed(project, split, "features")
    assert theirs.dtype == np.float32
    assert theirs.shape == ours.shape
    worst = np.abs(theirs.astype(np.float64) - ours).max(axis=0)
    names = np.array(plan_of(project).feature_names)
    assert not dict(zip(names[worst > 1e-5], worst[worst > 1e-5], strict=True))


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("make", TABLES)
def test_transform_gives_exactly_the_target_that_every_other_trainer_has(
    projects: dict[str, Project], make: Callable[[], object], split: str
) -> None:
    project = project_of(projects, make)
    expected = np.load(project.prepared / f"{split}.target.npy")
    found = transformed(project, split, "target")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_the_tables_hold_what_could_go_wrong(projects: dict[str, Project]) -> None:
    plan = plan_of(projects["numbers"])
    assert set(exact_columns(plan)) == {"longitude", "tract"}
    assert plan.constant == ("same",)
    assert next(each for each in plan.numbers if each.input.name == "same or none").divisor is None
    plan = plan_of(projects["categories"])
    by_name = {each.input.name: each for each in plan.categories}
    assert {"", "a\nb"} <= set(by_name["words"].values)
    assert by_name["tied"].values != tuple(f"t{i:02d}" for i in range(10))
    assert len(by_name["heavy"].values) == 20
    assert (by_name["rare"].values, by_name["rare"].has_other, by_name["rare"].marks_missing) == ((), True, True)
    assert (by_name["full"].input.nullable, by_name["full"].marks_missing) == (True, False)
    assert {0.1, 0.1 + 1e-9} <= set(by_name["price"].values)
    unseen = set(projects["categories"].rows("validation")["heavy"].to_pylist())
    assert unseen - set(projects["categories"].rows("train")["heavy"].to_pylist())


def test_examples_of_other_rows_are_refused_by_the_column(projects: dict[str, Project]) -> None:
    told = (projects["damaged"].prepared / "failed.txt").read_text()
    assert "column `town`: Transform found 1 categories in its examples, others than the 2" in told
