"""Which rows train, choose and test: what stays as data grows, and what is refused."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from components.errors import ConfigError, SchemaError


def sides(project) -> dict:
    return {row: side for side in ("train", "validation", "test") for row in project.rows(side)["id"].to_pylist()}


def test_a_row_never_changes_sides_as_the_data_grows(project, people):
    project.write(people(1_000), "label", {"task": "binary"})
    project.prepare()
    before = sides(project)
    grown = pa.concat_tables([people(3_000, seed=1, first_id=1_000), people(1_000)])
    project.write(grown, "label", {"task": "binary"})
    project.prepare()
    after = sides(project)
    assert len(after) == 4_000
    assert {row: after[row] for row in before} == before


def test_the_split_by_id_is_this_one_for_ever(project):
    # written down, so that no change of a library or of ours can move rows between training and test unseen
    table = pa.table({"id": [f"row-{i}" for i in range(400)], "x": np.arange(400.0), "y": np.arange(400) % 2 == 0})
    project.write(table, "y", {"task": "binary"})
    project.prepare()
    found = sides(project)
    assert [i for i in range(60) if found[f"row-{i}"] == "test"] == [10, 14, 22, 31, 58]


def test_an_id_is_the_same_as_number_and_as_text(project):
    for ids in (np.arange(400), [str(i) for i in range(400)]):
        table = pa.table({"id": ids, "x": np.arange(400.0), "y": np.arange(400) % 2 == 0})
        project.write(table, "y", {"task": "binary"})
        project.prepare()
        assert project.rows("test")["x"].to_pylist()[:5] == [1.0, 4.0, 13.0, 24.0, 29.0]


def test_rows_of_one_id_stay_together(project):
    table = pa.table({"id": np.arange(3_000) % 300, "x": np.arange(3_000.0), "y": np.arange(3_000) % 2 == 0})
    project.write(table, "y", {"task": "binary"})
    project.prepare()
    seen = [set(project.rows(side)["id"].to_pylist()) for side in ("train", "validation", "test")]
    assert sum(map(len, seen)) == 300


def test_shares_are_met_closely_and_another_validation_share_leaves_the_test_alone(project, people):
    project.write(people(20_000), "label", {"task": "binary", "split": {"validation": 0.1, "test": 0.2}})
    assert project.prepare().spec.rows == pytest.approx({"train": 14_000, "validation": 2_000, "test": 4_000}, rel=0.05)
    before = project.rows("test")["id"]
    project.configure({"task": "binary", "split": {"validation": 0.3, "test": 0.2}})
    project.prepare()
    assert project.rows("test")["id"] == before


@pytest.mark.parametrize("kind", ["timestamp", "int64", "float64"])
def test_the_newest_rows_are_the_test_and_the_time_is_no_feature(project, kind):
    times = np.random.default_rng(0).permutation(1_000)
    moments = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=int(t)) for t in times]
    column = pa.array(moments, pa.timestamp("us", "UTC")) if kind == "timestamp" else pa.array(times.astype(kind))
    table = pa.table({"id": np.arange(1_000), "when": column, "x": times * 2.0, "y": times % 2 == 0})
    project.write(table, "y", {"task": "binary", "split": {"by": "time", "column": "when"}})
    spec = project.prepare().spec
    assert spec.rows == {"train": 700, "validation": 150, "test": 150}
    assert spec.feature_names == ("x",)
    newest = {side: max(project.rows(side)["when"].to_pylist()) for side in ("train", "validation", "test")}
    oldest = {side: min(project.rows(side)["when"].to_pylist()) for side in ("train", "validation", "test")}
    assert newest["train"] < oldest["validation"] <= newest["validation"] < oldest["test"]


def test_equal_times_stay_together(project):
    table = pa.table(
        {"id": np.arange(1_000), "when": np.arange(1_000) // 40, "x": np.arange(1_000.0), "y": np.arange(1_000) % 2}
    )
    project.write(table, "y", {"task": "binary", "split": {"by": "time", "column": "when"}})
    project.prepare()
    seen = [set(project.rows(side)["when"].to_pylist()) for side in ("train", "validation", "test")]
    assert sum(map(len, seen)) == 25


def test_a_stratified_split_gives_each_class_its_share_and_follows_its_seed(project):
    labels = ["rare"] * 100 + ["common"] * 1_900
    table = pa.table({"id": np.arange(2_000), "x": np.arange(2_000.0), "y": labels})
    chosen = []
    for seed in (0, 0, 1):
        project.write(table, "y", {"task": "binary", "split": {"by": "stratified", "seed": seed}})
        preparation = project.prepare()
        assert project.rows("test")["y"].to_pylist().count("rare") == 15
        assert project.rows("validation")["y"].to_pylist().count("rare") == 15
        assert preparation.spec.rows == {"train": 1_400, "validation": 300, "test": 300}
        assert any("may change sides" in note for note in preparation.notes)
        chosen.append(project.rows("test")["id"].to_pylist())
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_stratified_split_of_a_number_gives_each_tenth_its_share(project):
    table = pa.table({"id": np.arange(2_000), "x": np.arange(2_000.0), "y": np.arange(2_000.0) ** 2})
    project.write(table, "y", {"task": "regression", "split": {"by": "stratified"}})
    project.prepare()
    tenths = np.bincount(np.array(project.rows("test")["id"]) // 200)
    assert tenths.tolist() == [30] * 10


@pytest.mark.parametrize(
    ("column", "error", "words"),
    [
        ("wen", ConfigError, r"split\.column: there is no column `wen` \(did you mean `when`\?\)"),
        ("city", ConfigError, "`city` is string, expected a timestamp or a number"),
        ("gaps", SchemaError, "column `gaps` is missing in row 3"),
    ],
)
def test_a_column_that_cannot_be_split_by_is_refused(project, column, error, words):
    rows = np.arange(100)
    gaps = pa.array(rows, mask=rows == 3)
    table = pa.table({"id": rows, "when": rows, "city": ["Oslo"] * 100, "gaps": gaps, "x": rows * 1.0, "y": rows % 2})
    project.write(table, "y", {"task": "binary", "split": {"by": "time", "column": column}})
    with pytest.raises(error, match=words):
        project.prepare()


def test_an_id_of_another_type_or_with_gaps_is_refused(project):
    rows = np.arange(100)
    for ids, words in (
        (rows * 1.0, "is float64, expected int64 or string"),
        (pa.array(rows, mask=rows == 5), "is missing"),
    ):
        project.write(pa.table({"id": ids, "x": rows * 1.0, "y": rows % 2}), "y", {"task": "binary"})
        with pytest.raises(SchemaError if "missing" in words else ConfigError, match=words):
            project.prepare()


def test_an_empty_side_is_refused(project):
    table = pa.table({"id": [1, 2, 3], "x": [1.0, 2.0, 3.0], "y": [0.0, 1.0, 0.5]})
    project.write(table, "y", {"task": "regression", "split": {"validation": 0.001, "test": 0.001}})
    with pytest.raises(SchemaError, match="the validation split of 3 rows is empty"):
        project.prepare()
