"""Which training is the baseline, which one wins, and whether that is settled already. Reads records only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import ConfigError, GateRefusedError
from components.evaluation.gates.winner import select_winner
from components.release.peek import peek
from components.release.states import was_taken_back
from components.types import record
from components.types.evaluation import EVALUATION_FILE, Evaluation
from components.types.release import Environment
from pipelines.config import ModelConfig
from pipelines.judged import Judged, was_judged
from pipelines.state import ledger_url

BASELINE_KIND = "sklearn"


@dataclass(frozen=True)
class Choice:
    """The training whose product is judged."""

    candidate: Evaluation
    evaluations: tuple[Evaluation, ...]
    sentence: str
    """Why it was chosen, for people."""


def baseline_training(config: ModelConfig) -> str | None:
    """Return the training that the others are held against, or None when that gate is switched off.

    Raises:
        ConfigError: it is not named, and not exactly one training is of the baseline's kind.
    """
    gate = config.model.gates.baseline
    if gate is None:
        return None
    if gate.training is not None:
        return next(iter(config.select((gate.training,))))
    found = [name for name, training in config.trainings.items() if training.kind == BASELINE_KIND]
    if len(found) != 1:
        raise ConfigError(
            f"{config.path}: {len(found)} trainings are of kind `{BASELINE_KIND}`; name the baseline in "
            f"`models.{config.name}.gates.baseline.training`, or switch its gate off with `baseline: null`"
        )
    return found[0]


def read_evaluations(model: str, trainings: Sequence[str], root: Path) -> tuple[Evaluation, ...]:
    """Return what the evaluate stages recorded.

    Raises:
        GateRefusedError: a record is missing or not one.
    """
    evaluations = []
    for training in trainings:
        path = root / "out" / model / "evaluations" / training / EVALUATION_FILE
        try:
            evaluations.append(record.read(Evaluation, path))
        except (OSError, ValueError) as error:
            raise GateRefusedError(f"{path} is no evaluation ({error}); run `towpath run {model}`") from error
    return tuple(evaluations)


def choose(config: ModelConfig, trainings: Sequence[str], root: Path, candidate: str | None = None) -> Choice:
    """Choose the winner on the validation split, or take the `candidate` that was asked for.

    Raises:
        GateRefusedError: an evaluation is missing, or nothing in it can be compared.
    """
    evaluations = read_evaluations(config.name, trainings, root)
    if candidate is not None:
        found = next(each for each in evaluations if each.training == candidate)
        return Choice(found, evaluations, f"{candidate} was asked for; it was not chosen by its metrics")
    gate = config.model.gates.baseline
    selection = select_winner(evaluations, baseline_training(config), gate.margin if gate else 0.0)
    winner = selection.winner
    value = winner.validation.metrics[selection.metric]
    sentence = (
        f"{winner.training} won among {len(evaluations)} trainings on the validation split: "
        f"{selection.metric} {value.value:.4f} ({value.direction} is better)"
    )
    notes = [f"{each.training} cannot win: {each.note}" for each in selection.standings if each.note]
    return Choice(winner, evaluations, "; ".join([sentence, *notes]))


@dataclass(frozen=True)
class Settled:
    """A version that a run would come to again."""

    version: int
    challenger: bool
    """Whether it waits for a person, and is not stable."""
    taken_back: bool = False
    """Whether a person declined it or rolled it back: it stands nowhere then, and no run puts it back by itself."""


def stays_out(model: str, version: int) -> str:
    """Return what a person should know of a version that was taken back, and how it comes in again."""
    return (
        f"version {version} of {model} is what this run comes to, and it stays out: a person took it back locally; "
        f"`towpath run {model} --challenger`, then `towpath promote {model} {version} --to local` lets it in again"
    )


def settled_version(config: ModelConfig, trainings: Sequence[str], root: Path, candidate: str | None) -> Settled | None:
    """Return the version that is the winner's product, judged by these gates, if a run would leave it as it is.

    It is stable, or the challenger that waits, or was taken back by a person.
    """
    slot, stable = peek(ledger_url(), config.name, Environment.LOCAL)
    known = {} if stable is None else {Settled(stable.version, challenger=False): stable}
    if slot.candidate is not None:
        from components.release.ledger import Ledger

        known[Settled(slot.candidate, challenger=True)] = Ledger(ledger_url()).version(config.name, slot.candidate)
    if not slot.rev:
        return None
    try:
        winner = choose(config, trainings, root, candidate).candidate
    except GateRefusedError:
        return None
    judged = Judged(winner.product_digest, winner.dataset_digest, config.model.gates.digest)
    if not was_judged(config.name, judged, root):
        return None
    digests = (winner.product_digest, winner.dataset_digest)
    stands = next((settled for settled, each in known.items() if (each.digest, each.dataset_digest) == digests), None)
    return stands or _taken_back(config.name, digests)


def _taken_back(model: str, digests: tuple[str, str]) -> Settled | None:
    from components.release.ledger import Ledger

    ledger = Ledger(ledger_url())
    found = next((each for each in ledger.versions(model) if (each.digest, each.dataset_digest) == digests), None)
    if found is None or not was_taken_back(found.version, ledger.events(model, Environment.LOCAL)):
        return None
    return Settled(found.version, challenger=False, taken_back=True)
