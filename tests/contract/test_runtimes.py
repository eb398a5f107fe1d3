"""One suite for every runtime: the same product, the same answers, the same refusals."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest

from components.errors import DigestMismatchError, FaultError, SchemaError
from components.runtime.memory_runtime import MemoryRuntime
from components.runtime.onnx_runtime import OnnxRuntime
from components.runtime.protocol import ModelRuntime
from components.runtime.savedmodel.runtime import SavedModelRuntime
from components.stage.files import tree_digest, write_json
from components.types.dataset import MISSING_STRING, ColumnType
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, ProductRef
from tests.saved_models import CONTRACT, saved_product


def answer(batch):
    yes = batch["hours per week"] > 40
    probabilities = np.stack([~yes, yes], axis=1).astype(np.float32)
    return {"prediction": np.where(yes, "yes", "no").astype(object), "probabilities": probabilities}


def onnx_product(folder) -> ProductRef:
    kinds = {ColumnType.FLOAT64: 11, ColumnType.INT64: 7, ColumnType.BOOL: 9, ColumnType.STRING: 8}
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Greater", ["hours per week", "limit"], ["over"]),
            node("Cast", ["over"], ["index"], to=7),
            node("OneHot", ["index", "two", "off_on"], ["probabilities"], axis=-1),
            node("Gather", ["classes", "index"], ["prediction"]),
        ],
        "product",
        [onnx.helper.make_tensor_value_info(x.name, kinds[x.type], ["rows", *x.shape]) for x in CONTRACT.inputs],
        [
            onnx.helper.make_tensor_value_info("prediction", 8, ["rows"]),
            onnx.helper.make_tensor_value_info("probabilities", 1, ["rows", 2]),
        ],
        [
            onnx.numpy_helper.from_array(np.array(40.0), "limit"),
            onnx.numpy_helper.from_array(np.array(2), "two"),
            onnx.numpy_helper.from_array(np.array([0, 1], np.float32), "off_on"),
            onnx.numpy_helper.from_array(np.array(["no", "yes"], dtype=object), "classes"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir()
    onnx.save(model, folder / GRAPH_FILE)
    write_json(folder / SIGNATURE_FILE, CONTRACT)
    return ProductRef(folder, tree_digest(folder))


@pytest.fixture(params=["onnx", "onnx with two threads", "memory", "savedmodel"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def product(kind, request, tmp_path) -> ProductRef:
    if kind == "savedmodel":
        return saved_product(request.getfixturevalue("saved_models"), "contract", tmp_path / "product")
    return onnx_product(tmp_path / "product")


@pytest.fixture
def runtime(kind, request, product) -> ModelRuntime:
    makers: dict[str, Callable[[], ModelRuntime]] = {
        "onnx": OnnxRuntime,
        "onnx with two threads": lambda: OnnxRuntime(threads=2),
        "memory": lambda: MemoryRuntime(product.digest, CONTRACT, answer),
        "savedmodel": SavedModelRuntime,
    }
    if kind == "savedmodel":
        request.getfixturevalue("warm")
    return makers[kind]()


@pytest.fixture(scope="module")
def warm(saved_models, tmp_path_factory) -> Iterator[SavedModelRuntime]:
    """Keep TensorFlow's process, which runtimes share, from one test to the next."""
    made = SavedModelRuntime()
    made.load(saved_product(saved_models, "contract", tmp_path_factory.mktemp("warm") / "product"))
    yield made
    made.close()


def batch_of(n_rows: int = 3, **changes):
    batch = {
        "hours per week": np.linspace(30, 50, n_rows),
        "age": np.full(n_rows, 30.0),
        "trips": np.arange(n_rows),
        "member": np.ones(n_rows, bool),
        "city": np.full(n_rows, "Oslo", dtype=object),
        "job": np.full(n_rows, "cook", dtype=object),
        "image": np.zeros((n_rows, 1, 2)),
    }
    return {**batch, **changes}


