"""A project in a folder of its own, and what a framework's process makes of a small prepared set there."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from components.stage.files import write_json
from components.types import record
from components.types.dataset import Task
from components.types.training import PreparedSpec, TrainedModel, TrainingTask

ROOT = Path(__file__).resolve().parents[4]
TIMEOUT_S = 300


@dataclass(frozen=True)
class Workshop:
    """Where tasks are made and the framework's processes run."""

    root: Path
    kind: str

    def task(self, name: str = "toy", architecture: str = "mlp", kind: Task = Task.BINARY, **changes) -> TrainingTask:
        image = changes.pop("image", None)
        weights = changes.pop("class_weights", None)
        spec = write_prepared(self.root / f"prepared-{name}", kind, changes.pop("rows", 600), image, weights)
        parameters = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, "weight_decay": 0.0, "patience": None}
        parameters |= {"hidden": (16, 8), "dropout": 0.0, "device": "cpu", "checkpoint_every_s": 1e6, **changes}
        if self.kind == "keras":
            parameters = {"backend": "tensorflow", **parameters}
        task = TrainingTask(
            model="toy",
            training=name,
            kind=self.kind,
            architecture=architecture,
            spec=spec,
            prepared_dir=self.root / f"prepared-{name}",
            output_dir=self.root / "work" / name,
            checkpoint_dir=self.root / "checkpoints" / name,
            parameters=parameters,
            seed=5,
            threads=1,
        )
        task.output_dir.mkdir(parents=True, exist_ok=True)
        write_json(task.output_dir / "task.json", task)
        return task

    def again(self, task: TrainingTask) -> TrainingTask:
        """Return the same task with an empty output folder, as a stage that runs again has it."""
        shutil.rmtree(task.output_dir)
        task.output_dir.mkdir()
        write_json(task.output_dir / "task.json", task)
        return task

    def start(self, step: str, task: TrainingTask) -> subprocess.Popen[str]:
        calls = task.output_dir / "call"
        calls.mkdir(exist_ok=True)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
        environment = {**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "2", "TOWPATH_CALL_DIR": str(calls)}
        environment["PYTHONPATH"] = str(self.root)
        arguments = [step, str(task.output_dir / "task.json"), str(os.getpid())]
        return subprocess.Popen(
            [sys.executable, "-m", "components.training.core.worker", *arguments],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, step: str, task: TrainingTask) -> str:
        """Run a step that is to succeed, and return what it said."""
        process = self.start(step, task)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, output
        return output

    def fit(self, task: TrainingTask) -> TrainedModel:
        self.run("fit", task)
        return self.trained(task)

    def trained(self, task: TrainingTask) -> TrainedModel:
        return record.read(TrainedModel, task.output_dir / "trained.json")

    def refusal(self, task: TrainingTask) -> dict[str, str]:
        """Fit what is to fail, and return the error."""
        process = self.start("fit", task)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode != 0, output
        return json.loads((task.output_dir / "error.json").read_text())

    def interrupt_after(self, task: TrainingTask, epoch: int, signum: signal.Signals) -> int:
        """Start to fit, send a signal once an epoch is done, and return the exit code."""
        process = self.start("fit", task)
        progress = task.output_dir / "call" / "progress.jsonl"
        deadline = time.monotonic() + TIMEOUT_S
        while not (progress.is_file() and f'"epoch": {epoch},' in progress.read_text()):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signum)
        process.communicate(timeout=TIMEOUT_S)
        return process.returncode

    def metrics(self, task: TrainingTask, name: str) -> list[float]:
        lines = [json.loads(line) for line in (task.output_dir / "metrics.jsonl").read_text().splitlines()]
        return [line["value"] for line in lines if line["name"] == name]

    def bytes_of(self, task: TrainingTask) -> dict[str, bytes]:
        """Return all that a training leaves behind, by name."""
        names = ("metrics.jsonl", "validation_output.npy", "network.onnx", "native")
        files = [path for path in sorted(task.output_dir.rglob("*")) if path.is_file()]
        relative = {path.relative_to(task.output_dir): path for path in files}
        return {str(name): path.read_bytes() for name, path in relative.items() if name.parts[0] in names}

    def parity(self, task: TrainingTask) -> float:
        """Return the largest difference between the exported network and the framework's own output."""
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(task.output_dir / "network.onnx")
        features = np.load(task.prepared_dir / "validation.features.npy")
        (output,) = session.run(["logits" if task.spec.classes else "value"], {"features": features})
        expected = np.load(task.output_dir / "validation_output.npy")
        assert output.shape == expected.shape == (len(features), task.spec.n_outputs)
        return float(np.abs(output - expected).max())

    def write_architecture(self, name: str, source: str) -> str:
        (self.root / "components/models" / self.kind / f"{name}.py").write_text(source)
        return name


@pytest.fixture
def make_workshop(tmp_path):
    def make(kind: str) -> Workshop:
        shutil.copytree(ROOT / "components", tmp_path / "components", ignore=shutil.ignore_patterns("__pycache__"))
        return Workshop(tmp_path, kind)

    return make


def write_prepared(folder, task, rows, image, weights) -> PreparedSpec:
    random = np.random.default_rng(2)
    n_features = int(np.prod(image)) if image else 6
    features = random.normal(size=(rows, n_features)).astype(np.float32)
    scores = features @ random.normal(size=(n_features, 3))
    bent = scores[:, 0] + np.abs(features[:, 1])
    target = {
        Task.BINARY: (scores[:, 0] > 0).astype(np.int64),
        Task.MULTICLASS: scores.argmax(axis=1),
        Task.REGRESSION: ((bent - bent.mean()) / bent.std()).astype(np.float32),
    }[task]
    classes = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: (0, 1, 2), Task.REGRESSION: ()}[task]
    held_out = rows // 4
    folder.mkdir(exist_ok=True)
    for split, part in (("train", slice(held_out, None)), ("validation", slice(0, held_out))):
        np.save(folder / f"{split}.features.npy", features[part])
        np.save(folder / f"{split}.target.npy", target[part])
    return PreparedSpec(
        model="toy",
        task=task,
        inputs=(),
        classes=classes,
        class_weights=weights or tuple(1.0 for _ in classes),
        target_mean=0.0 if classes else 10.0,
        target_scale=1.0 if classes else 4.0,
        feature_names=tuple(f"f{index}" for index in range(n_features)),
        image_shape=image,
        rows={"train": rows - held_out, "validation": held_out, "test": 1},
        dataset_digest="0" * 64,
        id_column="id",
        label_column="label",
    )


@pytest.fixture
def toy_task(tmp_path) -> TrainingTask:
    """Return a task of 450 rows to learn from and 150 to validate, for tests that start no process."""
    spec = write_prepared(tmp_path / "prepared", Task.BINARY, 600, None, None)
    return TrainingTask(
        "toy", "toy", "keras", "mlp", spec, tmp_path / "prepared", tmp_path / "out", tmp_path / "kept", {}, 5, 1
    )


@pytest.fixture
def weighted(toy_task) -> TrainingTask:
    return dataclasses.replace(toy_task, spec=dataclasses.replace(toy_task.spec, class_weights=(0.5, 2.0)))
