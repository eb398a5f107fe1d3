"""How fast the trainers train: samples per second beside each framework's own loop with its defaults.

    python -m bench.harness [--rounds 3] [--json]

Each measurement is a process of its own, one thread, on the same generated table (200,000 x 50) and the same small
network; the four take turns. The first epoch, which compiles, is left out. Ours scores the validation split after
every epoch, writes metrics and TensorBoard events; theirs does none of it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from components.types.dataset import Task
from components.types.training import PreparedSpec, TrainingTask

ROWS = {"train": 200_000, "validation": 20_000, "test": 1}
N_FEATURES = 50
EPOCHS = 6
BATCH_ROWS = 256
LEARNING_RATE = 1e-3
LEAST_RATIO = {"keras": 1.5, "lightning": 1.6}
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")

Answer = dict[str, float]


def main() -> int:
    """Measure in turns and print; the exit code says whether the ratios hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.harness")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the four is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, folder = arguments.one
        print(json.dumps(MEASURED[name](Path(folder).resolve(), name.split("-")[0])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        found = _summary([_measure(name, Path(folder)) for _ in range(arguments.rounds) for name in MEASURED])
    figures = [
        {
            "figure": f"{kind} / the framework's own loop, at least",
            "value": row["ratio"],
            "limit": row["least_ratio"],
            "holds": row["ratio"] >= row["least_ratio"],
        }
        for kind, row in found.items()
    ]
    print(json.dumps({"figures": figures, **found}, indent=2) if arguments.json else _table(found))
    return 0 if all(row["holds"] for row in figures) else 1


def prepare(folder: Path) -> None:
    """Write the generated table as `prepare` would: two classes, parted by a bent plane."""
    random = np.random.default_rng(0)
    weights = random.normal(size=N_FEATURES)
    for split in ("train", "validation"):
        features = random.normal(size=(ROWS[split], N_FEATURES)).astype(np.float32)
        target = (features @ weights + 4 * np.sin(2 * features[:, 0]) * features[:, 1] > 0).astype(np.int64)
        np.save(folder / f"{split}.features.npy", features)
        np.save(folder / f"{split}.target.npy", target)


def _measure(name: str, folder: Path) -> tuple[str, Answer]:
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "bench.harness", "--one", name, str(folder)]
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "2"}
        environment["TOWPATH_CALL_DIR"] = work
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed: {done.stderr[-2000:]}")
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {answer['samples_per_s']:,.0f} samples/s, accuracy {answer['accuracy']:.4f}", file=sys.stderr)
    return name, answer


def _summary(answers: list[tuple[str, Answer]]) -> dict[str, Any]:
    def median(name: str, key: str) -> float:
        return statistics.median(answer[key] for found, answer in answers if found == name)

    return {
        kind: {
            "samples_per_s": round(median(f"{kind}-towpath", "samples_per_s")),
            "framework_samples_per_s": round(median(f"{kind}-default", "samples_per_s")),
            "ratio": round(statistics.median(_ratios(answers, kind)), 2),
            "accuracy": round(median(f"{kind}-towpath", "accuracy"), 4),
            "framework_accuracy": round(median(f"{kind}-default", "accuracy"), 4),
            "least_ratio": least,
        }
        for kind, least in LEAST_RATIO.items()
    }


def _ratios(answers: list[tuple[str, Answer]], kind: str) -> list[float]:
    """Return the ratio of each round: its two measurements saw the machine equally busy."""
    ours, theirs = (
        [answer["samples_per_s"] for found, answer in answers if found == name]
        for name in (f"{kind}-towpath", f"{kind}-default")
    )
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':10} {'towpath':>12} {'framework':>12} {'ratio':>7} {'asked':>7}   accuracy"]
    for kind, row in found.items():
        numbers = f"{row['samples_per_s']:12,} {row['framework_samples_per_s']:12,} {row['ratio']:7.2f}"
        lines.append(
            f"{kind:10} {numbers} {row['least_ratio']:7.2f}   {row['accuracy']:.4f} and {row['framework_accuracy']:.4f}"
        )
    return "\n".join(lines)


