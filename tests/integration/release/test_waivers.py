"""A champion that cannot be scored: one person's word for two digests, kept in a real ledger."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.errors import BadInputError, ConflictError, GateRefusedError
from components.evaluation.gates.evidence import UnscorableChampion, Waiver
from components.release.ledger import Ledger
from components.release.records import Digests, Placement, RecordedVersion, Transition
from components.types.release import Environment
from pipelines.release.actors import Actor
from pipelines.release.environment_config import ActorSection, EnvironmentSection, Right
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.waivers import champion_against, propose, waive, with_waiver

MODEL = "breast_cancer"
CHAMPION, CANDIDATE, OTHER = "c" * 64, "a" * 64, "b" * 64
EVE = Actor("eve", "local", frozenset(Right), verified=True)
FOUND = UnscorableChampion(CHAMPION, "column `x` is missing")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def local(tmp_path: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> EnvironmentConfig:
    """Return the local environment, where version 1 is stable and version 2 was never placed."""
    monkeypatch.setenv("TOWPATH_LEDGER_URL", ledger_url)
    shutil.copytree(ROOT / "pipelines/configs", tmp_path / "pipelines/configs")
    for number, digest in ((1, CHAMPION), (2, OTHER)):
        Ledger(ledger_url).record_version(RecordedVersion(MODEL, number, digest, "d" * 64, "onnx", author="ada"))
    place(Ledger(ledger_url), 1, 0)
    return EnvironmentConfig(Environment.LOCAL, EnvironmentSection(plan="laptop"), tmp_path)


@pytest.fixture
def with_actors(local: EnvironmentConfig) -> EnvironmentConfig:
    """Return the same where Ada and Eve are known by their tokens."""
    tokens = {"ada": "0" * 64, "eve": "1" * 64}
    actors = {name: ActorSection(token_sha256=token, may=tuple(Right)) for name, token in tokens.items()}
    return replace(local, section=EnvironmentSection(plan="laptop", actors=actors))


def place(ledger: Ledger, version: int, rev: int) -> None:
    digest = ledger.version(MODEL, version).digest
    digests = Digests(digest, "d" * 64, "0c0ffee", "1" * 64, "g" * 64, "e" * 64)
    to = Placement(stable=version)
    ledger.commit(Transition(MODEL, Environment.LOCAL, rev, version, "stable", to, digests, "ada", "test"))


def given(env: EnvironmentConfig, **changes: str) -> Waiver:
    now = datetime.now(UTC)
    fields = {"at": now.isoformat(), "expires_at": (now + timedelta(hours=1)).isoformat(), "actor": "eve"}
    fields |= {"champion_digest": CHAMPION, "candidate_digest": CANDIDATE, "reason": "the column was dropped"}
    waiver = Waiver(**{**fields, **changes})
    waive(env, MODEL, waiver)
    return waiver


def found_for(env: EnvironmentConfig, candidate: str = CANDIDATE, author: str = "ada") -> UnscorableChampion:
    ledger = env.ledger()
    champion = champion_against(ledger, ledger.slot(MODEL, env.name), candidate)
    assert champion is not None
    return with_waiver(env, champion, FOUND, candidate, author)


def test_a_waiver_reaches_the_gates_for_its_two_digests_alone(local: EnvironmentConfig) -> None:
    assert found_for(local).waiver is None
    waiver = given(local)
    assert found_for(local).waiver == waiver
    assert found_for(local, candidate=OTHER).waiver is None
    place(local.ledger(), 2, 1)  # another champion
    assert found_for(local).waiver is None


def test_a_waiver_expires(local: EnvironmentConfig) -> None:
    given(local, expires_at=datetime.now(UTC).isoformat())
    assert found_for(local).waiver is None


def test_where_there_are_actors_the_author_of_a_candidate_cannot_waive(with_actors: EnvironmentConfig) -> None:
    given(with_actors, actor="ada")
    found = found_for(with_actors)
    assert found.waiver is None
    assert "a waiver by ada does not count" in found.reason
    waiver = given(with_actors)
    assert found_for(with_actors).waiver == waiver


def test_a_waiver_for_a_champion_that_stands_there_no_more_is_a_conflict(local: EnvironmentConfig) -> None:
    with pytest.raises(ConflictError, match="became stable in local meanwhile"):
        given(local, champion_digest=OTHER)
    assert local.ledger().evidence(MODEL, local.name, 1) == ()


def test_what_cannot_be_waived_is_said(local: EnvironmentConfig) -> None:
    def ask(candidate: str = CANDIDATE[:12], reason: str = "why", actor: Actor = EVE) -> Waiver:
        return propose(local, MODEL, candidate, reason, actor, local.root)

    with pytest.raises(BadInputError, match="needs a reason"):
        ask(reason=" ")
    with pytest.raises(BadInputError, match="under 8 digits"):
        ask(candidate="aaaa")
    with pytest.raises(BadInputError, match="no candidate of breast_cancer; there are: none"):
        ask()
    with pytest.raises(GateRefusedError, match="may not approve in local"):
        ask(actor=Actor("bob", "local", frozenset({Right.PROMOTE}), verified=True))
