"""A challenger and the person who accepts or declines it: on a real ledger and MLflow, only a person moves it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.errors import BadInputError, GateRefusedError
from components.evaluation.gates.evidence import NoChampion
from components.registry.request import Lineage, RegisteredVersion
from components.release.guards.evidence import GATES, GatesEvidence
from components.release.local import make_challenger_locally, make_stable_locally
from components.release.records import Digests, Placement
from components.release.states import may_enter, state_of
from components.stage.files import write_json
from components.types.dataset import Task
from components.types.evaluation import EVALUATION_FILE, Direction, Evaluation, MetricValue, SplitResult, Verdict
from components.types.release import Environment
from pipelines.config import load_model
from pipelines.judged import Judged, remember
from pipelines.judgement import Judgement
from pipelines.lineage import CodeLineage
from pipelines.promotion import place
from pipelines.release.accept import accept, acceptable
from pipelines.release.actors import Actor
from pipelines.release.apply import apply_outbox
from pipelines.release.commit import Move, commit, note
from pipelines.release.environments import EnvironmentConfig, load_environment
from pipelines.release.operate import Operation, abort, roll_back
from pipelines.release.sinks import sinks_of
from pipelines.release.tick import tick
from pipelines.release.view import model_view
from pipelines.selection import Settled, settled_version
from tests.releases import MODEL, MemoryEnvironment

ROOT = Path(__file__).parents[3]
WORDS = {"actor": "ada", "reason": "test"}


@pytest.fixture
def local(env: MemoryEnvironment) -> EnvironmentConfig:
    """Return the local environment, in which version 1 is stable and version 2 the challenger."""
    shutil.copytree(ROOT / "pipelines/configs/environments", env.root / "pipelines/configs/environments")
    made = load_environment("local", env.root)
    shutil.copytree(env.store().root, made.store().root)
    slot = made.ledger().slot(MODEL, made.name)
    made.registry().set_aliases(MODEL, None, None, 0, prefix=made.alias_prefix, ledger_wins=True)
    for number in (1, 2):
        recorded = made.ledger().version(MODEL, number)
        gates = GatesEvidence(recorded.digest, (passed(True),), "g" * 64, True, "", True)
        note(made, slot, number, recorded.digest, GATES, gates, "ada")
    slot = make_stable_locally(made.ledger(), 1, seen=slot, digests=digests(made, 1), sinks=sinks_of(made), **WORDS)
    make_challenger_locally(made.ledger(), 2, seen=slot, digests=digests(made, 2), sinks=sinks_of(made), **WORDS)
    assert not any(each.problem for each in apply_outbox(made, MODEL))
    return made


def passed(is_so: bool) -> Verdict:
    return Verdict("absolute", is_so, ("auc is 0.97, at least 0.95 needed",))


def digests(env: EnvironmentConfig, version: int) -> Digests:
    return Digests(env.ledger().version(MODEL, version).digest, "d" * 64, "0c0ffee", "1" * 64, "g" * 64, "e" * 64)


def test_a_challenger_is_shown_and_serves_nobody_and_no_tick_moves_it(local: EnvironmentConfig) -> None:
    for _ in range(2):
        assert tick(local, MODEL).action == "settled"
    slot = local.ledger().slot(MODEL, local.name)
    assert slot.placement == Placement(stable=1, candidate=2)
    assert local.router().route_of(MODEL).split.versions == {1}
    aliases = local.registry().read_aliases(MODEL, prefix=local.alias_prefix)
    assert (aliases.champion, aliases.challenger) == (1, 2)
    assert model_view(local, MODEL).next_step == (
        "version 2 is the challenger: `towpath promote taxi 2 --to local` accepts it"
    )
    recorded, events = local.ledger().version(MODEL, 2), local.ledger().events(MODEL, local.name)
    with pytest.raises(BadInputError, match="still candidate in local"):
        may_enter(recorded, Environment.STAGING, slot.at(0, Placement()), state_of(recorded, slot, events))


def test_a_person_accepts_it_and_the_ledger_says_who(local: EnvironmentConfig, eve: Actor) -> None:
    proposal = acceptable(local, MODEL, 2)
    assert proposal.stable == 1
    assert local.ledger().slot(MODEL, local.name).rev == proposal.rev == 2, "looking changed something"
    done = accept(local, MODEL, 2, eve)
    assert done.sentences == ()
    assert local.ledger().slot(MODEL, local.name).placement == Placement(stable=2, previous=1)
    assert local.router().route_of(MODEL).split.stable == 2
    event = local.ledger().events(MODEL, local.name)[-1]
    assert (event.target, event.actor, event.gate_config_digest) == ("stable", "eve", "g" * 64)
    assert local.registry().read_aliases(MODEL, prefix=local.alias_prefix).challenger is None
    assert local.ledger().verify(MODEL, local.name).intact


@pytest.mark.parametrize(("version", "words"), [(1, "is stable there already"), (3, "is not the challenger there")])
def test_only_the_challenger_is_accepted(local: EnvironmentConfig, eve: Actor, version: int, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        accept(local, MODEL, version, eve)
    assert local.ledger().slot(MODEL, local.name).rev == 2


@pytest.mark.parametrize(
    ("verdicts", "words"), [((passed(False),), "absolute: auc is 0.97"), ((), "registered without gates")]
)
def test_a_gate_that_refused_it_or_never_was_refuses_it_still(
    local: EnvironmentConfig, eve: Actor, verdicts: tuple[Verdict, ...], words: str
) -> None:
    slot, recorded = local.ledger().slot(MODEL, local.name), local.ledger().version(MODEL, 3)
    gates = GatesEvidence(recorded.digest, verdicts, "g" * 64, True, "", True)
    note(local, slot, 3, recorded.digest, GATES, gates, "ada")
    make_challenger_locally(local.ledger(), 3, seen=slot, digests=digests(local, 3), **WORDS)
    with pytest.raises(GateRefusedError, match=words):
        accept(local, MODEL, 3, eve)
    assert local.ledger().slot(MODEL, local.name).stable == 1


CONFIG = f"""
models:
  {MODEL}:
    data: {{source: {{kind: files, path: rows.csv}}, label: tall}}
    features: {{task: binary}}
    evaluation: {{primary: auc}}
    gates: {{absolute: {{auc: 0.6}}, baseline: null}}
