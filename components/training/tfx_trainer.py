"""Train by a TFX pipeline: its components in this process, one after another. Knows no architecture by name.

All that TFX, Beam and TensorFlow say goes to a log; whoever watches hears of each component as it starts and ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from components.stage.progress import MetricsStream
from components.training.core.protocol import native_dir
from components.training.tfx.log import written_to
from components.training.tfx.settings import log_path
from components.types.training import METRICS_FILE, TrainedModel, TrainingTask

PARAMETERS = (
    "batch_size",
    "beam",
    "device",
    "epochs",
    "learning_rate",
    "patience",
    "schema_from",
    "slices",
    "thresholds",
    "trials",
    "weight_decay",
)


class TfxTrainer:
    """Trains what ``build(task)`` returns, or what the architecture's own ``run_fn`` trains."""

    def fit(self, task: TrainingTask) -> TrainedModel:
        """Run the pipeline, and write the product with the records of how it came about."""
        os.environ["KERAS_BACKEND"] = "tensorflow"
        if task.parameters["device"] == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        native_dir(task)
        with MetricsStream(task.output_dir / METRICS_FILE) as stream, written_to(Path(log_path(task))):
            from components.training.tfx.run_pipeline import run_pipeline  # imports TFX, which must write to the log

            return run_pipeline(task, stream.note)
