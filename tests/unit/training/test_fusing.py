"""Fusing a network behind its preprocessing: every kind of output and label, every version, and what is refused."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.errors import TrainingError
from components.runtime.onnx_runtime import OnnxRuntime
from components.stage.files import tree_digest, write_json
from components.training.core.product import fuse
from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec
from components.types.training import PreparedSpec

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = ("education-num", "hours per week", "network/weights")
"""Names an exporter would rewrite, and one that our own prefix could meet."""
WEIGHTS = np.array([[0.5, -1.0, 0.25], [0.1, 0.2, -0.3], [1.0, 0.0, 2.0]], np.float32)
BATCH = {name: np.random.default_rng(seed).normal(size=20) for seed, name in enumerate(COLUMNS)}
FEATURES = np.stack([BATCH[name] for name in COLUMNS], axis=1).astype(np.float32)
CLASSES = {"strings": ("a", "b", "ö"), "numbers": (3, 5, -7), "booleans": (False, True)}


def spec_of(classes=(), task=None, **changes) -> PreparedSpec:
    default = Task.REGRESSION if not classes else Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    spec = PreparedSpec(
        model="m",
        task=task or default,
        inputs=tuple(InputSpec(n, ColumnType.FLOAT64, (), nullable=False, columns=(n,)) for n in COLUMNS),
        classes=classes,
        class_weights=(),
        target_mean=0.0,
        target_scale=1.0,
        feature_names=COLUMNS,
        image_shape=None,
        rows={},
        dataset_digest="0" * 64,
        id_column="id",
        label_column="y",
    )
    return replace(spec, **changes)


def save(path: Path, graph, opset=18, ir_version=10, ml=None, **options) -> Path:
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("ai.onnx.ml", ml)] if ml else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path, **options)
    return path


@pytest.fixture
def preprocessing(tmp_path) -> Path:
    nodes = [
        helper.make_node("Concat", COLUMNS, ["prepare/line"], axis=0),
        helper.make_node("Reshape", ["prepare/line", "prepare/shape"], ["prepare/stacked"]),
        helper.make_node("Transpose", ["prepare/stacked"], ["prepare/table"], perm=[1, 0]),
        helper.make_node("Cast", ["prepare/table"], ["features"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in COLUMNS]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 3])]
    constants = [numpy_helper.from_array(np.array([3, -1]), "prepare/shape")]
    return save(tmp_path / "preprocessing.onnx", helper.make_graph(nodes, "g", inputs, outputs, constants), ml=4)


def network_graph(output: str, width: int, rows="batch", n_features=3, entry="features", **node_options):
    return helper.make_graph(
        [helper.make_node("MatMul", [entry, "weights"], [output], **node_options)],
        "network",
        [helper.make_tensor_value_info(entry, TensorProto.FLOAT, [rows, n_features])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [rows, width])],
        [numpy_helper.from_array(WEIGHTS[:, :width], "weights")],
    )


def softmax(values):
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predict(product):
    runtime = OnnxRuntime()
    runtime.load(product)
    return runtime.predict(BATCH)


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize("kind", CLASSES)
def test_a_classifier_answers_in_the_users_own_labels(tmp_path, preprocessing, output, kind):
    classes = CLASSES[kind]
    network = save(tmp_path / "network.onnx", network_graph(output, len(classes)))
    outputs = predict(fuse(preprocessing, network, spec_of(classes), tmp_path / "product"))
    scores = FEATURES @ WEIGHTS[:, : len(classes)]
    np.testing.assert_allclose(outputs["probabilities"], softmax(scores) if output == "logits" else scores, rtol=1e-5)
    assert outputs["prediction"].tolist() == [classes[index] for index in scores.argmax(axis=1)]
    assert len(set(outputs["prediction"].tolist())) > 1, "a test of labels needs more than one"


def test_a_regression_answers_in_the_targets_units_in_float64(tmp_path, preprocessing):
    network = save(tmp_path / "network.onnx", network_graph("value", 1))
    spec = spec_of(target_mean=1e9, target_scale=0.5)
    outputs = predict(fuse(preprocessing, network, spec, tmp_path / "product"))
    assert set(outputs) == {"prediction"}
    assert outputs["prediction"].dtype == np.float64
    np.testing.assert_allclose(outputs["prediction"] - 1e9, (FEATURES @ WEIGHTS[:, :1]).ravel() * 0.5, rtol=1e-5)


@pytest.mark.parametrize(("opset", "ir_version"), [(13, 7), (17, 8), (18, 10), (20, 9), (21, 11), (23, 13), (26, 13)])
def test_graphs_of_different_versions_are_made_equal(tmp_path, preprocessing, opset, ir_version):
    network = save(tmp_path / "network.onnx", network_graph("logits", 3), opset, ir_version)
    product = fuse(preprocessing, network, spec_of(CLASSES["strings"]), tmp_path / "product")
    np.testing.assert_allclose(predict(product)["probabilities"], softmax(FEATURES @ WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("ml", [1, 3, 5])
def test_a_network_of_classical_operators_is_fused_too(tmp_path, preprocessing, ml):
    node = helper.make_node(
        "LinearClassifier",
        ["features"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=WEIGHTS.T.ravel().tolist(),
        intercepts=[0.0] * 3,
        classlabels_ints=[0, 1, 2],
        post_transform="SOFTMAX",
    )
    graph = network_graph("probabilities", 3)
    del graph.node[:]
    graph.node.append(node)
    network = save(tmp_path / "network.onnx", graph, opset=21, ml=ml)
    product = fuse(preprocessing, network, spec_of(CLASSES["strings"]), tmp_path / "product")
    np.testing.assert_allclose(predict(product)["probabilities"], softmax(FEATURES @ WEIGHTS), rtol=1e-5)


def test_columns_keep_their_names_in_the_signatures_order(tmp_path, preprocessing):
    network = save(tmp_path / "network.onnx", network_graph("logits", 3, entry="education-num"))
    spec = spec_of(CLASSES["strings"])
    spec = replace(spec, inputs=tuple(reversed(spec.inputs)))
    product = fuse(preprocessing, network, spec, tmp_path / "product")
    model = onnx.load(product.directory / "model.onnx")
    assert [each.name for each in model.graph.input] == list(reversed(COLUMNS))
    assert [each.name for each in model.graph.output] == ["prediction", "probabilities"]
    assert sorted(path.name for path in product.directory.iterdir()) == ["model.onnx", "signature.json"]
    np.testing.assert_allclose(predict(product)["probabilities"], softmax(FEATURES @ WEIGHTS), rtol=1e-5)


def test_weights_in_files_beside_the_network_end_up_in_the_product(tmp_path, preprocessing):
    options = {"save_as_external_data": True, "location": "network.data", "size_threshold": 0}
    network = save(tmp_path / "network.onnx", network_graph("logits", 3), **options)
    assert (tmp_path / "network.data").exists()
    product = fuse(preprocessing, network, spec_of(CLASSES["strings"]), tmp_path / "product")
    (tmp_path / "network.data").unlink()
    np.testing.assert_allclose(predict(product)["probabilities"], softmax(FEATURES @ WEIGHTS), rtol=1e-5)


def test_local_functions_are_put_in_place(tmp_path, preprocessing):
    opsets = [helper.make_opsetid("", 18)]
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    function = helper.make_function("local", "Dense", ["a", "b"], ["c"], body, opsets)
    graph = network_graph("logits", 3)
    del graph.node[:]
    graph.node.append(helper.make_node("Dense", ["features", "weights"], ["logits"], domain="local"))
    imports = [*opsets, helper.make_opsetid("local", 1)]
    path = tmp_path / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10, functions=[function]), path)
    product = fuse(preprocessing, path, spec_of(CLASSES["strings"]), tmp_path / "product")
    np.testing.assert_allclose(predict(product)["probabilities"], softmax(FEATURES @ WEIGHTS), rtol=1e-5)


def test_what_an_exporter_wrote_about_itself_does_not_reach_the_product(tmp_path, preprocessing):
    digests = set()
    for note in ("/home/ada/train.py, line 7", "/home/bob/train.py, line 9"):
        graph = network_graph("logits", 3, doc_string=note)
        graph.doc_string = note
        graph.node[0].metadata_props.add(key="stack_trace", value=note)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, producer_name=note)
        model.metadata_props.add(key="source", value=note)
        onnx.save(model, tmp_path / "network.onnx")
        product = fuse(preprocessing, tmp_path / "network.onnx", spec_of(CLASSES["strings"]), tmp_path / "product")
        assert b"/home/" not in (product.directory / "model.onnx").read_bytes()
        digests.add(product.digest)
    assert len(digests) == 1


def test_two_processes_write_the_same_bytes(tmp_path, preprocessing):
    save(tmp_path / "network.onnx", network_graph("logits", 3), opset=21)
    write_json(tmp_path / "spec.json", spec_of(CLASSES["strings"]))
    code = (
        "import sys; from pathlib import Path; from components.training.core.product import fuse; "
        "from components.types import record; from components.types.training import PreparedSpec; "
        "print(fuse(Path('preprocessing.onnx'), Path('network.onnx'), "
        "record.read(PreparedSpec, Path('spec.json')), Path(sys.argv[1])).digest)"
    )
    digests = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, f"product-{seed}"]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        digests.add(result.stdout.strip())
        assert tree_digest(tmp_path / f"product-{seed}") in digests
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("graph", "classes", "words"),
    [
        (network_graph("scores", 3), "strings", "to `scores`; a network for multiclass has one input and one output"),
        (network_graph("value", 1), "strings", "named logits or probabilities"),
        (network_graph("logits", 2), "strings", r"`logits` is float of shape \[None, 2\]; expected .* 3\)"),
        (network_graph("logits", 3, n_features=4), "strings", r"`features` is float of shape \[None, 4\]"),
        (network_graph("logits", 3, rows=1), "strings", r"\[1, 3\]; expected float of shape \(any number of rows, 3\)"),
        (network_graph("logits", 2), None, "a network for regression has one input and one output named value"),
    ],
)
def test_a_network_of_another_form_is_refused_and_nothing_is_written(tmp_path, preprocessing, graph, classes, words):
    network = save(tmp_path / "network.onnx", graph)
    spec = spec_of(CLASSES[classes] if classes else ())
    with pytest.raises(TrainingError, match=words):
        fuse(preprocessing, network, spec, tmp_path / "product")
    assert not (tmp_path / "product").exists()


def test_a_number_of_rows_baked_into_the_network_is_found_by_running_it(tmp_path, preprocessing):
    graph = network_graph("logits", 3)
    graph.node[0].output[0] = "flat"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 3]), "one_row"))
    graph.node.append(helper.make_node("Reshape", ["flat", "one_row"], ["logits"]))
    graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(TrainingError, match="cannot be fused behind the preprocessing"):
        fuse(preprocessing, save(tmp_path / "n.onnx", graph), spec_of(CLASSES["strings"]), tmp_path / "product")


def test_a_network_that_cannot_be_read_or_run_is_a_training_error(tmp_path, preprocessing):
    spec = spec_of(CLASSES["strings"])
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(TrainingError, match="is no ONNX graph that can be read"):
        fuse(preprocessing, tmp_path / "broken.onnx", spec, tmp_path / "product")
    graph = network_graph("logits", 3)
    graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(TrainingError, match="NoSuchOperator"):
        fuse(preprocessing, save(tmp_path / "n.onnx", graph), spec, tmp_path / "product")


def test_a_preprocessing_of_other_columns_is_refused(tmp_path, preprocessing):
    network = save(tmp_path / "network.onnx", network_graph("logits", 3))
    spec = spec_of(CLASSES["strings"])
    spec = replace(spec, inputs=spec.inputs[:2])
    with pytest.raises(TrainingError, match="not the inputs that were prepared"):
        fuse(preprocessing, network, spec, tmp_path / "product")


def test_a_product_is_replaced_whole(tmp_path, preprocessing):
    (tmp_path / "product").mkdir()
    (tmp_path / "product" / "left over").write_text("from before")
    network = save(tmp_path / "network.onnx", network_graph("logits", 3))
    fuse(preprocessing, network, spec_of(CLASSES["strings"]), tmp_path / "product")
    assert not (tmp_path / "product" / "left over").exists()
