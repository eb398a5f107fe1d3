"""The preprocessing graph against scikit-learn, against itself row by row, and on what training never saw."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from components.types.dataset import ColumnType

GAP = "\x00gap"


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as scikit-learn takes it: object strings with a marker for gaps, float64 for the rest."""
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            continue
        if pa.types.is_string(column.type):
            columns[name] = np.array([GAP if each is None else each for each in column.to_pylist()], dtype=object)
        else:
            columns[name] = column.cast(pa.float64()).to_numpy()
    return pd.DataFrame(columns)


def reference(numbers, flags, texts, min_count=5, scaler=None, strategy="mean"):
    """Return scikit-learn's way to the same features: numbers and flags, indicators, categories without gaps."""
    encoder = OneHotEncoder(
        min_frequency=min_count, max_categories=101, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    scaled = make_pipeline(SimpleImputer(strategy=strategy), scaler or StandardScaler())
    steps = [("numbers", scaled, numbers)]
    if flags:
        steps.append(("flags", SimpleImputer(strategy="most_frequent"), flags))
    steps.append(("gaps", FunctionTransformer(lambda frame: frame.isna().astype(float)), [*numbers, *flags]))
    if texts:
        steps.append(("texts", encoder, texts))
    return ColumnTransformer(steps, sparse_threshold=0)


def assert_same_columns(ours: np.ndarray, theirs: np.ndarray, bound: float = 1e-6) -> None:
    """Each of our features must be one of theirs; theirs may have constant ones besides."""
    varying = theirs[:, theirs.std(axis=0) > 0]
    assert ours.shape == varying.shape
    left = list(range(varying.shape[1]))
    for column in ours.T:
        distance = [np.abs(column[:500] - varying[:500, each]).max() for each in left]
        twin = left.pop(int(np.argmin(distance)))
        np.testing.assert_allclose(column, varying[:, twin], atol=bound, rtol=bound)


def check_against_sklearn(project, table, label, numbers, flags, texts, **section):
    project.write(table, label, {"task": "binary", **section})
    spec = project.prepare().spec
    train = as_frame(project.rows().drop_columns([label]))
    theirs = reference(numbers, flags, texts).fit(train)
    assert_same_columns(project.features(), theirs.transform(train))
    return spec


def test_features_of_a_generated_table_are_those_of_scikit_learn(project, people):
    numbers, flags, texts = ["age", "height", "children", "cars"], ["member", "insured"], ["city", "job"]
    spec = check_against_sklearn(project, people(), "label", numbers, flags, texts)
    assert "job=<other>" in spec.feature_names
    assert "job is missing" in spec.feature_names
    assert "city=<other>" not in spec.feature_names


def test_features_of_the_adult_table_are_those_of_scikit_learn(project, adult):
    texts = [f.name for f in adult.schema if pa.types.is_string(f.type) and f.name != "income-per-year"]
    numbers = [f.name for f in adult.schema if f.type == pa.int64() and f.name != "id"]
    spec = check_against_sklearn(project, adult, "income-per-year", numbers, [], texts)
    assert spec.classes == ("<=50K", ">50K")
    assert {"hours-per-week", "workclass is missing", "native-country=Cuba"} <= set(spec.feature_names)


def test_features_of_the_taxi_table_are_those_of_scikit_learn(project, taxi):
    left_out = {"id", "big_tip", "tips", "trip_start_timestamp", "pickup_census_tract"}
    numbers = [f.name for f in taxi.schema if f.type in (pa.int64(), pa.float64()) and f.name not in left_out]
    section = {"exclude": ["tips", "trip_start_timestamp", "pickup_*_tract"]}
    spec = check_against_sklearn(project, taxi, "big_tip", numbers, [], ["payment_type", "company"], **section)
    assert spec.classes == (False, True)


@pytest.mark.parametrize(
    ("options", "scaler", "strategy"),
    [
        ({"impute": "median", "scale": "minmax"}, MinMaxScaler(), "median"),
        ({"scale": "none"}, FunctionTransformer(), "mean"),
        ({"impute": "median"}, StandardScaler(), "median"),
    ],
)
def test_imputing_and_scaling_can_be_chosen_per_column(project, people, options, scaler, strategy):
    table = people().select(["id", "height", "label"])
    project.write(table, "label", {"task": "binary", "columns": {"height": options}})
    project.prepare()
    train = as_frame(project.rows().drop_columns(["label"]))
    theirs = reference(["height"], [], [], scaler=scaler, strategy=strategy).fit(train)
    np.testing.assert_allclose(project.features(), theirs.transform(train), atol=1e-4, rtol=1e-6)


def test_a_constant_can_stand_for_a_missing_number(project, people):
    section = {"task": "binary", "columns": {"height": {"impute": "constant", "fill": 150, "scale": "none"}}}
    project.write(people().select(["id", "height", "label"]), "label", section)
    project.prepare()
    missing = project.features()[:, 1] == 1
    assert missing.any()
    assert (project.features()[missing, 0] == 150).all()


def test_one_row_gives_the_very_bytes_that_a_batch_gives(project, people):
    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    rows = project.rows("validation")
    alone = [project.run_graph(spec, rows.slice(row, 1)) for row in range(40)]
    assert np.concatenate(alone).tobytes() == project.features("validation")[:40].tobytes()


def test_an_unseen_category_goes_to_the_rare_ones_where_there_are_any_and_nowhere_else(project, people):
    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    row = project.rows().slice(0, 1)
    for name, value in (("job", "astronaut"), ("city", "Atlantis")):
        row = row.set_column(row.schema.get_field_index(name), name, pa.array([value]))
    found = dict(zip(spec.feature_names, project.run_graph(spec, row)[0], strict=True))
    assert [found[name] for name in ("job=<other>", "job=cook", "job=smith", "job is missing")] == [1, 0, 0, 0]
    assert [found[f"city={name}"] for name in ("Oslo", "Rome", "Lima")] == [0, 0, 0]


@pytest.mark.parametrize(("name", "imputed"), [("height", 0), ("cars", 0), ("insured", 1), ("job", None)])
def test_a_missing_value_is_imputed_and_marked_under_its_own_name(project, people, name, imputed):
    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    row = pa.Table.from_pylist([next(r for r in project.rows().to_pylist() if None not in r.values())])
    row = row.cast(project.rows().schema)
    row = row.set_column(row.schema.get_field_index(name), name, pa.nulls(1, row.schema.field(name).type))
    found = dict(zip(spec.feature_names, project.run_graph(spec, row)[0], strict=True))
    marks = {each: value for each, value in found.items() if each.endswith(" is missing")}
    assert marks == {f"{each} is missing": each == name for each in ("height", "cars", "insured", "job")}
    if imputed is not None:
        assert abs(found[name] - imputed) < 1e-6, "the train mean is 0 once scaled, and most are insured"


def test_every_number_stands_under_its_own_name(project, people):
    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    train = as_frame(project.rows().drop_columns(["label"]))
    for name in ("age", "height", "children", "cars"):
        filled = train[name].fillna(train[name].mean())
        found = project.features()[:, spec.feature_names.index(name)]
        np.testing.assert_allclose(found, (filled - filled.mean()) / filled.std(ddof=0), atol=1e-6)
    for name in ("member", "insured"):
        found = project.features()[:, spec.feature_names.index(name)]
        np.testing.assert_array_equal(found, train[name].fillna(1))


def test_numbers_with_gaps_become_float64_inputs_and_stay_exact(project, people):
    project.write(people(), "label", {"task": "binary", "nullable": ["age", "children"]})
    inputs = {each.name: each for each in project.prepare().spec.inputs}
    assert inputs["cars"].type is inputs["insured"].type is inputs["children"].type is ColumnType.FLOAT64
    assert {name for name, each in inputs.items() if each.nullable} == {
        "age", "height", "children", "cars", "insured", "job",
    }  # fmt: skip
    assert inputs["member"].type is ColumnType.BOOL


def test_a_listed_nullable_column_may_be_missing_though_the_data_has_no_gap(project, people):
    project.write(
        people().select(["id", "age", "city", "label"]), "label", {"task": "binary", "nullable": ["age", "city"]}
    )
    spec = project.prepare().spec
    assert spec.feature_names == ("age", "city=Lima", "city=Oslo", "city=Rome"), "an indicator would be untrained"
    row = pa.table({"age": pa.nulls(1, pa.float64()), "city": pa.nulls(1, pa.string())})
    np.testing.assert_allclose(project.run_graph(spec, row), [[0, 0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_numbers_can_be_categories(project, kind, gaps):
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 4, 1_000)
    mask = rng.random(1_000) < 0.2 if gaps else None
    table = pa.table(
        {"id": np.arange(1_000), "code": pa.array(codes, mask=mask).cast(kind), "label": rng.random(1_000) < 0.5}
    )
    project.write(table, "label", {"task": "binary", "columns": {"code": {"kind": "categorical"}}})
    spec = project.prepare().spec
    expected = [np.array(project.rows()["code"].to_pylist(), dtype=object) == code for code in (1, 2, 3)]
    if gaps:
        expected.append(np.array(project.rows()["code"].is_null()))
    np.testing.assert_array_equal(project.features(), np.stack(expected, axis=1).astype(np.float32))
    unseen = pa.table({"code": pa.array([9]).cast(kind)})
    assert not project.run_graph(spec, unseen).any()


def test_rare_categories_share_one_feature_by_count_and_by_rank(project):
    names = ["a"] * 400 + ["b"] * 300 + ["c"] * 200 + ["d"] * 100
    table = pa.table({"id": np.arange(1_000), "x": names, "y": names, "label": np.arange(1_000) % 2 == 0})
    columns = {"x": {"max_categories": 2}, "y": {"min_count": 180}}
    project.write(table, "label", {"task": "binary", "columns": columns})
    names = project.prepare().spec.feature_names
    assert names == ("x=a", "x=b", "x=<other>", "y=a", "y=b", "y=<other>")


def test_a_column_of_rare_values_and_gaps_keeps_both_apart(project):
    texts = [None if row % 3 == 0 else f"text {row}" for row in range(600)]
    table = pa.table({"id": np.arange(600), "x": texts, "label": np.arange(600) % 2 == 0})
    project.write(table, "label", {"task": "binary"})
    spec = project.prepare().spec
    assert spec.feature_names == ("x is missing", "x=<other>")
    missing = np.array(project.rows()["x"].is_null())
    np.testing.assert_array_equal(project.features(), np.stack([missing, ~missing], axis=1).astype(np.float32))


def test_a_number_that_never_varies_but_has_gaps_leaves_only_its_indicator_to_speak(project):
    values = [None if row % 3 == 0 else 5.0 for row in range(600)]
    table = pa.table({"id": np.arange(600), "x": values, "label": np.arange(600) % 2 == 0})
    project.write(table, "label", {"task": "binary"})
    spec = project.prepare().spec
    assert spec.feature_names == ("x", "x is missing")
    assert not project.features()[:, 0].any()
    assert project.run_graph(spec, pa.table({"x": [1e9]})).tolist() == [[0, 0]], "its weight was never trained"


def test_constant_columns_are_left_out_and_named(project, people):
    table = (
        people()
        .append_column("planet", pa.array(["Earth"] * 2_000))
        .append_column("nothing", pa.nulls(2_000, pa.float64()))
    )
    project.write(table, "label", {"task": "binary"})
    preparation = project.prepare()
    assert not {"planet", "nothing"} & {each.name for each in preparation.spec.inputs}
    assert any("planet, nothing" in note for note in preparation.notes)


@pytest.mark.parametrize(("shape", "image_shape"), [([2, 3], (2, 3, 1)), ([1, 2, 3], (1, 2, 3))])
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_pixels_become_one_image(project, kind, shape, image_shape):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 17, (500, 6)).astype(kind)
    columns = {f"pixel_{i}": pixels[:, i] for i in range(6)}
    table = pa.table({"id": np.arange(500), **columns, "label": rng.integers(0, 3, 500)})
    images = {"image": {"columns": "pixel_*", "shape": shape, "scale": 16}}
    project.write(table, "label", {"task": "multiclass", "images": images})
    spec = project.prepare().spec
    assert spec.image_shape == image_shape
    assert [(each.name, each.shape) for each in spec.inputs] == [("image", tuple(shape))]
    rows = np.array(project.rows()["id"])
    np.testing.assert_array_equal(project.features(), (pixels[rows] / 16).astype(np.float32))


def test_an_image_and_columns_go_together(project):
    rng = np.random.default_rng(0)
    pixels = {f"p{i}": rng.random(500) for i in range(4)}
    table = pa.table({"id": np.arange(500), "x": rng.normal(size=500), **pixels, "label": rng.random(500) < 0.5})
    project.write(
        table, "label", {"task": "binary", "images": {"image": {"columns": "p?", "shape": [2, 2], "scale": 1}}}
    )
    spec = project.prepare().spec
    assert spec.image_shape is None
    assert spec.feature_names == ("x", "image[0,0]", "image[0,1]", "image[1,0]", "image[1,1]")
    expected = np.stack([project.rows()[f"p{i}"].to_numpy() for i in range(4)], axis=1)
    np.testing.assert_allclose(project.features()[:, 1:], expected, rtol=1e-6)


def test_names_with_blanks_hyphens_and_our_own_prefix_are_kept(project):
    rng = np.random.default_rng(0)
    names = ["capital-gain", "hours per week", "prepare/numbers", "größe", "a=b"]
    table = pa.table({"id": np.arange(200), **{n: rng.normal(size=200) for n in names}, "label": rng.random(200) < 0.5})
    project.write(table, "label", {"task": "binary"})
    spec = project.prepare().spec
    assert [each.name for each in spec.inputs] == names
    assert project.run_graph(spec, project.rows()).tobytes() == project.features().tobytes()


def test_a_null_where_none_may_be_is_refused_by_column_and_row(project, people):
    from components.errors import SchemaError

    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    rows = project.rows().slice(0, 3)
    ages = rows["age"].to_pylist()
    rows = rows.set_column(rows.schema.get_field_index("age"), "age", pa.array([ages[0], None, ages[2]]))
    with pytest.raises(SchemaError, match=r"`age` has a missing value in row 1"):
        project.run_graph(spec, rows)
