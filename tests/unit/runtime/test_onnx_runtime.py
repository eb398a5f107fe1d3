"""What the ONNX runtime refuses to load: bytes, files and graphs that are not the product that was promised."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from components.errors import DigestMismatchError, FaultError, SchemaError
from components.runtime import onnx_runtime
from components.runtime.onnx_runtime import OnnxRuntime
from components.stage.files import tree_digest, write_json
from components.types.dataset import ColumnType, Task
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, InputSpec, ProductRef, Signature

ROOT = Path(__file__).resolve().parents[3]
SPEC = InputSpec("x", ColumnType.FLOAT64, (), nullable=False, columns=("x",))
SIGNATURE = Signature(Task.REGRESSION, (SPEC,), ())


def make_model(nodes, *, inputs=None, outputs=None, constants=()):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, *names, **attributes) for operator, *names, attributes in nodes],
        "g",
        inputs or [onnx.helper.make_tensor_value_info("x", 11, ["rows"])],
        outputs or [onnx.helper.make_tensor_value_info("prediction", 11, ["rows"])],
        list(constants),
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


DOUBLE = make_model([("Add", ["x", "x"], ["prediction"], {})])


def write(folder: Path, model=DOUBLE, signature=SIGNATURE) -> ProductRef:
    folder.mkdir(exist_ok=True)
    payload = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / GRAPH_FILE).write_bytes(payload)
    write_json(folder / SIGNATURE_FILE, signature)
    return ProductRef(folder, tree_digest(folder))


def test_a_whole_product_loads_and_predicts(tmp_path):
    runtime = OnnxRuntime()
    assert runtime.load(write(tmp_path / "p")) == SIGNATURE
    assert runtime.predict({"x": np.array([1.5, 2])})["prediction"].tolist() == [3, 4]


@pytest.mark.parametrize("name", [GRAPH_FILE, SIGNATURE_FILE])
def test_a_changed_truncated_or_missing_file_is_refused(tmp_path, name):
    product = write(tmp_path / "p")
    path = tmp_path / "p" / name
    content = path.read_bytes()
    for changed in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1], b"", content + b" "):
        path.write_bytes(changed)
        with pytest.raises(DigestMismatchError, match="was promised"):
            OnnxRuntime().load(product)
    path.unlink()
    with pytest.raises(DigestMismatchError, match="is incomplete"):
        OnnxRuntime().load(product)


def test_another_products_files_are_refused(tmp_path):
    product = write(tmp_path / "p")
    write(tmp_path / "p", make_model([("Mul", ["x", "x"], ["prediction"], {})]))
    with pytest.raises(DigestMismatchError, match="was promised"):
        OnnxRuntime().load(product)


def test_a_file_too_many_a_folder_and_a_link_are_refused_even_with_their_digest(tmp_path):
    write(tmp_path / "p")
    (tmp_path / "p" / "weights.bin").write_bytes(b"1234")
    with pytest.raises(DigestMismatchError, match="does not belong to a product"):
        OnnxRuntime().load(ProductRef(tmp_path / "p", tree_digest(tmp_path / "p")))
    (tmp_path / "p" / "weights.bin").unlink()
    (tmp_path / "p" / "more").mkdir()
    with pytest.raises(DigestMismatchError, match="does not belong to a product"):
        OnnxRuntime().load(ProductRef(tmp_path / "p", tree_digest(tmp_path / "p")))
    (tmp_path / "p" / "more").rmdir()
    digest = tree_digest(tmp_path / "p")
    (tmp_path / "p" / GRAPH_FILE).rename(tmp_path / "elsewhere")
    (tmp_path / "p" / GRAPH_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DigestMismatchError, match="does not belong to a product"):
        OnnxRuntime().load(ProductRef(tmp_path / "p", digest))


def test_a_link_to_a_product_and_a_missing_folder_are_refused(tmp_path):
    product = write(tmp_path / "p")
    (tmp_path / "link").symlink_to(tmp_path / "p")
    for place in ("link", "nowhere"):
        with pytest.raises(DigestMismatchError, match="is not a folder"):
            OnnxRuntime().load(ProductRef(tmp_path / place, product.digest))


def external_model(value: str):
    tensor = onnx.TensorProto(name="w", data_type=11, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=value)
    return make_model([("Add", ["x", "w"], ["prediction"], {})], constants=[tensor])


@pytest.mark.parametrize("place", ["weights.bin", "signature.json", "model.onnx", "../secret", "/etc/passwd"])
def test_a_graph_whose_weights_lie_in_another_file_is_refused(tmp_path, place):
    with pytest.raises(FaultError, match="keeps tensors in other files"):
        OnnxRuntime().load(write(tmp_path / "p", external_model(place)))


@pytest.mark.parametrize("payload", [b"", b"\x0a", b"not a graph at all", bytes(range(256))])
def test_bytes_that_are_no_graph_are_refused(tmp_path, payload):
    with pytest.raises(FaultError):
        OnnxRuntime().load(write(tmp_path / "p", payload))


def test_a_graph_that_onnxruntime_cannot_load_is_refused(tmp_path):
    unknown = make_model([("NoSuchOperator", ["x"], ["prediction"], {})])
    with pytest.raises(FaultError, match="cannot be loaded by onnxruntime"):
        OnnxRuntime().load(write(tmp_path / "p", unknown))


def other(name="x", kind=ColumnType.FLOAT64, shape=()):
    return InputSpec(name, kind, shape, nullable=False, columns=(name,))


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (
            Signature(Task.REGRESSION, (other("y"),), ()),
            "inputs .* `x` is .* in the graph and missing in the signature",
        ),
        (
            Signature(Task.REGRESSION, (other(kind=ColumnType.INT64),), ()),
            r"`x` is \('tensor\(double\)', \[\]\) in the",
        ),
        (Signature(Task.REGRESSION, (other(shape=(2, 2)),), ()), r"\[2, 2\]\) in the signature"),
        (Signature(Task.REGRESSION, (other(), other("y")), ()), "`y` is missing in the graph"),
        (Signature(Task.BINARY, (other(),), ("a", "b")), "outputs .* `prediction` is"),
        (Signature(Task.BINARY, (other(),), (0, 1)), "outputs .* `prediction` is"),
    ],
)
def test_a_signature_that_is_not_the_graphs_is_refused(tmp_path, signature, words):
    with pytest.raises(FaultError, match=words):
        OnnxRuntime().load(write(tmp_path / "p", DOUBLE, signature))


def test_a_graph_for_a_fixed_number_of_rows_is_refused(tmp_path):
    inputs = [onnx.helper.make_tensor_value_info("x", 11, [1])]
    outputs = [onnx.helper.make_tensor_value_info("prediction", 11, [1])]
    fixed = make_model([("Add", ["x", "x"], ["prediction"], {})], inputs=inputs, outputs=outputs)
    with pytest.raises(FaultError, match="the graph's inputs"):
        OnnxRuntime().load(write(tmp_path / "p", fixed))


def test_a_signature_that_is_none_is_refused(tmp_path):
    write(tmp_path / "p")
    for content in ("{}", "[]", "nothing", '{"task": "ranking", "inputs": [], "classes": []}'):
        (tmp_path / "p" / SIGNATURE_FILE).write_text(content)
        with pytest.raises(FaultError, match="is not a signature"):
            OnnxRuntime().load(ProductRef(tmp_path / "p", tree_digest(tmp_path / "p")))


def test_a_graph_that_gives_no_number_is_a_fault_of_the_product(tmp_path):
    log = make_model([("Log", ["x"], ["prediction"], {})])
    runtime = OnnxRuntime()
    with pytest.raises(FaultError, match="prediction for row 0 is not a finite number"):
        runtime.load(write(tmp_path / "p", log))
    root = make_model([("Sqrt", ["x"], ["prediction"], {})])
    runtime.load(write(tmp_path / "p", root))
    with pytest.raises(FaultError, match="prediction for row 1 is not a finite number"):
        runtime.predict({"x": np.array([4.0, -4.0])})


def test_a_product_that_does_not_load_leaves_the_one_before_in_place(tmp_path):
    runtime = OnnxRuntime()
    runtime.load(write(tmp_path / "good"))
    with pytest.raises(FaultError):
        runtime.load(write(tmp_path / "bad", b""))
    assert runtime.predict({"x": np.array([1.0])})["prediction"].tolist() == [2]


def test_every_error_of_onnxruntime_becomes_one_of_ours():
    bindings = onnxruntime.capi.onnxruntime_pybind11_state
    kinds = [
        each
        for each in vars(bindings).values()
        if isinstance(each, type) and issubclass(each, Exception) and each.__module__ == bindings.__name__
    ]
    assert len(kinds) > 5

    class Session:
        def __init__(self, kind):
            self.kind = kind
            self._sess = self

        def run(self, *_):
            raise self.kind("it says so")

    for kind in kinds:
        with pytest.raises((SchemaError, FaultError), match="it says so"):
            onnx_runtime._run(Session(kind), SIGNATURE, {})


def test_the_runtime_imports_neither_arrow_nor_onnx_nor_polars():
    code = (
        "import sys; import components.runtime.onnx_runtime, components.runtime.table; "
        "found = {'pyarrow', 'polars', 'pandas', 'onnx', 'pydantic', 'yaml'} & set(sys.modules); "
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
