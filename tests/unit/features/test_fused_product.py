"""The whole way: a prepared table, a network behind it, and a product that predicts from the raw columns."""

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.errors import SchemaError
from components.runtime.onnx_runtime import OnnxRuntime
from components.runtime.tensors import input_tensors
from components.training.core.product import fuse


@pytest.fixture(params=[13, 18, 21, 26])
def trained(request, project, people):
    """Prepare a table with every type of column, and fuse a linear network of one operator set behind it."""
    project.write(people(), "label", {"task": "binary"})
    spec = project.prepare().spec
    weights = np.random.default_rng(0).normal(size=(spec.n_features, 2)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["logits"])],
        "network",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", spec.n_features])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", request.param)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), project.root / "network.onnx")
    product = fuse(
        project.prepared / "preprocessing.onnx", project.root / "network.onnx", spec, project.root / "product"
    )
    runtime = OnnxRuntime()
    return spec, runtime, runtime.load(product), weights


def test_a_product_predicts_from_raw_columns_what_the_network_predicts_from_features(project, trained):
    spec, runtime, signature, weights = trained
    outputs = runtime.predict(input_tensors(project.rows("validation"), signature.inputs))
    logits = project.features("validation") @ weights
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    assert outputs["prediction"].tolist() == [spec.classes[index] for index in expected.argmax(axis=1)]


def test_one_row_and_a_batch_agree(project, trained):
    _, runtime, signature, _ = trained
    tensors = input_tensors(project.rows("test"), signature.inputs)
    together = runtime.predict(tensors)["probabilities"]
    for row in range(25):
        alone = runtime.predict({name: array[row : row + 1] for name, array in tensors.items()})["probabilities"]
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-6)


def test_gaps_are_taken_where_training_had_them_and_refused_elsewhere(project, trained):
    _, runtime, signature, _ = trained
    nullable = {"height", "cars", "insured", "job"}
    assert {each.name for each in signature.inputs if each.nullable} == nullable
    row = project.rows("test").slice(0, 1)

    def without(name):
        return row.set_column(row.schema.get_field_index(name), name, pa.nulls(1, row.schema.field(name).type))

    for spec in signature.inputs:
        if spec.name in nullable:
            runtime.predict(input_tensors(without(spec.name), signature.inputs))
        else:
            with pytest.raises(SchemaError, match=f"`{spec.name}` has a missing value in row 0"):
                input_tensors(without(spec.name), signature.inputs)
