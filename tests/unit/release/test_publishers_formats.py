"""What Triton and TensorFlow Serving are told: valid messages of theirs, which agree with the products."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from bench.products import image_product, mixed_product, network_product, sum_product
from components.errors import ConfigError
from components.release.publishers import tensorflow_serving_config, triton_config
from components.release.publishers.proto_text import quoted
from components.release.publishers.protocol import Publication
from components.release.publishers.repository import TensorFlowServingRepository, TritonRepository
from components.types.dataset import ColumnType, Task
from components.types.product import GRAPH_FILE, InputSpec, ProductRef, Signature
from components.types.release import ModelRef, PlacedModel, TrafficSplit
from tests.publications import EVENT, KINDS, SERVER_CONFIG, Kind, onnx_versions, tree, triton_config_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def triton(tmp_path: Path) -> Kind:
    return KINDS["triton"](tmp_path)


@pytest.fixture
def tensorflow_serving(tmp_path: Path) -> Kind:
    return KINDS["tensorflow_serving"](tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


_TYPES = {
    "tensor(double)": "TYPE_FP64",
    "tensor(float)": "TYPE_FP32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(bool)": "TYPE_BOOL",
    "tensor(string)": "TYPE_STRING",
}


@pytest.mark.parametrize("make", [network_product, sum_product, mixed_product, image_product])
def test_triton_is_told_of_the_tensors_that_the_graph_has(make: Callable[[Path], ProductRef], tmp_path: Path) -> None:
    product = make(tmp_path / "product")
    _check_triton(product, tmp_path / "repository")


def test_triton_is_told_of_strings_and_several_types(table_product: ProductRef, tmp_path: Path) -> None:
    _check_triton(table_product, tmp_path / "repository")


def _check_triton(product: ProductRef, root: Path) -> None:
    placed = PlacedModel(ModelRef("taxi", 7, product.digest), product.directory, "onnx")
    TritonRepository(root).publish(Publication(EVENT, TrafficSplit("taxi", 1, stable=7), {7: placed}))
    config = triton_config_of(root / "taxi")
    graph = onnxruntime.InferenceSession(root / "taxi" / "7" / GRAPH_FILE, providers=["CPUExecutionProvider"])
    for told, nodes in ((config.input, graph.get_inputs()), (config.output, graph.get_outputs())):
        name_of = model_config_pb2.DataType.Name
        assert {each.name: (name_of(each.data_type), list(each.dims)) for each in told} == {
            node.name: (_TYPES[node.type], [-1, *node.shape[1:]]) for node in nodes
        }
    assert (config.max_batch_size, config.backend, config.default_model_filename) == (0, "onnxruntime", GRAPH_FILE)


def test_triton_never_gives_the_canary_to_who_names_no_version(triton: Kind, root: Path) -> None:
    """Triton answers such a request with the highest number among the versions of a model's policy."""
    triton.open(root).publish(triton.publication(1, stable=1, canary=3, weight=5))
    assert list(triton_config_of(root / "taxi").version_policy.specific.versions) == [1]
    assert list(triton_config_of(root / "taxi.canary").version_policy.specific.versions) == [3]
    assert sorted(path.name for path in root.glob("taxi/[0-9]*")) == ["1"]


def test_triton_sees_no_folder_that_is_no_model(triton: Kind, root: Path) -> None:
    """Triton takes every folder of a repository for a model, also one whose name begins with a dot."""
    triton.open(root).publish(triton.publication(1, stable=1, canary=2, weight=5))
    triton.open(root).publish(triton.publication(2, stable=2))
    assert [path.name for path in root.iterdir() if path.is_dir()] == ["taxi"]


def test_triton_gets_nothing_but_onnx(triton: Kind, root: Path) -> None:
    placed = {1: replace(triton.placed[1], runtime="savedmodel")}
    with pytest.raises(
        ConfigError, match="version 1 of taxi is a product for savedmodel.* takes ONNX: Triton has come"
    ):
        triton.open(root).publish(Publication(EVENT, TrafficSplit("taxi", 1, stable=1), placed))
    assert not root.exists()


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(("a", "b"), "TYPE_STRING"), ((1, 2), "TYPE_INT64"), ((False, True), "TYPE_BOOL")],
)
def test_the_prediction_has_the_type_of_the_classes(classes: tuple[Any, ...], expected: str) -> None:
    signature = Signature(Task.BINARY, (InputSpec("x", ColumnType.INT64, (), False, ("x",)),), classes)
    text = triton_config.config_text("taxi", 1, "a" * 64, signature)
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert model_config_pb2.DataType.Name(config.output[0].data_type) == expected
    assert list(config.output[1].dims) == [-1, 2]


