"""A SavedModel is made worse for a proof as a graph is: another product that answers, and answers something else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.errors import FaultError
from components.evaluation.proof.degrade import shuffle_weights
from components.runtime.table import find_runtime
from components.stage.files import tree_digest, write_json
from components.types.dataset import ColumnType, Task
from components.types.product import SAVED_MODEL_DIR, SIGNATURE_FILE, InputSpec, ProductRef, Signature

pytestmark = pytest.mark.slow
ROWS = np.linspace(-2.0, 2.0, 9)
SIGNATURE = Signature(Task.REGRESSION, (InputSpec("x", ColumnType.FLOAT64, (), False, ("x",)),), ())
WRITE = """
import sys, tensorflow as tf
module = tf.Module()
module.weights = [tf.Variable([[1.0, -2.0, 3.0]], dtype=tf.float64), tf.Variable([[2.0], [0.5], [1.0]], dtype=tf.float64)]
def serve(x):
    used = module.weights if sys.argv[2] == "weights" else [tf.ones([1, 3], tf.float64), tf.ones([3, 1], tf.float64)]
    return {"prediction": tf.reshape(tf.nn.relu(tf.reshape(x, [-1, 1]) @ used[0]) @ used[1], [-1])}
module.serve = tf.function(serve, input_signature=[tf.TensorSpec([None], tf.float64, name="x")], autograph=False)
tf.saved_model.save(module, sys.argv[1], signatures={"serving_default": module.serve})
"""  # noqa: E501


def written(folder: Path, made_of: str) -> ProductRef:
    command = [sys.executable, "-c", WRITE, str(folder / SAVED_MODEL_DIR), made_of]
    subprocess.run(command, check=True, capture_output=True)
    write_json(folder / SIGNATURE_FILE, SIGNATURE)
    return ProductRef(folder, tree_digest(folder), "savedmodel")


def answers(product: ProductRef) -> np.ndarray:
    runtime = find_runtime(product.runtime)()
    runtime.load(product)
    try:
        return np.asarray(runtime.predict({"x": ROWS})["prediction"])
    finally:
        runtime.close()


def test_a_shuffled_savedmodel_is_another_product_that_still_answers(tmp_path: Path) -> None:
    product = written(tmp_path / "product", "weights")
    worse = shuffle_weights(product, tmp_path / "worse", seed=0)
    assert tree_digest(product.directory) == product.digest
    assert worse.digest == tree_digest(worse.directory) != product.digest
    assert worse.runtime == "savedmodel"
    assert not np.allclose(answers(worse), answers(product))


def test_one_without_weights_cannot_be_made_worse(tmp_path: Path) -> None:
    product = written(tmp_path / "product", "constants")
    with pytest.raises(FaultError, match="holds no weights"):
        shuffle_weights(product, tmp_path / "worse", seed=0)
    assert not (tmp_path / "worse").exists()