def test_load_returns_the_signature(runtime, product):
    assert runtime.load(product) == CONTRACT


@pytest.mark.parametrize("n_rows", [1, 3, 257])
def test_predict_answers_every_row_in_order(runtime, product, n_rows):
    runtime.load(product)
    outputs = runtime.predict(batch_of(n_rows))
    expected = answer(batch_of(n_rows))
    assert set(outputs) == {"prediction", "probabilities"}
    assert outputs["prediction"].tolist() == expected["prediction"].tolist()
    assert outputs["probabilities"].dtype == np.float32
    np.testing.assert_array_equal(outputs["probabilities"], expected["probabilities"])


def test_missing_values_are_taken_where_they_may_be(runtime, product):
    runtime.load(product)
    outputs = runtime.predict(
        batch_of(2, age=np.array([np.nan, 1.0]), job=np.array([MISSING_STRING, "cook"], dtype=object))
    )
    assert outputs["prediction"].shape == (2,)


def test_strings_may_be_fixed_width(runtime, product):
    runtime.load(product)
    assert runtime.predict(batch_of(2, city=np.array(["Oslo", "Rome"])))["prediction"].shape == (2,)


def test_another_digest_is_refused_and_the_product_before_stays(runtime, product):
    runtime.load(product)
    with pytest.raises(DigestMismatchError):
        runtime.load(replace(product, digest="0" * 64))
    assert runtime.predict(batch_of())["prediction"].shape == (3,)


def test_predicting_before_a_product_is_loaded_is_a_fault(runtime):
    with pytest.raises(FaultError, match="no product is loaded"):
        runtime.predict(batch_of())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"surplus": np.zeros(3)}, "unknown input `surplus`; expected: hours per week, age"),
        ({"trips": np.zeros(3)}, "input `trips` is float64, expected int64"),
        ({"age": np.zeros(3, np.float32)}, "input `age` is float32, expected float64"),
        ({"member": np.zeros(3, np.int64)}, "input `member` is int64, expected bool"),
        ({"city": np.zeros(3)}, "input `city` is float64, expected string"),
        ({"city": np.array(["Oslo", None, "Rome"], dtype=object)}, "`city` has NoneType in row 1, expected a string"),
        ({"city": np.array(["Oslo", "Rome", MISSING_STRING], dtype=object)}, "`city` has a missing value in row 2"),
        ({"hours per week": np.array([1, 2, np.nan])}, "`hours per week` has a missing value in row 2"),
        ({"age": np.array([1, np.inf, np.nan])}, "`age` has an infinite value in row 1"),
        ({"image": np.full((3, 1, 2), np.nan)}, "`image` has a missing value in row 0"),
        ({"image": np.zeros((3, 2))}, r"input `image` has shape \(3, 2\), expected \(n_rows, 1, 2\)"),
        ({"trips": np.arange(2)}, r"input `trips` has shape \(2,\), expected \(n_rows,\); the first input has 3 rows"),
        ({"trips": np.array(7)}, r"input `trips` has shape \(\), expected"),
        ({"hours per week": np.array(7.0)}, "input `hours per week` has shape"),
    ],
)
def test_a_batch_that_is_not_what_the_signature_asks_for_is_refused(runtime, product, changes, words):
    runtime.load(product)
    with pytest.raises(SchemaError, match=words):
        runtime.predict(batch_of(**changes))


def test_a_missing_input_is_refused_by_name(runtime, product):
    runtime.load(product)
    batch = batch_of()
    del batch["member"]
    with pytest.raises(SchemaError, match="input `member` is missing"):
        runtime.predict(batch)
    with pytest.raises(SchemaError, match="input `member` is missing"):
        runtime.predict({**batch, "surplus": np.zeros(3)})


def test_a_batch_without_rows_is_refused(runtime, product):
    runtime.load(product)
    with pytest.raises(SchemaError, match="has no rows"):
        runtime.predict({name: array[:0] for name, array in batch_of().items()})