def _task(folder: Path, kind: str) -> TrainingTask:
    work = Path.cwd()
    parameters: dict[str, Any] = {
        "epochs": EPOCHS,
        "batch_size": BATCH_ROWS,
        "learning_rate": LEARNING_RATE,
        "weight_decay": 0.0,
    }
    parameters |= {"hidden": (64, 32), "dropout": 0.0, "patience": None, "device": "cpu", "checkpoint_every_s": 10.0}
    if kind == "keras":
        parameters["backend"] = "tensorflow"
    spec = PreparedSpec(
        model="bench",
        task=Task.BINARY,
        inputs=(),
        classes=("no", "yes"),
        class_weights=(1.0, 1.0),
        target_mean=0.0,
        target_scale=1.0,
        feature_names=tuple(f"f{index}" for index in range(N_FEATURES)),
        image_shape=None,
        rows=ROWS,
        dataset_digest="0" * 64,
        id_column="id",
        label_column="label",
    )
    return TrainingTask(
        model="bench",
        training=kind,
        kind=kind,
        architecture="mlp",
        spec=spec,
        prepared_dir=folder,
        output_dir=work / "output",
        checkpoint_dir=work / "checkpoints",
        parameters=parameters,
        seed=1,
        threads=1,
    )


def _ours(folder: Path, kind: str) -> Answer:
    from components.stage.process import PROGRESS_FILE, call_file
    from components.training.core.kinds import load_trainer

    task = _task(folder, kind)
    trained = load_trainer(kind).fit(task)
    progress = call_file(PROGRESS_FILE)
    assert progress is not None
    events = [json.loads(line) for line in progress.read_text(encoding="utf-8").splitlines()]
    ends = [event["time"] for event in events if event["event"] == "epoch"]
    target = np.load(folder / "validation.target.npy")
    return _answer(ends, float((np.load(trained.validation_output).argmax(axis=1) == target).mean()))


def _keras_default(folder: Path, kind: str) -> Answer:
    import keras

    from components.training.core.architecture import build

    keras.utils.set_random_seed(1)
    model = build(_task(folder, kind))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), loss=loss)
    ends: list[float] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.time()))
    features, target, held_out, answers = _arrays(folder)
    model.fit(features, target, batch_size=BATCH_ROWS, epochs=EPOCHS, verbose=0, callbacks=[note])
    output = model.predict(held_out, batch_size=8192, verbose=0)
    return _answer(ends, float((output.argmax(axis=1) == answers).mean()))


def _lightning_default(folder: Path, kind: str) -> Answer:
    import torch
    from lightning import pytorch as lightning

    from components.training.core.architecture import build

    torch.set_num_threads(1)
    lightning.seed_everything(1, verbose=False)
    network = build(_task(folder, kind))
    ends: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _: int) -> Any:
            return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), LEARNING_RATE)

        def on_train_epoch_end(self) -> None:
            ends.append(time.time())

    features, target, held_out, answers = map(torch.from_numpy, _arrays(folder))
    table = torch.utils.data.TensorDataset(features, target)
    loader = torch.utils.data.DataLoader(table, batch_size=BATCH_ROWS, shuffle=True)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    lightning.Trainer(max_epochs=EPOCHS, accelerator="cpu", enable_model_summary=False, **quiet).fit(Module(), loader)
    with torch.inference_mode():
        return _answer(ends, float((network(held_out).argmax(1) == answers).float().mean()))


def _arrays(folder: Path) -> tuple[Any, Any, Any, Any]:
    names = ("train.features", "train.target", "validation.features", "validation.target")
    first, second, third, fourth = (np.load(folder / f"{name}.npy") for name in names)
    return first, second, third, fourth


def _answer(epoch_ends: list[float], accuracy: float) -> Answer:
    seconds = statistics.median(later - earlier for earlier, later in pairwise(epoch_ends))
    return {"samples_per_s": ROWS["train"] / seconds, "accuracy": accuracy}


MEASURED: dict[str, Callable[[Path, str], Answer]] = {
    "keras-default": _keras_default,
    "keras-towpath": _ours,
    "lightning-default": _lightning_default,
    "lightning-towpath": _ours,
}

if __name__ == "__main__":
    raise SystemExit(main())
