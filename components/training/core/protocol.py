"""What an adapter of a framework provides, and the files it meets. Standard library only.

A kind is three things, found by its name: a class that fits (`Trainer`, in ``components/training/<kind>_trainer.py``),
a function ``export`` (`Export`, in ``components/training/<kind>/export.py``) and architectures
(``components/models/<kind>/<architecture>.py``, each with ``build(task)``). The pipeline runs ``fit`` in one process
and ``export`` in a fresh one; neither may know MLflow, Prefect, DVC, pydantic or YAML.

The trainer's and the architecture's files each name the keys of the configuration that they use, in a constant
``PARAMETERS``: a tuple of names, or a mapping from names to defaults of their own (a literal: the pipeline reads it
without importing the file). ``task.parameters`` holds those keys and the ones that every training has; a key that
nobody declares is refused when the user sets it, so that no option is read and ignored. The user's own function
declares its options as ``options.<name>``, with a default, and reads them as ``task.parameters["options.<name>"]``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from components.types.training import TrainedModel, TrainingTask

NATIVE_DIR = "native"
NETWORK_FILE = "network.onnx"
VALIDATION_OUTPUT_FILE = "validation_output.npy"

OUTPUT_NAMES = ("logits", "probabilities", "value")
"""What a network's one output may be called; the name says how the product goes on from there."""


class Trainer(Protocol):
    """Fits one training; constructed without arguments in the framework's own process."""

    def fit(self, task: TrainingTask) -> TrainedModel:
        """Train on the train split, choose the best epoch on the validation split, and write files.

        Under ``task.output_dir`` it writes ``native/`` (the framework's own files, without a time or a path in them),
        the metrics (through `components.training.core.journal.EpochJournal`) and the output on the validation features
        (`validation_output_path`). `TrainedModel.network` is `network_path`, which `Export` then writes.

        Raises:
            TowpathError: in the user's words: what was wrong and what to do. Any other error is reported as a
                `TrainingError` with the framework's own words.
        """
        ...


class Export(Protocol):
    """Writes a fitted network as an ONNX graph, in a fresh process."""

    def __call__(self, task: TrainingTask, native: tuple[Path, ...], network: Path) -> None:
        """Read `native` (what `Trainer.fit` gave back) and write the graph to `network`.

        The graph has one input ``features``, float32 of shape (n_rows, n_features) with a free first dimension, and one
        output named ``logits``, ``probabilities`` (both float32 of shape (n_rows, n_classes)) or ``value`` (float32 of
        shape (n_rows, 1)). The same files must give the same bytes.
        """
        ...


def native_dir(task: TrainingTask) -> Path:
    """Return the folder of the framework's own files, made if missing."""
    path = task.output_dir / NATIVE_DIR
    path.mkdir(parents=True, exist_ok=True)
    return path


def network_path(task: TrainingTask) -> Path:
    """Return where the exported network goes."""
    return task.output_dir / NETWORK_FILE


def validation_output_path(task: TrainingTask) -> Path:
    """Return where the framework's own output on the validation features goes: ``.npy``, float32, the network's shape.

    With a raw product instead of a network: the final probabilities (float32), or the prediction in the target's
    units, shape (n_rows,), which may be float64 as the product's own is.
    """
    return task.output_dir / VALIDATION_OUTPUT_FILE


def tensorboard_dir(task: TrainingTask) -> Path:
    """Return the folder of TensorBoard event files; they hold times, so they are no output of the stage."""
    return Path("reports") / task.model / "tensorboard" / task.training
