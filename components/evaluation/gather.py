"""Gather the evidence about one training from what the stages wrote, and measure what no stage may. Never judges."""

from __future__ import annotations

from pathlib import Path

from components.errors import DigestMismatchError
from components.evaluation.gates.evidence import (
    ChampionComparison,
    GateEvidence,
    NoChampion,
    NotAnalysed,
    Parity,
    Size,
    UnscorableChampion,
)
from components.evaluation.latency import measure_latency
from components.evaluation.record.stage import PRODUCT_DIR, read_result
from components.types import record
from components.types.evaluation import EVALUATION_FILE, Evaluation
from components.types.product import ProductRef
from components.types.tfx import ANALYSIS_FILE, TFX_DIR, TFX_KIND, ModelAnalysis
from components.types.training import TrainingResult


def read_evaluation(folder: Path) -> Evaluation:
    """Return what the evaluate stage wrote to `folder`.

    Raises:
        DigestMismatchError: nothing is there, or it is damaged.
    """
    try:
        return record.read(Evaluation, folder / EVALUATION_FILE)
    except (OSError, ValueError) as error:
        raise DigestMismatchError(f"{folder / EVALUATION_FILE} cannot be read ({error}); evaluate again") from error


def gather_evidence(
    out: Path,
    training: str,
    *,
    baseline: str | None,
    slice_columns: tuple[str, ...],
    champion: ChampionComparison | NoChampion | UnscorableChampion | None,
) -> GateEvidence:
    """Return all that the gates look at, for one training below ``out/<model>``.

    Args:
        out: The model's folder, ``out/<model>``.
        training: The candidate.
        baseline: The baseline's training; None where there is none, which the baseline gate refuses.
        slice_columns: The columns of `evaluation.slices`.
        champion: What the ledger and `rescore.compare` said.

    Raises:
        DigestMismatchError: an artifact is not what was promised, or a file is missing.
    """
    trained = out / "trainings" / training
    result = read_result(trained)
    product = ProductRef(trained / PRODUCT_DIR, result.product_digest, result.runtime)
    latency = measure_latency(product, out / "prepared")  # loads the product, which checks its bytes first of all
    product_bytes = sum(path.stat().st_size for path in product.directory.rglob("*") if path.is_file())
    return GateEvidence(
        product_digest=product.digest,
        dataset_digest=result.dataset_digest,
        candidate=read_evaluation(out / "evaluations" / training),
        baseline=None if baseline is None else read_evaluation(out / "evaluations" / baseline),
        champion=champion,
        slice_columns=slice_columns,
        parity=Parity(product.digest, result.parity, result.parity_bound),
        size=Size(product.digest, product_bytes),
        latency=latency,
        analysis=_analysis(trained, result),
    )


def _analysis(trained: Path, result: TrainingResult) -> ModelAnalysis | NotAnalysed | None:
    """Return the training's own analysis; None where there should be one, which is refused."""
    makes_one = result.kind == TFX_KIND or any(each.startswith(f"{TFX_DIR}/") for each in result.native_files)
    if not makes_one:
        return NotAnalysed(result.kind)
    try:
        return record.read(ModelAnalysis, trained / TFX_DIR / ANALYSIS_FILE)
    except (OSError, ValueError):
        return None
