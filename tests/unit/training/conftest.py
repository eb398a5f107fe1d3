"""A task without a framework."""

import dataclasses

import pytest

from components.types.dataset import ColumnType, Task
from components.types.product import InputSpec
from components.types.training import PreparedSpec, TrainingTask


@pytest.fixture
def spec():
    return PreparedSpec(
        model="taxi",
        task=Task.BINARY,
        inputs=(InputSpec("fare", ColumnType.FLOAT64, (), nullable=False, columns=("fare",)),),
        classes=("no", "yes"),
        class_weights=(1.0, 1.0),
        target_mean=0.0,
        target_scale=1.0,
        feature_names=("fare",),
        image_shape=None,
        rows={"train": 4, "validation": 3, "test": 2},
        dataset_digest="0" * 64,
        id_column="id",
        label_column="tipped",
    )


@pytest.fixture
def make_task(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)

    def make(**parameters):
        (tmp_path / "work").mkdir(exist_ok=True)
        task = TrainingTask(
            model="taxi",
            training="t",
            kind="constant",
            architecture="prior",
            spec=spec,
            prepared_dir=tmp_path / "prepared",
            output_dir=tmp_path / "work",
            checkpoint_dir=tmp_path / "checkpoints",
            parameters={"epochs": 5, "checkpoint_every_s": 0.0, **parameters},
            seed=1,
            threads=1,
        )
        return dataclasses.replace(task)

    return make
