"""Write the network of a ``.keras`` file as an ONNX graph. Knows nothing of training.

Only TensorFlow exports a free number of rows, so that a model trained on another backend is loaded on it.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from pathlib import Path

from components.training.core.light_import import light_import
from components.training.core.network_graph import FEATURES, write_network
from components.types.training import TrainingTask


def export(task: TrainingTask, native: tuple[Path, ...], network: Path) -> None:
    """Load the ``.keras`` file on TensorFlow, and write its network as an ONNX graph.

    A layer of the user's own is found once the architecture's file is imported, where it registers itself.
    """
    os.environ |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    with light_import("PIL", "jax", "matplotlib", "pandas", "scipy", "sklearn", "torch"):
        import keras
    import onnx

    importlib.import_module(f"components.models.{task.kind}.{task.architecture}")
    model = keras.saving.load_model(native[0], compile=False, safe_mode=True)
    rows = keras.InputSpec(shape=(None, task.spec.n_features), dtype="float32", name=FEATURES)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras asks numpy for what it no longer has
        written = Path(folder) / network.name
        model.export(written, format="onnx", verbose=False, input_signature=[rows])
        graph = onnx.load(str(written))
    write_network(graph, task.spec, network)
