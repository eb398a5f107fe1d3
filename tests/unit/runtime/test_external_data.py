"""The walk over the wire format finds external tensors wherever ONNX allows one, and nothing else."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from components.runtime.external_data import has_external_data

INSIDE = numpy_helper.from_array(np.ones(3, np.float32), "location")
OUTSIDE = onnx.TensorProto(name="w", data_type=1, dims=[3], data_location=onnx.TensorProto.EXTERNAL)


def graph(initializers=(), nodes=()):
    return helper.make_graph(list(nodes), "g", [], [], list(initializers))


def constant(tensor, **attributes):
    return helper.make_node("Constant", [], ["c"], value=tensor, **attributes)


def sparse(tensor):
    return onnx.SparseTensorProto(values=tensor, indices=numpy_helper.from_array(np.array([0, 1, 2])), dims=[9])


def places(tensor):
    """Yield a model with the tensor in each place that may hold one."""
    yield helper.make_model(graph([tensor]))
    yield helper.make_model(graph(nodes=[constant(tensor)]))
    inner = graph(nodes=[constant(tensor)])
    yield helper.make_model(graph(nodes=[helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=graph())]))
    yield helper.make_model(graph(nodes=[helper.make_node("Custom", [], ["y"], tensors=[tensor])]))
    yield helper.make_model(graph(nodes=[helper.make_node("Custom", [], ["y"], graphs=[inner])]))
    yield helper.make_model(graph(nodes=[helper.make_node("Constant", [], ["y"], sparse_value=sparse(tensor))]))
    model = helper.make_model(graph())
    model.graph.sparse_initializer.append(sparse(tensor))
    yield model
    function = helper.make_function("f", "F", [], ["c"], [constant(tensor)], [helper.make_opsetid("", 18)])
    yield helper.make_model(graph(), functions=[function])
    model = helper.make_model(graph())
    model.training_info.add(algorithm=inner)
    yield model


def test_an_external_tensor_is_found_wherever_it_is():
    for number, model in enumerate(places(OUTSIDE)):
        assert has_external_data(model.SerializeToString()), number


def test_a_graph_that_holds_its_tensors_passes_whatever_its_names_are():
    for number, model in enumerate(places(INSIDE)):
        assert not has_external_data(model.SerializeToString()), number


def test_a_location_without_the_flag_is_external_too():
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[3])
    tensor.external_data.add(key="location", value="w.bin")
    assert has_external_data(helper.make_model(graph([tensor])).SerializeToString())


@pytest.mark.parametrize("cut", [1, 7, 20, 33])
def test_a_truncated_message_is_no_message(cut):
    payload = helper.make_model(graph([INSIDE])).SerializeToString()
    with pytest.raises(ValueError, match="cut short"):
        for length in range(len(payload) - cut, len(payload)):
            has_external_data(payload[:length])
