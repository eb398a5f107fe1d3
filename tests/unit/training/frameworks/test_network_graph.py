"""Graphs whose bytes do not depend on how their exporter counted."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.errors import TrainingError
from components.training.core.network_graph import write_network


def graph(prefix: str, note: str, n_inputs: int = 1) -> onnx.ModelProto:
    """Return a dense layer as an exporter would write it, with names and notes that differ from run to run."""
    entries = [helper.make_tensor_value_info(f"{prefix}in{i}", TensorProto.FLOAT, ["unk", 6]) for i in range(n_inputs)]
    leave = helper.make_tensor_value_info(f"{prefix}out", TensorProto.FLOAT, ["unk", 2])
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(6, 2), f"{prefix}w")
    nodes = [
        helper.make_node("MatMul", [f"{prefix}in0", f"{prefix}w"], [f"{prefix}7"], f"{prefix}a", doc_string=note),
        helper.make_node("Clip", [f"{prefix}7", "", ""], [f"{prefix}out"], f"{prefix}b"),
    ]
    nodes[0].metadata_props.add(key="stack_trace", value=note)
    body = helper.make_graph(nodes, f"{prefix}graph", entries, [leave], [weights])
    body.value_info.append(helper.make_tensor_value_info(f"{prefix}7", TensorProto.FLOAT, ["unk__56", 2]))
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, producer_name=note)


def test_the_same_network_gives_the_same_bytes_whatever_it_was_called(toy_task, tmp_path):
    for name, prefix in (("first", "x"), ("second", "Identity:0__")):
        write_network(graph(prefix, f"/home/{name}/model.py"), toy_task.spec, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert b"/home" not in (tmp_path / "first").read_bytes()


def test_the_graph_still_computes_the_same_under_the_names_that_were_agreed(toy_task, tmp_path):
    write_network(graph("x", ""), toy_task.spec, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert (session.get_inputs()[0].name, session.get_inputs()[0].shape) == ("features", ["rows", 6])
    (logits,) = session.run(["logits"], {"features": np.eye(6, dtype=np.float32)})
    assert (logits == np.arange(12).reshape(6, 2)).all()


def test_a_network_of_two_inputs_is_refused(toy_task, tmp_path):
    with pytest.raises(TrainingError, match="2 inputs and 1 outputs"):
        write_network(graph("x", "", n_inputs=2), toy_task.spec, tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()
