"""A column has one name inside a SavedModel, which TensorFlow takes."""

import re

import pytest

from components.errors import ConfigError
from components.runtime.savedmodel.names import input_key, input_keys


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("age", "age"),
        ("hours per week", "hours_per_week"),
        ("education-num", "education_num"),
        ("Trip.Start_2", "Trip.Start_2"),
        ("2nd", "c_2nd"),
        ("_id", "c__id"),
        (".x", "c_.x"),
        ("größe", "gr__e"),
        ("", "c_"),
    ],
)
def test_a_column_gets_a_key_that_tensorflow_takes(name, key):
    assert input_key(name) == key
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", key)


def test_two_columns_with_one_key_are_refused():
    with pytest.raises(ConfigError, match="columns `a b` and `a-b` would both be called `a_b`"):
        input_keys(["a b", "c", "a-b"])


def test_every_column_has_its_key():
    assert input_keys(["a b", "c"]) == {"a b": "a_b", "c": "c"}
