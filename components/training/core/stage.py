"""The train stage: from a training's section and prepared data to a product that is known to predict as it should.

Runs in the stage's process and imports no framework; the framework fits in one process and exports in a fresh one, here
or wherever the model's runner has them run.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import AlreadyRunningError, TrainingError
from components.stage.files import tree_digest, whole_directory, write_json
from components.training.core.config import TrainingSection, read_training
from components.training.core.protocol import NATIVE_DIR
from components.training.core.runner import chosen_kind, find_runner, read_runner
from components.training.core.task import WORK_DIR, make_task
from components.training.core.worker import TASK_FILE, TRAINED_FILE
from components.types import record
from components.types.product import ProductRef
from components.types.training import (
    METRICS_FILE,
    PREPROCESSING_FILE,
    RESULT_FILE,
    TrainedModel,
    TrainingResult,
    TrainingTask,
)

PRODUCT_DIR = "product"


def train(model: str, training: str) -> None:
    """Train, and write ``out/<model>/trainings/<training>/`` whole, or leave it as it was.

    Raises:
        BadInputError: the configuration, the prepared data or the installed packages are not as they must be.
        AlreadyRunningError: the same training is going on in another process.
        TrainingError: the framework failed.
        StageTimeoutError: it ran past its time-out; its checkpoint stays.
        ParityError: the product does not predict what the framework predicts.
        DigestMismatchError: the data are not those of the task, or the lock of the kind's own environment is another.
        InfrastructureError: the kind's own environment could not be installed, or the cluster it was to run on failed.
    """
    section = read_training(model, training)
    task = make_task(section, training)
    with _work_folder(task) as folder:
        trained = _run_framework(task, folder, section.timeout_s)
        product, parity = _make_product(task, trained, section)
        _write_output(task, trained, product, parity, section)
    shutil.rmtree(task.checkpoint_dir.parent, ignore_errors=True)


@contextmanager
def _work_folder(task: TrainingTask) -> Iterator[Path]:
    """Give the training's own empty folder, for one process at a time, and remove it at the end."""
    folder = task.output_dir
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (WORK_DIR / f"{task.training}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"training {task.training} is going on in another process; wait for it, or stop it"
            ) from None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _run_framework(task: TrainingTask, folder: Path, timeout_s: float) -> TrainedModel:
    write_json(folder / TASK_FILE, task)
    place = read_runner(task.model)
    runner = find_runner(chosen_kind(place, task.training))
    runner.run(task, folder, timeout_s, place.resources_of(task.training))
    trained = record.read(TrainedModel, folder / TRAINED_FILE)
    _check_files(task, trained)
    return trained


def _check_files(task: TrainingTask, trained: TrainedModel) -> None:
    """Check that the adapter left what it says it left."""
    if (trained.network is None) == (trained.raw_product is None):
        raise TrainingError(f"the trainer of kind {task.kind} must give a network or a raw product, and not both")
    native_dir = task.output_dir / NATIVE_DIR
    paths = [trained.network or trained.raw_product, trained.validation_output, task.output_dir / METRICS_FILE]
    for path in [*paths, *trained.native]:
        if path is None or not path.exists():
            raise TrainingError(f"the trainer of kind {task.kind} did not write {path}")
    if strangers := [path for path in trained.native if native_dir not in path.parents]:
        raise TrainingError(f"the trainer of kind {task.kind} wrote {strangers[0]} outside {native_dir}")


def _make_product(task: TrainingTask, trained: TrainedModel, section: TrainingSection) -> tuple[ProductRef, float]:
    """Return the product, fused and compared with the framework."""
    from components.runtime.table import find_runtime  # heavy, and only needed once there is something to check
    from components.training.core.parity import measure_parity, require_parity
    from components.training.core.product import fuse

    if trained.raw_product is not None:
        product = ProductRef(trained.raw_product, tree_digest(trained.raw_product), trained.runtime)
    else:
        assert trained.network is not None
        preprocessing = task.prepared_dir / PREPROCESSING_FILE
        product = fuse(preprocessing, trained.network, task.spec, task.output_dir / PRODUCT_DIR)
    runtime = find_runtime(product.runtime)()
    signature = runtime.load(product)
    parity = measure_parity(runtime, signature, task.prepared_dir, task.spec, trained)
    require_parity(parity, section.parity_bound, f"training {task.training}")
    return product, parity


def _write_output(
    task: TrainingTask, trained: TrainedModel, product: ProductRef, parity: float, section: TrainingSection
) -> None:
    native_dir = task.output_dir / NATIVE_DIR
    result = TrainingResult(
        model=task.model,
        training=task.training,
        kind=task.kind,
        architecture=task.architecture,
        framework=trained.framework,
        product_digest=product.digest,
        dataset_digest=task.spec.dataset_digest,
        runtime=product.runtime,
        native_files=tuple(
            f"{NATIVE_DIR}/{path.relative_to(native_dir).as_posix()}" for path in sorted(trained.native)
        ),
        parameters=task.parameters,
        parity=parity,
        parity_bound=section.parity_bound,
        product_bytes=sum(path.stat().st_size for path in product.directory.rglob("*") if path.is_file()),
        epochs_run=trained.epochs_run,
        best_epoch=trained.best_epoch,
    )
    with whole_directory(Path("out") / task.model / "trainings" / task.training) as folder:
        shutil.move(product.directory, folder / PRODUCT_DIR)
        shutil.move(native_dir, folder / NATIVE_DIR)
        shutil.move(task.output_dir / METRICS_FILE, folder / METRICS_FILE)
        write_json(folder / RESULT_FILE, result)
