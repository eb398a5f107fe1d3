"""The entry guards: what is in order passes, and each field that is broken refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from components.release.guards.entry import entry_verdicts, separation
from components.release.guards.evidence import CONTRACT, GATES, KINDS, LOAD, REPLAY, SANDBOX
from components.release.guards.findings import verdict
from components.release.plan import ApprovalsSection, ReleasePlan
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict
from components.types.release import Environment
from tests.rollouts import OTHER_DIGEST, evidence, slot, subject, with_stored

PLAN = ReleasePlan()
NAN, INFINITY = math.nan, math.inf
PASSED = {"gate": "absolute", "passed": True, "reasons": ["auc 0.9, at least 0.8"]}


def judged(given: RolloutEvidence, env: Environment) -> dict[str, Verdict]:
    return {each.gate: each for each in entry_verdicts(PLAN, env, slot(env), given)}


def refused(given: RolloutEvidence, env: Environment) -> set[str]:
    return {gate for gate, each in judged(given, env).items() if not each.passed}


@pytest.mark.parametrize(
    ("env", "gates"),
    [
        (Environment.STAGING, {"gates", "clean_tree", "sandbox"}),
        (Environment.PRODUCTION, {"gates", "clean_tree", "contract", "replay", "load"}),
    ],
)
def test_good_evidence_passes_every_guard_and_each_says_what_it_compared(env: Environment, gates: set[str]) -> None:
    verdicts = judged(evidence(slot(env)), env)
    assert set(verdicts) == gates
    assert all(each.passed and all(each.reasons) and each.reasons for each in verdicts.values())


def test_a_passed_guard_names_numbers_and_bounds() -> None:
    verdicts = judged(evidence(slot()), Environment.PRODUCTION)
    assert "replayed requests: 1,000, at least 1,000 needed" in verdicts["replay"].reasons
    assert "distinct rows among them: 900, at least 1 needed" in verdicts["replay"].reasons
    assert "load sustained: 250 requests/s, at least 100 requests/s needed" in verdicts["load"].reasons


@pytest.mark.parametrize("env", [Environment.STAGING, Environment.PRODUCTION])
def test_without_any_evidence_every_guard_refuses(env: Environment) -> None:
    given = replace(evidence(slot(env)), stored={})
    assert refused(given, env) == set(judged(given, env))


USED = {
    Environment.STAGING: {GATES: {"gates", "clean_tree"}, SANDBOX: {"sandbox"}},
    Environment.PRODUCTION: {
        GATES: {"gates", "clean_tree"},
        CONTRACT: {"contract"},
        REPLAY: {"replay"},
        LOAD: {"load"},
    },
}
BREAKS = [(env, kind, gates) for env, used in USED.items() for kind, gates in used.items()]


@pytest.mark.parametrize(("env", "kind", "gates"), BREAKS)
def test_evidence_that_is_missing_of_other_bytes_or_unreadable_refuses_its_guard_alone(
    env: Environment, kind: str, gates: set[str]
) -> None:
    given = evidence(slot(env))
    without = replace(given, stored={each: content for each, content in given.stored.items() if each != kind})
    assert refused(without, env) == gates
    assert refused(with_stored(given, kind, product_digest=OTHER_DIGEST), env) == gates
    assert refused(with_stored(given, kind, product_digest=""), env) == gates
    assert refused(with_stored(given, kind, unexpected=1), env) == gates
    for field in given.stored[kind]:
        content = {each: value for each, value in given.stored[kind].items() if each != field}
        assert refused(replace(given, stored={**given.stored, kind: content}), env) == gates


def test_evidence_about_a_version_of_unknown_bytes_refuses() -> None:
    given = replace(evidence(slot()), subject=subject(digest=""))
    given = replace(given, stored={kind: {**content, "product_digest": ""} for kind, content in given.stored.items()})
    assert refused(given, Environment.PRODUCTION) == {"gates", "clean_tree", "contract", "replay", "load"}


def broken_fields() -> list[tuple[Environment, str, str, Any, str]]:
    staging, production = Environment.STAGING, Environment.PRODUCTION
    fields: list[tuple[Environment, str, str, list[Any], str]] = [
        (staging, GATES, "verdicts", [None, [], [{**PASSED, "passed": False}], [{**PASSED, "reasons": []}]], "gates"),
        (staging, GATES, "verdicts", [[{**PASSED, "gate": "champion"}]], "gates"),
        (staging, GATES, "verdicts", [[PASSED, {"gate": "champion", "passed": False, "reasons": ["worse"]}]], "gates"),
        (staging, GATES, "gate_config_digest", ["", None], "gates"),
        (staging, GATES, "suite_passed", [False, None, "yes"], "gates"),
        (staging, GATES, "clean", [False, None], "clean_tree"),
        (staging, GATES, "patch_digest", ["f" * 64, None], "clean_tree"),
        (staging, SANDBOX, "requests", [99, 0, -1, None, NAN], "sandbox"),
        (staging, SANDBOX, "failed", [1, -1, None, NAN], "sandbox"),
        (staging, SANDBOX, "p95_ms", [50.1, NAN, INFINITY, -1.0, None], "sandbox"),
        (production, CONTRACT, "compatible", [False, None], "contract"),
        (production, CONTRACT, "reasons", [[], None], "contract"),
        (production, CONTRACT, "against_version", [None, 2], "contract"),
        (production, REPLAY, "requests", [999, 0, None, NAN], "replay"),
        (production, REPLAY, "distinct", [0, 1_001, None], "replay"),
        (production, REPLAY, "unequal", [1, -1, None], "replay"),
        (production, REPLAY, "largest_difference", [1.1e-5, NAN, INFINITY, -1.0, None], "replay"),
        (production, REPLAY, "tolerance", [1e-4, NAN, INFINITY, None], "replay"),
        (production, REPLAY, "golden", [[], None, [{"request": "{}"}]], "replay"),
        (production, LOAD, "requests_per_s", [99.9, NAN, INFINITY, None], "load"),
        (production, LOAD, "seconds", [4.9, NAN, INFINITY, None], "load"),
        (production, LOAD, "failed", [1, -1, None], "load"),
        (production, LOAD, "p99_ms", [NAN, INFINITY, -1.0, None], "load"),
    ]
    return [(env, kind, field, value, gate) for env, kind, field, values, gate in fields for value in values]


@pytest.mark.parametrize(("env", "kind", "field", "value", "gate"), broken_fields())
def test_each_broken_field_refuses_its_guard(env: Environment, kind: str, field: str, value: Any, gate: str) -> None:
    assert gate in refused(with_stored(evidence(slot(env)), kind, **{field: value}), env)


def test_every_field_of_every_kind_is_broken_above() -> None:
    broken = {(kind, field) for _, kind, field, _, _ in broken_fields()}
    for kind, record in KINDS.items():
        assert {(kind, field) for field in record.__dataclass_fields__ if field != "product_digest"} <= broken


def test_a_first_release_is_compared_with_nothing_and_a_later_one_never_is() -> None:
    first = slot(stable=None, previous=None)
    (contract,) = [each for each in entry_verdicts(PLAN, first.env, first, evidence(first)) if each.gate == "contract"]
    assert contract.passed
    assert "contract" in refused(evidence(first), Environment.PRODUCTION)


def test_gates_that_a_model_leaves_out_are_said_aloud() -> None:
    said = judged(with_stored(evidence(slot()), GATES, verdicts=[PASSED]), Environment.PRODUCTION)["gates"]
    assert said.passed
    assert "the gate champion is off in the model's configuration" in said.reasons


def test_the_local_environment_has_no_entry() -> None:
    (only,) = entry_verdicts(PLAN, Environment.LOCAL, slot(Environment.LOCAL), evidence(slot(Environment.LOCAL)))
    assert not only.passed


@pytest.mark.parametrize(
    ("actor", "author", "passed"),
    [("grace", "ada", True), ("ada", "ada", False), (None, "ada", False), ("", "ada", False), ("grace", "", False)],
)
def test_nobody_brings_their_own_version_into_production(actor: str | None, author: str, passed: bool) -> None:
    assert separation(PLAN, Environment.PRODUCTION, actor=actor, author=author).passed is passed


def test_the_author_may_propose_for_staging_or_where_nobody_is_asked_and_this_is_said() -> None:
    alone = ReleasePlan(approvals=ApprovalsSection(stable=0))
    for said in (
        separation(PLAN, Environment.STAGING, actor="ada", author="ada"),
        separation(alone, Environment.PRODUCTION, actor="ada", author="ada"),
    ):
        assert said.passed
        assert said.reasons


def test_a_gate_that_checked_nothing_refuses() -> None:
    assert verdict("empty", []) == Verdict("empty", False, ("nothing was checked",))
