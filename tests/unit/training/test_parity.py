"""Is the product what the framework trained? A product that is not must not pass."""

import dataclasses
import math

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from components.errors import ParityError, TrainingError
from components.runtime.memory_runtime import MemoryRuntime
from components.training.core.parity import measure_parity, require_parity
from components.types.dataset import Task
from components.types.product import ProductRef, Signature
from components.types.training import TrainedModel

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], dtype=np.float32)


@pytest.fixture
def compare(tmp_path, spec):
    """Return the difference between a framework's output and a product's."""
    pq.write_table(pa.table({"fare": [1.0, 2.0, 3.0]}), tmp_path / "validation.parquet")

    def measure(expected, outputs, name="probabilities", changed=None):
        spec_now = dataclasses.replace(spec, **(changed or {}))
        np.save(tmp_path / "output.npy", np.asarray(expected, dtype=np.float32))
        if name is not None:
            write_network(tmp_path / "network.onnx", name)
        network = tmp_path / "network.onnx" if name is not None else None
        raw = None if name is not None else tmp_path
        trained = TrainedModel(network, raw, (), tmp_path / "output.npy", "none", 1, 1, 0)
        signature = Signature(spec_now.task, spec_now.inputs, spec_now.classes)
        runtime = MemoryRuntime("0" * 64, signature, lambda batch: outputs)
        runtime.load(ProductRef(tmp_path, "0" * 64))
        return measure_parity(runtime, signature, tmp_path, spec_now, trained)

    return measure


def write_network(path, name):
    info = [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["rows", 2]) for each in ("features", name)]
    graph = helper.make_graph([helper.make_node("Identity", ["features"], [name])], "network", info[:1], info[1:])
    onnx.save(helper.make_model(graph), path)


def answer(probabilities, labels=None):
    names = np.array(["no", "yes"], dtype=object)
    prediction = names[probabilities.argmax(axis=1)] if labels is None else np.array(labels, dtype=object)
    return {"prediction": prediction, "probabilities": probabilities}


REGRESSION = {"task": Task.REGRESSION, "classes": (), "class_weights": (), "target_mean": 1e6, "target_scale": 1e5}


def test_equal_probabilities_differ_by_nothing(compare):
    assert compare(PROBABILITIES, answer(PROBABILITIES)) == 0.0


def test_one_row_that_differs_is_found(compare):
    shifted = PROBABILITIES.copy()
    shifted[2] = [0.3, 0.7]

    assert compare(PROBABILITIES, answer(shifted)) == pytest.approx(0.1, abs=1e-6)


def test_logits_are_compared_as_probabilities(compare):
    assert compare(np.log(PROBABILITIES) + 7, answer(PROBABILITIES), "logits") < 1e-6


def test_labels_in_another_order_than_the_probabilities_are_refused(compare):
    with pytest.raises(ParityError, match="largest probabilities"):
        compare(PROBABILITIES, answer(PROBABILITIES, ["yes", "no", "no"]))


def test_number_is_compared_in_standard_deviations(compare):
    outputs = {"prediction": np.array([1e6, 1.1e6, 1.2e6 + 10])}

    assert compare([[0.0], [1.0], [2.0]], outputs, "value", REGRESSION) == pytest.approx(1e-4, rel=1e-3)


def test_raw_product_is_compared_in_the_targets_units(compare):
    outputs = {"prediction": np.array([1e6, 1.1e6, 1.2e6])}

    assert compare([1e6, 1.1e6, 1.2e6], outputs, None, REGRESSION) == 0.0


@pytest.mark.parametrize("expected", [PROBABILITIES[:2], PROBABILITIES[:, :1], np.repeat(PROBABILITIES, 2, axis=0)])
def test_output_of_another_shape_is_refused(compare, expected):
    with pytest.raises(TrainingError, match="has shape"):
        compare(expected, answer(PROBABILITIES))


def test_framework_that_predicts_no_number_is_refused(compare):
    broken = PROBABILITIES.copy()
    broken[1, 0] = math.nan

    with pytest.raises(TrainingError, match="row 1"):
        compare(broken, answer(PROBABILITIES))


@pytest.mark.parametrize("parity", [1.01e-4, math.nan, math.inf])
def test_difference_above_the_bound_is_refused(parity):
    with pytest.raises(ParityError, match="allowed is 0.0001"):
        require_parity(parity, 1e-4, "training t")


def test_difference_at_the_bound_passes():
    require_parity(1e-4, 1e-4, "training t")
