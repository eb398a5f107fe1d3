"""Bring the evidence about a candidate together, measured now and here, and let the gates judge it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import GateRefusedError, StageFailedError, error_from_json
from components.evaluation.gates.evidence import ChampionComparison, NoChampion, UnscorableChampion
from components.evaluation.gates.judge import judge, passed
from components.evaluation.gather import gather_evidence
from components.evaluation.record.stage import read_result
from components.evaluation.rescore import RescoreRequest, RescoreResult
from components.release.records import Slot
from components.stage.files import write_json
from components.stage.process import CALL_DIR_VARIABLE, ERROR_FILE
from components.types import record
from components.types.evaluation import Evaluation, Verdict
from components.types.product import ProductRef
from components.types.release import Environment
from pipelines.author import actor
from pipelines.config import ModelConfig
from pipelines.placement import stable_placement
from pipelines.release.environments import EnvironmentConfig, load_environment
from pipelines.release.waivers import champion_against, with_waiver
from pipelines.selection import Choice, baseline_training

Champion = ChampionComparison | NoChampion | UnscorableChampion


@dataclass(frozen=True)
class Judgement:
    """A candidate that passed every gate."""

    candidate: Evaluation
    verdicts: tuple[Verdict, ...]
    slot: Slot
    """The local slot as it was when the champion was compared."""
    gate_config_digest: str
    champion: Champion
    sentence: str
    """Why the candidate was chosen."""


def judge_candidate(config: ModelConfig, choice: Choice, root: Path) -> tuple[Judgement, bool]:
    """Return what the gates say of a candidate, and whether it passed.

    Raises:
        DigestMismatchError: bytes are not what they were when they were measured.
        InfrastructureError: the ledger or the registry cannot be reached.
    """
    candidate = choice.candidate
    env = load_environment(Environment.LOCAL.value, root)
    slot = env.ledger().slot(config.name, env.name)
    champion = _champion(env, config, candidate, slot, root)
    evidence = gather_evidence(
        root / "out" / config.name,
        candidate.training,
        baseline=baseline_training(config),
        slice_columns=config.model.evaluation.slices,
        champion=champion,
    )
    verdicts = judge(evidence, config.model.gates)
    digest = config.model.gates.digest
    return Judgement(candidate, verdicts, slot, digest, champion, choice.sentence), passed(verdicts)


def require_passed(judgement: Judgement) -> None:
    """Refuse a candidate that did not pass.

    Raises:
        GateRefusedError: naming every gate that refused, and why.
    """
    refused = [verdict for verdict in judgement.verdicts if not verdict.passed]
    if refused:
        reasons = "; ".join(f"{verdict.gate}: {' '.join(verdict.reasons)}" for verdict in refused)
        raise GateRefusedError(f"{judgement.candidate.training} is refused by {len(refused)} gates: {reasons}")


def _champion(env: EnvironmentConfig, config: ModelConfig, candidate: Evaluation, slot: Slot, root: Path) -> Champion:
    """Return how the candidate compares with what is stable, or with what was before where that is itself."""
    recorded = champion_against(env.ledger(), slot, candidate.product_digest)
    if recorded is not None:
        directory = stable_placement(config.name, root, recorded.version).directory
        found = _rescore(config, candidate, ProductRef(directory, recorded.digest, recorded.runtime), root)
        if isinstance(found, UnscorableChampion):
            return with_waiver(env, recorded, found, candidate.product_digest, actor())
        return found
    if slot.stable is None:
        return NoChampion("the ledger has no stable version in the local environment yet")
    return NoChampion(f"the candidate is version {slot.stable}, which is stable already, and nothing stood before it")


def _rescore(config: ModelConfig, candidate: Evaluation, champion: ProductRef, root: Path) -> Champion:
    """Score both on the same rows of the test split, in a process of its own: scikit-learn stays out of this one."""
    gate = config.model.gates.champion
    outputs = root / "out" / config.name
    trained = outputs / "trainings" / candidate.training
    runtime = read_result(trained).runtime
    request = RescoreRequest(
        candidate=ProductRef(trained / "product", candidate.product_digest, runtime),
        champion=champion,
        prepared=outputs / "prepared",
        metric=candidate.primary,
        resamples=config.model.evaluation.bootstrap,
        seed=config.model.evaluation.seed,
        confidence=gate.confidence if gate else 0.9,
    )
    with TemporaryDirectory(prefix="towpath-rescore-") as folder:
        call = Path(folder)
        write_json(call / "request.json", request)
        files = [str(call / "request.json"), str(call / "result.json")]
        command = [sys.executable, "-m", "components.evaluation.rescore", *files]
        done = subprocess.run(command, cwd=root, env={**os.environ, CALL_DIR_VARIABLE: folder}, check=False)
        if done.returncode:
            report = call / ERROR_FILE
            if report.is_file():
                raise error_from_json(json.loads(report.read_text()))
            raise StageFailedError(f"scoring the champion of {config.name} ended with code {done.returncode}")
        return record.read(RescoreResult, call / "result.json").outcome
