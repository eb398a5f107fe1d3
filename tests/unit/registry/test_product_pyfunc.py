"""The code that travels inside a version: what it takes, and what it refuses."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from components.registry import product_pyfunc
from components.registry.product_pyfunc import Product
from components.runtime.savedmodel.names import input_key
from components.types.dataset import MISSING_STRING
from components.types.product import ProductRef


def opened(product: ProductRef) -> Product:
    model = Product()
    model.load_context(
        SimpleNamespace(artifacts={"product": str(product.directory)}, model_config={"product_digest": product.digest})
    )
    return model


def predict(product: ProductRef, **changes: Any) -> pd.DataFrame:
    rows = {"age": [1.0, -9.0], "city": ["Rome", "Oslo"], "trips": [1, 1], "vip": [True, False], **changes}
    return opened(product).predict(None, pd.DataFrame(rows, index=[7, 9]))


def test_predictions_keep_the_rows_index(table_product: ProductRef) -> None:
    predicted = predict(table_product)
    assert predicted["prediction"].to_dict() == {7: "yes", 9: "no"}
    assert [len(row) for row in predicted["probabilities"]] == [2, 2]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_every_way_to_say_missing_is_missing(table_product: ProductRef, missing: object) -> None:
    strings = predict(table_product, city=["Rome", missing])
    assert strings["probabilities"][9][1] == pytest.approx(1 / (1 + np.exp(11)), abs=1e-6)
    numbers = predict(table_product, age=pd.Series([missing, 1.0], dtype=object, index=[7, 9]))
    assert numbers["prediction"].tolist() == ["yes", "yes"]


@pytest.mark.parametrize("kind", ["int64", "Int64", "float32", "object", "Float64"])
def test_numbers_of_any_type_are_numbers(table_product: ProductRef, kind: str) -> None:
    ages = pd.Series([1, -9], index=[7, 9]).astype(kind)
    assert predict(table_product, age=ages, trips=ages.abs())["prediction"].tolist() == ["yes", "yes"]


def test_whole_numbers_keep_all_their_digits(table_product: ProductRef) -> None:
    tensor = product_pyfunc._tensor(
        {"name": "trips", "shape": [], "type": "int64", "nullable": False}, pd.DataFrame({"trips": [2**53 + 1]})
    )
    assert tensor.tolist() == [2**53 + 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trips": [1, None]}, "column trips has a missing value in row 1"),
        ({"trips": [1, 1.5]}, "column trips takes whole numbers, found 1.5"),
        ({"trips": [1, "2"]}, "column trips takes numbers, found '2'"),
        ({"trips": [1, True]}, "column trips takes numbers, found True"),
        ({"age": [1.0, float("inf")]}, "column age has an infinite value"),
        ({"age": ["old", "young"]}, "column age takes numbers, found 'old'"),
        ({"city": ["Rome", 3]}, "column city takes strings, found 3"),
        ({"vip": [1, 0]}, "column vip takes true and false, found 1"),
        ({"vip": ["true", "false"]}, "column vip takes true and false, found 'true'"),
    ],
)
def test_what_training_did_not_allow_is_refused_by_name(
    table_product: ProductRef, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(MlflowException, match=words) as refused:
        predict(table_product, **changes)
    assert refused.value.get_http_status_code() == 400


def test_a_missing_column_is_named(table_product: ProductRef) -> None:
    with pytest.raises(MlflowException, match="column age is missing"):
        opened(table_product).predict(None, pd.DataFrame({"city": ["Rome"]}))


def test_images_of_another_shape_or_with_holes_are_refused(image_product: ProductRef) -> None:
    model = opened(image_product)
    assert model.predict(None, pd.DataFrame({"image": [[[1, 2, 3], [4, 5, 6]]]}))["prediction"].tolist() == [21.0]
    for image, words in (
        ([[1, 2], [3, 4]], r"of shape \(2, 3\), found \(2, 2\)"),
        ([[1, 2, None], [3, 4, 5]], "missing or infinite"),
        ([[1, 2, 3], [4, 5]], "nested lists"),
        (None, "found"),
    ):
        with pytest.raises(MlflowException, match=words):
            model.predict(None, pd.DataFrame({"image": [image]}))


def test_a_changed_product_is_refused_before_it_is_loaded(table_product: ProductRef, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(table_product.directory, changed)
    signature = json.loads((changed / "signature.json").read_text())
    (changed / "signature.json").write_text(json.dumps({**signature, "classes": ["yes", "no"]}))
    with pytest.raises(MlflowException, match="was registered"):
        opened(ProductRef(changed, table_product.digest))


def test_it_travels_alone() -> None:
    tree = ast.parse(Path(product_pyfunc.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.split(".")[0] in {"components", "pipelines"}]
    assert product_pyfunc.MISSING_STRING == MISSING_STRING


def test_a_column_is_called_inside_a_savedmodel_as_the_runtime_calls_it() -> None:
    for name in ("age", "hours per week", "2nd", "_id", "größe", "Trip.Start", ""):
        assert product_pyfunc._input_key(name) == input_key(name)
