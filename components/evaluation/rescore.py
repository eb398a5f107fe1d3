"""Score the champion again on the rows the candidate is judged by, paired. Knows no ledger and no gate.

``python -m components.evaluation.rescore REQUEST RESULT`` does it in a process of its own: both are JSON files, of
`RescoreRequest` and `RescoreResult`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from components.errors import BadInputError, FaultError, SchemaError
from components.evaluation.gates.evidence import ChampionComparison, UnscorableChampion
from components.evaluation.record.bootstrap import paired_difference
from components.evaluation.record.metrics import measured
from components.evaluation.record.predict import predict_split, read_prepared
from components.stage.files import write_json
from components.stage.main import run_stage
from components.types import record
from components.types.dataset import Split
from components.types.evaluation import METRIC_DIRECTIONS, Direction
from components.types.product import ProductRef


@dataclass(frozen=True)
class RescoreRequest:
    """What is compared, and how."""

    candidate: ProductRef
    champion: ProductRef
    prepared: Path
    metric: str
    resamples: int
    seed: int
    confidence: float


@dataclass(frozen=True)
class RescoreResult:
    """What came out."""

    outcome: ChampionComparison | UnscorableChampion


def compare(request: RescoreRequest) -> ChampionComparison | UnscorableChampion:
    """Return the paired difference on the test split, oriented so that more is better for the candidate.

    A champion that cannot predict these rows (a column that is gone, other classes) is an outcome, not an error.

    Raises:
        DigestMismatchError: the bytes of one of the products are not those that were promised.
        SchemaError: the candidate does not fit the data.
        BadInputError: the metric is undefined on these rows.
    """
    spec = read_prepared(request.prepared)
    candidate = predict_split(request.candidate, request.prepared, Split.TEST, spec=spec).scored
    try:
        champion = predict_split(request.champion, request.prepared, Split.TEST, spec=spec).scored
    except SchemaError as error:
        return UnscorableChampion(request.champion.digest, str(error))
    direction = METRIC_DIRECTIONS[spec.task].get(request.metric)
    if direction is None:
        raise BadInputError(f"metric {request.metric} has no direction for a {spec.task.value} model")
    first, second = (candidate, champion) if direction is Direction.HIGHER else (champion, candidate)
    try:
        improvement, low, high = paired_difference(
            first, second, request.metric, request.resamples, request.seed, request.confidence
        )
    except ValueError as error:
        raise BadInputError(f"the champion and the candidate cannot be compared: {error}") from error
    return ChampionComparison(
        candidate_digest=request.candidate.digest,
        champion_digest=request.champion.digest,
        dataset_digest=spec.dataset_digest,
        rows=candidate.rows,
        metric=request.metric,
        direction=direction,
        candidate=measured(candidate)[request.metric],
        champion=measured(champion)[request.metric],
        improvement=improvement,
        low=low,
        high=high,
        confidence=request.confidence,
    )


def run(request: str, result: str) -> None:
    """Answer the request in one file by writing another.

    Raises:
        FaultError: the request is not one.
    """
    try:
        read = record.read(RescoreRequest, Path(request))
    except (OSError, ValueError) as error:
        raise FaultError(f"{request} is no request to rescore: {error}") from error
    write_json(Path(result), RescoreResult(compare(read)))


if __name__ == "__main__":
    raise SystemExit(run_stage("evaluation.rescore", sys.argv[1:], "REQUEST RESULT", run))
