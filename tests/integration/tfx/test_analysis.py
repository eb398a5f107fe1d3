"""What TFX found is read as it is: metrics of the served product, thresholds, statistics, anomalies and lineage."""

import os
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.types import record
from components.types.tfx import Anomalies, DataStatistics, Lineage, ModelAnalysis

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def found(tfx_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    done = subprocess.run(
        [str(tfx_python), str(Path(__file__).with_name("analyse.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def analysis(found: Path) -> ModelAnalysis:
    return record.read(ModelAnalysis, found / "analysis.json")


@pytest.fixture(scope="module")
def expected(found: Path) -> pl.DataFrame:
    """What the rule of the product says of the validation split."""
    rows = pl.read_parquet(found / "prepared/validation.parquet")
    score = (
        pl.col("fare").fill_null(0.0)
        - 1.5
        + pl.when(pl.col("pick up city").is_null()).then(-0.5).when(pl.col("shared")).then(0.25).otherwise(0.0)
        + pl.when(pl.col("zone") == 0).then(2.0).otherwise(0.0)
    )
    return rows.with_columns(share=1 / (1 + (-score).exp()), truth=pl.col("label") == 7)


def metrics(rows: pl.DataFrame) -> dict[str, float]:
    from sklearn.metrics import log_loss, roc_auc_score  # two seconds, which a run without this file need not spend

    truth, share = rows["truth"].to_numpy(), rows["share"].to_numpy()
    return {
        "auc": roc_auc_score(truth, share),
        "accuracy": accuracy(rows),
        "log_loss": log_loss(truth, share),
    }


def accuracy(rows: pl.DataFrame) -> float:
    return float((rows["truth"].to_numpy() == (rows["share"].to_numpy() > 0.5)).mean())


def test_all_rows_together_have_the_metrics_of_the_product(analysis: ModelAnalysis, expected: pl.DataFrame) -> None:
    everything = analysis.slices[0]
    assert (everything.column, everything.rows) == ("", expected.height)
    for name, value in metrics(expected).items():
        assert everything.metrics[name] == pytest.approx(value, abs=2e-3), name


def test_every_value_of_a_column_is_a_slice_also_none_and_the_empty_text(
    analysis: ModelAnalysis, expected: pl.DataFrame
) -> None:
    cities = {each.value: each for each in analysis.slices if each.column == "pick up city"}
    assert {"(missing)", "", "Oslo", "Bergen"} <= cities.keys()
    assert sum(each.rows for each in cities.values()) == expected.height
    for value, each in cities.items():
        column = pl.col("pick up city")
        rows = expected.filter(column.is_null() if value == "(missing)" else column == value)
        assert each.rows == rows.height
        assert each.metrics["accuracy"] == pytest.approx(accuracy(rows), abs=1e-6)
    assert {each.value for each in analysis.slices if each.column == "shared"} == {"true", "false"}


def test_thresholds_bind_the_rows_that_they_name_and_the_verdict_follows(analysis: ModelAnalysis) -> None:
    on_all = {each.metric: each for each in analysis.thresholds if not each.column}
    assert {name: (each.kind, each.bound) for name, each in on_all.items()} == {
        "auc": ("at least", 0.6), "log_loss": ("at most", 5.0),
    }  # fmt: skip
    by_city = [each for each in analysis.thresholds if each.column == "pick up city"]
    assert {each.metric for each in by_city} == {"accuracy"}
    assert len(by_city) == sum(each.column == "pick up city" for each in analysis.slices)
    assert analysis.blessed == all(each.passed for each in analysis.thresholds)


def test_the_analysis_is_bound_to_the_bytes_that_were_evaluated(found: Path, analysis: ModelAnalysis) -> None:
    assert len(analysis.product_digest) == 64
    assert analysis.dataset_digest == "d" * 64
    refusal = (found / "refusal.txt").read_text()
    assert refusal.startswith("TrainingError: the Evaluator looked at")


def test_statistics_count_zeros_and_missing_values_apart(found: Path) -> None:
    statistics = record.read(DataStatistics, found / "statistics.json")
    assert [each.split for each in statistics.splits] == ["train", "validation"]
    for each in statistics.splits:
        rows = pl.read_parquet(found / f"prepared/{each.split}.parquet")
        columns = {found.name: found for found in each.features}
        assert set(columns) == set(rows.columns)
        fare = columns["fare"]
        assert (fare.rows, fare.missing) == (rows["fare"].count(), rows["fare"].null_count())
        assert fare.zeros == (rows["fare"] == 0).sum()
        assert fare.mean == pytest.approx(float(np.asarray(rows["fare"].mean())), rel=1e-5)
        assert sum(bucket.count for bucket in fare.histogram) == pytest.approx(fare.rows)
        assert columns["pick up city"].missing == rows["pick up city"].null_count()
        shown = {top.value: top.count for top in columns["pick up city"].top_values}
        assert shown["Oslo"] == (rows["pick up city"] == "Oslo").sum()


def test_a_value_that_training_does_not_know_is_an_anomaly_of_its_split(found: Path) -> None:
    anomalies = record.read(Anomalies, found / "anomalies.json").anomalies
    (city,) = [each for each in anomalies if each.feature == "pick up city"]
    assert (city.split, city.reason) == ("validation", "Unexpected string values")
    assert "Atlantis" in city.description


def test_lineage_joins_components_by_their_artifacts_and_says_nothing_of_this_machine(found: Path) -> None:
    lineage = record.read(Lineage, found / "lineage.json")
    types = {each.id: each.type for each in lineage.artifacts}
    runs = {each.name: each for each in lineage.executions}
    assert {types[each] for each in runs["Evaluator"].inputs} == {"Examples", "Model"}
    assert {types[each] for each in runs["Evaluator"].outputs} == {"ModelEvaluation", "ModelBlessing"}
    assert {types[each] for each in runs["ExampleValidator"].outputs} == {"ExampleAnomalies"}
    assert {each.state for each in lineage.executions} == {"COMPLETE"}
    assert str(found) not in (found / "lineage.json").read_text()