@given(st.text())
def test_any_name_survives_protobufs_text(name: str) -> None:
    signature = Signature(Task.REGRESSION, (InputSpec(name, ColumnType.FLOAT64, (), False, ("x",)),), ())
    text = triton_config.config_text("taxi", 1, "a" * 64, signature)
    assert text_format.Parse(text, model_config_pb2.ModelConfig()).input[0].name == name
    assert quoted(name).isascii()


def test_tensorflow_serving_gets_no_onnx_and_says_what_to_do(tmp_path: Path, root: Path) -> None:
    versions = onnx_versions(tmp_path)
    with pytest.raises(ConfigError, match="takes nothing but a SavedModel; publish it to a Triton repository"):
        TensorFlowServingRepository(root).publish(Publication(EVENT, TrafficSplit("taxi", 1, stable=1), versions))
    assert not root.exists()


def test_the_server_may_see_the_folder_under_another_path(tensorflow_serving: Kind, root: Path) -> None:
    TensorFlowServingRepository(root, base_path="/models").publish(tensorflow_serving.publication(1, stable=1))
    (config,) = text_format.Parse((root / "models.config").read_text(), SERVER_CONFIG()).model_config_list.config
    assert (config.base_path, config.model_platform) == ("/models/taxi", "tensorflow")


def test_the_previous_version_stays_loaded_so_that_a_rollback_is_one_label(
    tensorflow_serving: Kind, root: Path
) -> None:
    """TensorFlow Serving refuses to move a label to a version that it has not loaded."""

    def publish(rev: int, **named: int) -> tuple[list[int], dict[str, int]]:
        TensorFlowServingRepository(root).publish(tensorflow_serving.publication(rev, **named))
        (config,) = text_format.Parse((root / "models.config").read_text(), SERVER_CONFIG()).model_config_list.config
        return list(config.model_version_policy.specific.versions), dict(config.version_labels)

    assert publish(1, stable=1, previous=3) == ([1], {"stable": 1})  # nobody published version 3 here
    assert publish(2, stable=1, canary=2, weight=5) == ([1, 2], {"stable": 1, "canary": 2})
    assert publish(3, stable=2, previous=1) == ([1, 2], {"stable": 2})
    assert publish(4, stable=1) == ([1], {"stable": 1})
    assert sorted(path.name for path in (root / "taxi").iterdir()) == ["1"]


def test_tensorflow_serving_finds_the_savedmodel_itself_in_the_versions_folder(
    tensorflow_serving: Kind, root: Path
) -> None:
    tensorflow_serving.open(root).publish(tensorflow_serving.publication(1, stable=2))
    source = tensorflow_serving.placed[2].directory / "savedmodel"
    assert tree(root / "taxi" / "2") == tree(source)
    assert set(tree(source)) == {"saved_model.pb", "variables/variables.index"}


def test_a_model_of_which_nothing_is_served_is_not_in_the_configuration() -> None:
    text = tensorflow_serving_config.config_text("/models", [(TrafficSplit("taxi", 1, previous=3), {3})])
    assert list(text_format.Parse(text, SERVER_CONFIG()).model_config_list.config) == []


_MAKE_PUBLISH_AND_LOAD = """
import sys
from pathlib import Path
import tensorflow as tf
from components.release.publishers.protocol import Publication
from components.release.publishers.repository import TensorFlowServingRepository
from components.types.release import TrafficSplit
from tests.publications import EVENT, placed_at
folder = Path(sys.argv[1])
module = tf.Module()
module.offset = tf.Variable(41.0)
module.f = tf.function(lambda x: x + module.offset, input_signature=[tf.TensorSpec([None], tf.float32)])
tf.saved_model.save(module, str(folder / "product" / "savedmodel"), signatures=module.f)
(folder / "product" / "signature.json").write_text("{}")
placed = placed_at(4, folder / "product", "savedmodel")
TensorFlowServingRepository(folder / "root").publish(Publication(EVENT, TrafficSplit("taxi", 1, stable=4), {4: placed}))
published = tf.saved_model.load(str(folder / "root" / "taxi" / "4"))
print(published.signatures["serving_default"](tf.constant([1.0]))["output_0"].numpy()[0])
"""


@pytest.mark.slow
def test_a_real_saved_model_is_loaded_from_where_it_was_published(tmp_path: Path) -> None:
    if os.environ.get("TOWPATH_FULL") != "1":
        pytest.skip("starts TensorFlow; set TOWPATH_FULL=1")
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (extra `keras`)")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _MAKE_PUBLISH_AND_LOAD, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=300)
    assert told.stdout.strip() == "42.0"
