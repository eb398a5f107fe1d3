"""What a SavedModel product is: its files, its signature, and that it answers as the same graph in ONNX does."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from components.errors import DigestMismatchError, FaultError, SchemaError
from components.runtime.batch import InvalidOutputError
from components.runtime.onnx_runtime import OnnxRuntime
from components.runtime.savedmodel.runtime import SavedModelRuntime
from components.stage.files import tree_digest
from components.types.dataset import MISSING_STRING, ColumnType, Task
from components.types.product import ProductRef, Signature
from tests.saved_models import IMAGE, NOTHING, SUM, plain

pytestmark = pytest.mark.slow


def test_a_table_with_missing_values_is_answered_as_by_the_same_graph_in_onnx(opened, table_product):
    batch = {
        "age": np.array([40.0, np.nan, -9.0, 1.0]),
        "city": np.array(["Rome", "Oslo", MISSING_STRING, "Köln"], object),
        "trips": np.array([3, 2, 1, 2]),
        "vip": np.array([True, False, False, True]),
    }
    onnx = OnnxRuntime()
    onnx.load(table_product)
    expected, found = onnx.predict(batch), opened("table").predict(batch)
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    assert [type(each) for each in found["prediction"]] == [str] * 4
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-6)


def test_images_and_boolean_classes_are_answered(opened):
    image = np.arange(12.0).reshape(2, 2, 3)
    assert opened("image").predict({"image": image})["prediction"].tolist() == [15.0, 51.0]
    flags = opened("flags").predict({"x": np.array([-2.0, 2.0])})["prediction"]
    assert (flags.tolist(), flags.dtype) == ([False, True], np.bool_)


def test_an_answer_that_is_no_number_is_a_fault_of_the_product(opened):
    with pytest.raises(InvalidOutputError, match="prediction for row 1 is not a finite number"):
        opened().predict({"x": np.array([1.0, NOTHING + 1])})


def test_text_that_is_none_is_refused(opened):
    batch = {
        "age": np.zeros(1),
        "city": np.array(["\ud800"], object),
        "trips": np.zeros(1, int),
        "vip": np.ones(1, bool),
    }
    with pytest.raises(SchemaError, match="half of a character pair"):
        opened("table").predict(batch)


@pytest.mark.parametrize(
    "name",
    [
        "savedmodel/saved_model.pb",
        "savedmodel/variables/variables.index",
        "savedmodel/fingerprint.pb",
        "signature.json",
    ],
)
def test_a_changed_or_truncated_file_is_refused(product, name):
    made = product("sum-1")
    path = made.directory / name
    content = path.read_bytes()
    for changed in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1], b""):
        path.write_bytes(changed)
        with pytest.raises(DigestMismatchError, match="was promised"):
            SavedModelRuntime().load(made)


@pytest.mark.parametrize("name", ["savedmodel/saved_model.pb", "signature.json"])
def test_a_missing_file_is_named(product, name):
    made = product("sum-1")
    (made.directory / name).unlink()
    with pytest.raises(DigestMismatchError, match=f"{name} is missing; a product is"):
        SavedModelRuntime().load(replace(made, digest=tree_digest(made.directory)))


@pytest.mark.parametrize("name", ["model.onnx", "savedmodel/code.py", "savedmodel/keras_metadata.pb", "more/file"])
def test_a_file_too_many_is_refused_even_with_its_digest(product, name):
    made = product("sum-1")
    (made.directory / name).parent.mkdir(exist_ok=True)
    (made.directory / name).write_bytes(b"")
    with pytest.raises(DigestMismatchError, match="does not belong to a product"):
        SavedModelRuntime().load(replace(made, digest=tree_digest(made.directory)))


def test_links_are_refused(product, tmp_path):
    made = product("sum-1")
    graph = made.directory / "savedmodel" / "saved_model.pb"
    graph.rename(tmp_path / "elsewhere")
    graph.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DigestMismatchError, match="does not belong to a product"):
        SavedModelRuntime().load(made)
    (tmp_path / "link").symlink_to(made.directory)
    for place in ("link", "nowhere"):
        with pytest.raises(DigestMismatchError, match="is not a folder"):
            SavedModelRuntime().load(replace(made, directory=tmp_path / place))


@pytest.mark.parametrize("payload", [b"", b"not a graph at all", bytes(range(256))])
def test_bytes_that_are_no_savedmodel_are_refused(warm, product, payload):
    made = product("sum-1")
    (made.directory / "savedmodel" / "saved_model.pb").write_bytes(payload)
    with pytest.raises(FaultError, match=r"product-\d: TensorFlow cannot open the product"):
        SavedModelRuntime().load(replace(made, digest=tree_digest(made.directory)))


def test_a_savedmodel_without_its_weights_is_refused(warm, product):
    made = product("sum-1")
    shutil.rmtree(made.directory / "savedmodel" / "variables")
    with pytest.raises(FaultError, match="TensorFlow cannot open the product"):
        SavedModelRuntime().load(ProductRef(made.directory, tree_digest(made.directory), "savedmodel"))


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (
            Signature(Task.REGRESSION, (plain("y"),), ()),
            r"inputs .* `x` is float64 \(rows\) in the SavedModel and missing",
        ),
        (
            Signature(Task.REGRESSION, (plain("x", ColumnType.INT64),), ()),
            r"`x` is float64 .* and int64 \(rows\) in the",
        ),
        (replace(IMAGE, inputs=(replace(IMAGE.inputs[0], name="x"),)), r"float64 \(rows, 2, 3\) in the signature"),
        (Signature(Task.REGRESSION, (plain("x"), plain("y")), ()), "`y` is missing in the SavedModel"),
        (Signature(Task.BINARY, (plain("x"),), ("a", "b")), "outputs .* `prediction` is"),
        (Signature(Task.REGRESSION, (plain("a b"), plain("a-b")), ()), "would both be called `a_b`"),
    ],
)
def test_a_signature_that_is_not_the_savedmodels_is_refused(warm, product, signature, words):
    with pytest.raises(FaultError, match=words):
        SavedModelRuntime().load(product("sum-1", signature))


def test_a_product_that_does_not_load_leaves_the_one_before_in_place(opened, product):
    runtime = opened()
    before = runtime.pid
    with pytest.raises(FaultError):
        runtime.load(product("sum-1", Signature(Task.REGRESSION, (plain("y"),), ())))
    assert runtime.predict({"x": np.array([1.0])})["prediction"].tolist() == [1001.0]
    assert runtime.pid == before
    assert runtime.load(product("sum-2")) == SUM
    assert runtime.predict({"x": np.array([1.0])})["prediction"].tolist() == [2001.0]
