"""Where a version's reference profile comes from: kept when it registers, else made or fetched once. Judges nothing.

The profile of a version stays what it was: the next training replaces ``out/<model>/prepared``, and a monitor that
compared with that would compare a version with rows that it never saw.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import TowpathError, UnknownNameError
from components.monitoring.config import LEAST_ROWS
from components.monitoring.profile import PREDICTION, PROFILE_FILE, ReferenceProfile, make_profile
from components.registry.package import LINEAGE_PATH
from components.release.records import RecordedVersion
from components.stage.files import write_json
from components.types import record
from components.types.evaluation import EVALUATION_FILE, PREDICTIONS_FILE, Evaluation
from components.types.product import ProductRef
from components.types.training import PREPARED_FILE, RESULT_FILE, PreparedSpec, TrainingResult
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.offline import offline_predictions
from pipelines.state import STATE

MONITORING = STATE / "monitoring"


def keep_profile(model: str, product_digest: str, dataset_digest: str, root: Path = Path()) -> Path:
    """Make the profile of a product that was just trained, keep it, and return its file.

    Raises:
        UnknownNameError: no evaluation below ``out`` is of this product.
        DigestMismatchError: the files of its training are damaged.
        FaultError: the product does not load, or cannot predict.
    """
    outputs = root / "out" / model
    for path in sorted(outputs.glob(f"evaluations/*/{EVALUATION_FILE}")):
        evaluation = record.read(Evaluation, path)
        if (evaluation.product_digest, evaluation.dataset_digest) == (product_digest, dataset_digest):
            spec = record.read(PreparedSpec, outputs / "prepared" / PREPARED_FILE)
            kept = profile_path(product_digest, dataset_digest, root)
            with TemporaryDirectory(prefix="towpath-profile-") as folder:
                said = path.with_name(PREDICTIONS_FILE)
                if evaluation.test.rows < LEAST_ROWS:
                    said = _predict_training(outputs, evaluation, Path(folder), root)
                write_json(kept, make_profile(outputs / "prepared", spec, evaluation, said))
            return kept
    raise UnknownNameError(
        f"{outputs} holds no evaluation of product {product_digest[:12]} on {dataset_digest[:12]}; run {model} again"
    )


def profile_path(product_digest: str, dataset_digest: str, root: Path = Path()) -> Path:
    """Return where the profile of a product of some data is kept on this machine."""
    return root / MONITORING / "profiles" / f"{product_digest}-{dataset_digest[:16]}.json"


def reference_profile(env: EnvironmentConfig, version: RecordedVersion) -> ReferenceProfile:
    """Return what a version was trained on: as kept here, as its training left it, or as registered with it.

    Raises:
        UnknownNameError: nobody kept it, and its training's files are gone.
    """
    path = profile_path(version.digest, version.dataset_digest, env.root)
    if (found := _read(path, version)) is not None:
        return found
    try:
        keep_profile(version.model, version.digest, version.dataset_digest, env.root)
    except (TowpathError, OSError, ValueError):  # of another training by now; the registry has what was kept with it
        _fetch(env, version, path)
    if (found := _read(path, version)) is None:
        raise UnknownNameError(
            f"what version {version.version} of {version.model} was trained on is not known: it was registered without "
            f"{PROFILE_FILE}, and out/{version.model} is of another training; check out its commit and run it there, "
            "or release a new version"
        )
    return found


def _read(path: Path, version: RecordedVersion) -> ReferenceProfile | None:
    """Return a kept profile; None where there is none, or one of something else, which is made anew."""
    try:
        found = record.read(ReferenceProfile, path)
    except (OSError, ValueError):
        return None
    is_its_own = (found.product_digest, found.dataset_digest) == (version.digest, version.dataset_digest)
    return found if is_its_own else None


def _predict_training(outputs: Path, evaluation: Evaluation, folder: Path, root: Path) -> Path:
    """Write what a product says of its train split: a small test split is too few rows to be held against."""
    import polars as pl

    trained = outputs / "trainings" / evaluation.training
    result = record.read(TrainingResult, trained / RESULT_FILE)
    product = ProductRef(trained / "product", result.product_digest, result.runtime)
    said = offline_predictions(product, outputs / "prepared" / "train.parquet", root)
    path = folder / PREDICTIONS_FILE
    pl.DataFrame({PREDICTION: [each[PREDICTION] for each in said]}).write_parquet(path)
    return path


def _fetch(env: EnvironmentConfig, version: RecordedVersion, path: Path) -> None:
    """Take the profile that was registered with a version; nothing happens where there is none."""
    with TemporaryDirectory(prefix="towpath-profile-") as folder:
        try:
            into = Path(folder) / PROFILE_FILE
            env.registry().fetch_part(version.model, version.version, f"{LINEAGE_PATH}/{PROFILE_FILE}", into)
            write_json(path, record.read(ReferenceProfile, into))
        except (TowpathError, OSError, ValueError):
            return