trainings:
  {MODEL}-sklearn: {{model: {MODEL}, kind: sklearn, architecture: linear}}
"""


def come_to(env: EnvironmentConfig, number: int, *, challenger: bool = False) -> Settled:
    """Do what a run does whose winner is the product of a version, and which passed its gates."""
    recorded = env.ledger().version(MODEL, number)
    auc = SplitResult(200, {"auc": MetricValue(0.97, 0.96, 0.98, Direction.HIGHER)}, ())
    digests = (recorded.digest, recorded.dataset_digest)
    winner = Evaluation(MODEL, f"{MODEL}-sklearn", Task.BINARY, "auc", *digests, auc, auc)
    (env.root / f"pipelines/configs/{MODEL}.yaml").write_text(CONFIG)
    write_json(env.root / f"out/{MODEL}/evaluations/{winner.training}" / EVALUATION_FILE, winner)
    gates = load_model(MODEL, env.root).model.gates.digest
    remember(MODEL, Judged(*digests, gates), env.root)
    slot, verdicts, code = env.ledger().slot(MODEL, env.name), (passed(True),), CodeLineage("0c0ffee", b"", {})
    lineage = Lineage(
        MODEL, winner.training, "sklearn", "scikit-learn", "onnx", *digests, "0c0ffee", "", "1" * 64, {}, True,
        "2" * 64, verdicts, {}, (), "ada", "",
    )  # fmt: skip
    judgement = Judgement(winner, verdicts, slot, gates, NoChampion("none is needed here"), "it won")
    version = RegisteredVersion(MODEL, number, *digests, "onnx", "run", {})
    return place(env, version, lineage, judgement, code, challenger=challenger)


def settled(env: EnvironmentConfig) -> Settled | None:
    """Return what the next run would leave as it is without judging anything."""
    return settled_version(load_model(MODEL, env.root), [f"{MODEL}-sklearn"], env.root, None)


def carry_out(env: EnvironmentConfig, planned: Operation) -> Placement:
    move = Move(
        version=planned.version,
        target=planned.target,
        to=planned.after,
        actor=planned.actor,
        reason=planned.reason,
        plan_digest="p" * 64,
    )
    return commit(env, planned.before, move).placement


def test_no_run_lets_a_challenger_in_that_a_person_declined(local: EnvironmentConfig, eve: Actor) -> None:
    assert carry_out(local, abort(local, MODEL, eve, "no")) == Placement(stable=1)
    for _ in range(2):
        assert come_to(local, 2) == Settled(2, challenger=False, taken_back=True) == settled(local)
    assert local.ledger().slot(MODEL, local.name).placement == Placement(stable=1)
    assert come_to(local, 2, challenger=True) == Settled(2, challenger=True) == settled(local)
    accept(local, MODEL, 2, eve)
    assert local.ledger().slot(MODEL, local.name).stable == 2


def test_no_run_puts_back_what_a_person_rolled_back_nor_the_challenger_that_waited(
    local: EnvironmentConfig, eve: Actor
) -> None:
    accept(local, MODEL, 2, eve)
    assert come_to(local, 3, challenger=True).challenger
    after = carry_out(local, roll_back(local, MODEL, None, eve, "worse"))
    assert after == Placement(stable=1, previous=2)
    for number in (2, 3):
        assert come_to(local, number) == Settled(number, challenger=False, taken_back=True) == settled(local)
    assert local.ledger().slot(MODEL, local.name).placement == after
    assert come_to(local, 4) == Settled(4, challenger=False) == settled(local)
    assert come_to(local, 2).taken_back, "what came after a rollback does not undo it"


def test_a_challenger_that_gave_way_to_another_one_may_come_again(local: EnvironmentConfig) -> None:
    assert come_to(local, 3, challenger=True).challenger
    assert come_to(local, 2) == Settled(2, challenger=False)
    assert local.ledger().slot(MODEL, local.name).stable == 2
