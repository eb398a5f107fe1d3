"""Slots and evidence of rollouts in which everything is in order, for tests that break one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from components.release.guards import evidence as kinds
from components.release.plan import ReleasePlan
from components.release.records import Approval, Decision, RecordedVersion, Slot
from components.release.rollout import RolloutEvidence
from components.release.states import next_step
from components.types.evaluation import Verdict
from components.types.judging import ArmReport, BadEvent, Drift, Health, JudgeReport, ShadowReport
from components.types.record import dump
from components.types.release import Environment, Role

MODEL, STABLE, NEW, REV = "taxi", 3, 4, 7
DIGEST, OTHER_DIGEST, AUTHOR = "d" * 64, "e" * 64, "ada"
BEGAN = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
"""An hour in whose course many clocks are put forward."""
BAD_KINDS = tuple(kind.value for kind in BadEvent)


def slot(env: Environment = Environment.PRODUCTION, *, rev: int = REV, **placed: Any) -> Slot:
    """Return a slot with version 3 stable, unless told otherwise."""
    return Slot(**{"model": MODEL, "env": env, "rev": rev, "stable": STABLE, "previous": 2, **placed})


def arm(version: int, requests: int, **changed: Any) -> ArmReport:
    """Return what is known of a healthy version."""
    bad = dict.fromkeys(BAD_KINDS, 0)
    known = {"users": requests, "bad": bad, "labelled": 0, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "idle_s": 0.5}
    return ArmReport(**{"version": version, "requests": requests, **known, **changed})


def shadow(version: int, mirrored: int, **changed: Any) -> ShadowReport:
    """Return what is known of a healthy shadow."""
    none = dict.fromkeys(BAD_KINDS, 0)
    known: dict[str, Any] = {"dropped": 0, "bad": none, "stable_bad": none, "only_shadow_bad": 0, "only_stable_bad": 0}
    known |= {"differing": 0, "labelled": 0, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "idle_s": 0.5}
    return ShadowReport(**{"version": version, "mirrored": mirrored, **known, **changed})


def report(of: Slot, *, seconds: float = 2_000.0, requests: int = 6_000, **changed: Any) -> JudgeReport:
    """Return what the judge knows of a healthy rollout."""
    told: dict[str, Any] = {
        "model": of.model,
        "rev": of.rev,
        "seconds": seconds,
        "weight": of.weight if of.canary is not None else 0,
        "stable": None if of.stable is None else arm(of.stable, requests),
        "canary": None if of.canary is None else arm(of.canary, requests),
        "shadow": None if of.shadow is None else shadow(of.shadow, requests),
        "e_values": {BadEvent.SERVER_ERROR.value: 0.4},
        "e_value": 0.4,
        "drift": Drift(0.05, requests),
        "split_p": 0.5,
    }
    return JudgeReport(**{**told, **changed})


def stored(digest: str = DIGEST, *, against: int | None = STABLE) -> dict[str, dict[str, Any]]:
    """Return stored evidence of every kind, all of it good enough for the default plan."""
    verdicts = (Verdict("absolute", True, ("auc 0.9, at least 0.8",)), Verdict("champion", True, ("better by 0.01",)))
    golden = (kinds.GoldenRow('{"inputs": []}', {"prediction": 1.0}),)
    records = {
        kinds.GATES: kinds.GatesEvidence(digest, verdicts, "c" * 64, True, "", True),
        kinds.SANDBOX: kinds.SandboxEvidence(digest, 100, 0, 12.0),
        kinds.CONTRACT: kinds.ContractEvidence(digest, True, ("takes and gives the same",), against),
        kinds.REPLAY: kinds.ReplayEvidence(digest, 1_000, 900, 0, 1e-7, 1e-5, golden),
        kinds.LOAD: kinds.LoadEvidence(digest, 250.0, 5.0, 0, 30.0),
    }
    return {kind: dump(record) for kind, record in records.items()}


def approval(of: Slot, actor: str = "grace", target: str = "stable", **changed: Any) -> Approval:
    """Return somebody's word on the step of a slot."""
    given = BEGAN + timedelta(seconds=60)
    told: dict[str, Any] = {
        "model": of.model,
        "env": of.env,
        "version": NEW,
        "artifact_digest": DIGEST,
        "target": target,
        "rev": of.rev,
        "actor": actor,
        "decision": Decision.APPROVE,
        "reason": "looks well",
        "at": given.isoformat(),
        "expires_at": (given + timedelta(days=1)).isoformat(),
    }
    return Approval(**{**told, **changed})


def subject(version: int = NEW, **changed: Any) -> RecordedVersion:
    """Return the version that is on its way."""
    told: dict[str, Any] = {"dataset_digest": "a" * 64, "runtime": "onnx", "author": AUTHOR}
    return RecordedVersion(**{"model": MODEL, "version": version, "digest": DIGEST, **told, **changed})


def health(version: int | None = NEW, *, requests: int = 10_000, failed: int = 0) -> dict[float, Health]:
    """Return the stable version's health in the default plan's two windows."""
    bad = {BadEvent.SERVER_ERROR.value: failed}
    return {window: Health(Role.STABLE, version, requests, bad, window) for window in (3_600.0, 300.0)}


def evidence(of: Slot, *, after_s: float = 2_000.0, **changed: Any) -> RolloutEvidence:
    """Return evidence with which the next step of any slot passes under the default plan."""
    told: dict[str, Any] = {
        "now": BEGAN + timedelta(seconds=after_s),
        "subject": subject(),
        "step_began": BEGAN,
        "stored": stored(against=of.stable),
        "report": report(of, seconds=after_s),
        "approvals": (approval(of),),
        "previous_loadable": True,
        "older_loadable": True,
        "served_rev": of.rev,
        "stable_health": health(),
        "stable_since": BEGAN,
    }
    return RolloutEvidence(**{**told, **changed})


def with_report(given: RolloutEvidence, **changed: Any) -> RolloutEvidence:
    """Return the evidence with another report."""
    assert given.report is not None
    return replace(given, report=replace(given.report, **changed))


def with_stored(given: RolloutEvidence, kind: str, **changed: Any) -> RolloutEvidence:
    """Return the evidence with other content of one kind."""
    content: Mapping[str, Any] = {**given.stored[kind], **changed}
    return replace(given, stored={**given.stored, kind: content})


def on_the_way(plan: ReleasePlan, env: Environment = Environment.PRODUCTION) -> dict[str, Slot]:
    """Return a slot for each step of a plan, by the target that led there."""
    at, target = slot(env, candidate=NEW), "candidate"
    found: dict[str, Slot] = {}
    while target != "stable":
        assert target not in found
        found[target] = at
        step = next_step(plan, at)
        assert step is not None
        target, at = step.target, at.at(at.rev, step.to)
    return found
