"""The record of how columns become features says what the graph does, and enough to make the features again."""

import numpy as np
import pyarrow as pa
import pytest

from components.stage.files import file_digest, write_json
from components.types import record
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.features import FEATURE_PLAN_FILE, FeaturePlan


def read_plan(project) -> FeaturePlan:
    return record.read(FeaturePlan, project.prepared / FEATURE_PLAN_FILE)


def planned_names(plan: FeaturePlan) -> list[str]:
    """Return the names of the features as the plan's own words give them."""
    names = [each.input.name for each in plan.numbers]
    names += [f"{each.input.name} is missing" for each in plan.numbers if each.marks_missing]
    for each in plan.categories:
        names += [f"{each.input.name}={value}" for value in each.values]
        names += [f"{each.input.name} is missing"] * each.marks_missing
        names += [f"{each.input.name}=<other>"] * each.has_other
    for image in plan.images:
        names += [f"{image.input.name}[{','.join(map(str, at))}]" for at in np.ndindex(image.input.shape)]
    return names


def planned_features(plan: FeaturePlan, rows: pa.Table) -> np.ndarray:
    """Return what the plan says of rows, computed in the plainest way."""
    numbers, gaps, categories, images = [], [], [], []
    for each in plan.numbers:
        values = np.array([np.nan if x is None else float(x) for x in rows[each.input.name].to_pylist()])
        missing = np.isnan(values)
        centred = np.where(missing, each.impute_value, values) - each.offset
        numbers.append(centred * 0 if each.divisor is None else centred / each.divisor)
        gaps += [missing] * each.marks_missing
    for each in plan.categories:
        found = rows[each.input.name].to_pylist()
        own = [[x == value for x in found] for value in each.values]
        own += [[x is None for x in found]] * each.marks_missing
        categories += own
        categories += [[not any(row) for row in zip(*own, strict=True)] if own else [True] * len(found)] * (
            each.has_other
        )
    for image in plan.images:
        images += [np.array(rows[column]) / image.scale for column in image.input.columns]
    return np.array([*numbers, *gaps, *categories, *images], np.float64).T.astype(np.float32)


def every_kind(people) -> pa.Table:
    table = people(3_000)
    rng = np.random.default_rng(1)
    rows = table.num_rows
    extra = {
        "zone": pa.array(rng.integers(0, 40, rows) ** 2, mask=rng.random(rows) < 0.1),
        "rare": pa.array([f"r{i}" for i in range(rows)], mask=rng.random(rows) < 0.1),
        "gap": pa.array(np.full(rows, 7.0), mask=rng.random(rows) < 0.2),
        "still": np.full(rows, 3),
        "text": rng.choice(np.array(["", "a\nb", "é", "z"], dtype=object), rows),
        **{f"pixel_{i}": rng.integers(0, 256, rows) for i in range(6)},
    }
    for name, values in extra.items():
        table = table.append_column(name, pa.array(values) if not isinstance(values, pa.Array) else values)
    return table


EVERY_OPTION = {
    "task": "binary",
    "columns": {
        "height": {"impute": "median", "scale": "minmax"},
        "cars": {"impute": "constant", "fill": -3.0},
        "age": {"scale": "none"},
        "zone": {"kind": "categorical", "max_categories": 7},
        "children": {"kind": "categorical"},
        "rare": {"min_count": 2},
    },
    "images": {"picture": {"columns": "pixel_*", "shape": [2, 3]}},
    "nullable": ["city"],
}


def test_the_plan_alone_gives_the_features_that_the_graph_gives(project, people):
    table = every_kind(people)
    project.write(table, "label", EVERY_OPTION)
    spec = project.prepare().spec
    plan = read_plan(project)
    assert planned_names(plan) == list(plan.feature_names) == list(spec.feature_names)
    assert {each.name for each in plan.inputs} == {each.name for each in spec.inputs}
    for split in ("train", "validation"):
        np.testing.assert_allclose(
            planned_features(plan, project.rows(split)), project.features(split), rtol=1e-6, atol=1e-6
        )


def test_the_plan_says_what_was_configured_and_what_was_left_out(project, people):
    project.write(every_kind(people), "label", EVERY_OPTION)
    project.prepare()
    plan = read_plan(project)
    numbers = {each.input.name: each for each in plan.numbers}
    categories = {each.input.name: each for each in plan.categories}
    assert (numbers["height"].impute, numbers["height"].scale) == ("median", "minmax")
    assert (numbers["cars"].impute, numbers["cars"].impute_value) == ("constant", -3.0)
    assert numbers["cars"].type is ColumnType.INT64
    assert numbers["cars"].input.type is ColumnType.FLOAT64
    assert numbers["cars"].largest == 3.0
    assert (numbers["insured"].kind, numbers["insured"].scale) == ("flag", "none")
    assert (numbers["gap"].divisor, numbers["gap"].marks_missing) == (None, True)
    assert (categories["zone"].max_categories, len(categories["zone"].values)) == (7, 7)
    assert all(type(value) is int for value in categories["zone"].values)
    assert (categories["rare"].values, categories["rare"].has_other) == ((), True)
    assert (categories["city"].input.nullable, categories["city"].marks_missing) == (True, False)
    assert "" in categories["text"].values
    assert MISSING_STRING not in categories["text"].values
    assert plan.images[0].scale == 255.0
    assert "still" in plan.constant
    assert (plan.target.column, plan.target.type, plan.target.classes) == ("label", ColumnType.STRING, ("old", "young"))


def test_the_plan_of_a_regression_has_the_targets_mean_and_scale(project):
    rng = np.random.default_rng(0)
    table = pa.table({"id": np.arange(500), "x": rng.normal(size=500), "price": rng.integers(1, 900, 500)})
    project.write(table, "price", {"task": "regression"})
    spec = project.prepare().spec
    target = read_plan(project).target
    assert (target.mean, target.scale) == (spec.target_mean, spec.target_scale)
    assert (target.type, target.classes) == (ColumnType.INT64, ())


@pytest.mark.parametrize("change", [{}, {"columns": {"age": {"scale": "minmax"}}}])
def test_the_plan_has_the_same_bytes_where_nothing_changed_and_is_read_back_as_it_was(project, people, change):
    project.write(people(), "label", {"task": "binary"})
    project.prepare()
    path = project.prepared / FEATURE_PLAN_FILE
    before = file_digest(path)
    write_json(project.root / "again.json", read_plan(project))
    assert file_digest(project.root / "again.json") == before
    project.configure({"task": "binary", **change})
    project.prepare()
    assert (file_digest(path) == before) is not bool(change)
