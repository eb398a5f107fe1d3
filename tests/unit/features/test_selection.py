"""Which columns become features, and which configurations are refused, by the full path of the key."""

import numpy as np
import pyarrow as pa
import pytest

from components.errors import ConfigError, SchemaError


@pytest.fixture
def table(people):
    return people(600)


def names(project) -> set[str]:
    return {each.name for each in project.prepare().spec.inputs}


def test_id_label_and_timestamps_are_never_features_and_nobody_complains(project, table):
    project.write(table, "label", {"task": "binary"})
    assert names(project) == set(table.column_names) - {"id", "label", "seen"}


def test_columns_of_the_label_are_left_out_unless_kept_by_name(project, table):
    project.write(table, "label", {"task": "binary"}, label_inputs=["age", "height"])
    assert not {"age", "height"} & names(project)
    project.configure({"task": "binary", "keep": ["age"]})
    assert {"age", "height"} & names(project) == {"age"}


def test_patterns_leave_columns_out(project, table):
    project.write(table, "label", {"task": "binary", "exclude": ["c*", "seen", "job"]})
    assert names(project) == {"age", "height", "member", "insured"}


IMAGE = {"columns": "c[ah]*", "shape": [1, 2]}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"exclude": ["ages"]}, r"m\.features\.exclude: `ages` fits no column \(did you mean `age`\?\)"),
        ({"exclude": ["*"]}, r"features\.exclude: no column is left"),
        ({"keep": ["age"]}, r"features\.keep: `age` is no column the label is computed from; those are: member"),
        ({"columns": {"agee": {}}}, r"features\.columns: there is no column `agee` \(did you mean `age`"),
        ({"columns": {"id": {}}}, r"features\.columns: `id` cannot be a feature: it is the id"),
        ({"columns": {"seen": {}}}, "`seen` cannot be a feature: it is a timestamp"),
        ({"nullable": ["label"]}, r"features\.nullable: `label` cannot be a feature: it is the label"),
        ({"nullable": ["age"], "exclude": ["a*"]}, "it is excluded"),
        ({"columns": {"member": {}}}, "one of those the label is computed from"),
        ({"columns": {"city": {"kind": "numeric"}}}, r"columns\.city: kind `numeric` does not fit a string column"),
        ({"columns": {"city": {"scale": "minmax"}}}, "`scale` is not for a categorical column"),
        ({"columns": {"age": {"min_count": 3}}}, "`min_count` is not for a numeric column, which takes impute"),
        ({"columns": {"insured": {"impute": "median"}}}, "`impute` is not for a flag column, which takes no option"),
        ({"images": {"i": {"columns": "x*", "shape": [1, 2]}}}, r"images\.i: `x\*` fits 0 columns where 1 x 2"),
        ({"images": {"i": IMAGE}}, "pixel `cars` is int64 with .* missing values; expected numbers, none"),
        ({"images": {"age": {"columns": "children", "shape": [1, 1]}}}, r"images\.age: a column has this name too"),
    ],
)
def test_a_configuration_that_does_not_fit_the_table_is_refused(project, table, section, words):
    project.write(table, "label", {"task": "binary", **section}, label_inputs=["member"])
    with pytest.raises(ConfigError, match=words):
        project.prepare()


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"task": "binary", "split": {"by": "id", "validation": 0.5, "test": 0.5}}, "leave no rows to train on"),
        ({"task": "binary", "columns": {"age": {"impute": "constant"}}}, "`impute: constant` and `fill` go together"),
        ({"task": "regression", "class_weights": "balanced"}, "`class_weights` is for classification"),
        ({"task": "binary", "exclud": ["age"]}, r"unknown key `models\.m\.features\.exclud` \(did you mean `exclude`"),
        ({"task": "ranking"}, r"key `models\.m\.features\.task`"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(project, table, section, words):
    project.write(table, "label", section)
    with pytest.raises(ConfigError, match=words):
        project.prepare()


@pytest.mark.parametrize("name", ["features", "prediction", "probabilities"])
def test_a_column_with_a_name_of_the_graphs_own_is_refused_unless_excluded(project, table, name):
    renamed = table.append_column(name, table["age"])
    project.write(renamed, "label", {"task": "binary"})
    with pytest.raises(ConfigError, match=f"`{name}` is a name of the product's own"):
        project.prepare()
    project.configure({"task": "binary", "exclude": [name]})
    assert name not in names(project)


def test_a_flag_of_other_numbers_than_0_and_1_is_refused(project, table):
    project.write(table, "label", {"task": "binary", "columns": {"children": {"kind": "flag"}}})
    with pytest.raises(SchemaError, match="`children` holds 0 to 4; a flag is 0 or 1"):
        project.prepare()


def test_a_table_of_constants_is_refused(project):
    table = pa.table({"id": np.arange(300), "x": np.ones(300), "y": np.arange(300) % 2})
    project.write(table, "y", {"task": "binary"})
    with pytest.raises(SchemaError, match="every column has one value in the train split"):
        project.prepare()
