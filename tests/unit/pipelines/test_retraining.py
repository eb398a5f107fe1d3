"""Whether a model is trained again: every trigger, every hold, and whatever is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from components.stage.files import record_digest
from components.types.monitoring import ColumnDrift, Finding, FindingKind, MonitoringReport, Status
from pipelines.cli.monitoring import verb_of
from pipelines.retraining.config import RetrainingSection
from pipelines.retraining.decide import Attempt, Decision, History, Nothing, Retrain, Wait, decide
from tests.monitoring_reports import report

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
"""Half an hour after the report ends."""
REPORT = report()
POLICY = RetrainingSection()
STABLE = History(stable=3)


def decided(policy: RetrainingSection | None = POLICY, history: History = STABLE, **changes: object) -> Decision:
    return decide(policy, report(**changes), history, NOW)


def drifted(psi: float | None = 0.5, rows: int = 1_200, version: int = 3, column: str = "city") -> ColumnDrift:
    return ColumnDrift(version, column, Status.ALARM, psi, rows, 0.0, 0.0, ())


def only(kind: FindingKind) -> MonitoringReport:
    """Return a report in which one kind of alarm is all there is."""
    live = Finding(FindingKind.LIVE_METRIC, Status.ALARM, "auc of version 3 is 0.7", 3)
    return report(
        features=(drifted(),) if kind is FindingKind.FEATURE_DRIFT else (),
        predictions=(drifted(column="prediction"),) if kind is FindingKind.PREDICTION_DRIFT else (),
        findings=(live,) if kind is FindingKind.LIVE_METRIC else (),
    )


def attempt(ago: timedelta, digest: str = "another") -> Attempt:
    return Attempt(digest, NOW - ago, "brave-badger")


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert decided(policy=None) == Nothing("retraining is off: the model's configuration has no section `retraining`")


def test_drift_of_the_stable_version_is_a_cause_and_names_the_columns() -> None:
    found = decided()
    assert isinstance(found, Retrain)
    assert found.columns == ("city",)
    assert "city 0.50" in found.reason
    assert "1,200 rows" in found.reason
    assert found.report == record_digest(REPORT)
    assert decided() == found, "the same arguments give the same answer"


@pytest.mark.parametrize(
    "kind", [FindingKind.FEATURE_DRIFT, FindingKind.PREDICTION_DRIFT, FindingKind.LIVE_METRIC], ids=str
)
def test_each_alarm_is_a_cause_of_its_own_and_only_where_the_policy_names_it(kind: FindingKind) -> None:
    alarm = only(kind)
    found = decide(RetrainingSection(on=(kind.value,)), alarm, STABLE, NOW)
    assert isinstance(found, Retrain)
    assert [each.kind for each in found.causes] == [kind]
    others = tuple(each for each in POLICY.on if each != kind.value)
    assert isinstance(decide(RetrainingSection(on=others), alarm, STABLE, NOW), Nothing)


@pytest.mark.parametrize(
    "column",
    [
        drifted(rows=299),
        drifted(psi=None),
        drifted(version=2),
        replace(drifted(), status=Status.WARN),
        replace(drifted(), status=Status.INSUFFICIENT),
    ],
    ids=["299 rows", "no index", "another version", "a warning", "insufficient"],
)
def test_too_few_rows_another_version_or_a_warning_never_train(column: ColumnDrift) -> None:
    assert isinstance(decided(features=(column,)), Nothing)


def test_what_nobody_knows_is_said_and_is_no_cause() -> None:
    unknown = Finding(FindingKind.FEATURE_DRIFT, Status.INSUFFICIENT, "12 served rows of version 3", 3)
    found = decided(features=(), findings=(unknown,))
    assert isinstance(found, Nothing)
    assert "nobody knows enough: 12 served rows" in found.reason


def test_so_many_inputs_must_have_drifted_as_the_policy_says() -> None:
    two = RetrainingSection(min_columns=2)
    assert isinstance(decided(policy=two), Nothing)
    assert isinstance(decided(policy=two, features=(drifted(), drifted(column="age"))), Retrain)


def test_a_report_about_a_version_that_is_no_longer_stable_trains_nothing() -> None:
    found = decided(history=History(stable=4))
    assert isinstance(found, Nothing)
    assert "says nothing of version 4" in found.reason
    assert isinstance(decided(history=History(stable=None)), Nothing)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NOW + timedelta(hours=3), "more than 3h ago"),
        (NOW - timedelta(hours=1), "in the future"),
    ],
)
def test_a_report_that_is_not_about_now_trains_nothing(now: datetime, words: str) -> None:
    found = decide(POLICY, REPORT, STABLE, now)
    assert isinstance(found, Wait)
    assert words in found.reason
    assert isinstance(decide(POLICY, None, STABLE, NOW), Wait)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (
            replace(STABLE, attempts=(attempt(timedelta(days=60), record_digest(REPORT)),)),
            "this report led to run brave",
        ),
        (replace(STABLE, running="run calm-crow of training-people is Running"), "a training goes on: run calm-crow"),
        (replace(STABLE, rollouts=("version 4 is canary in production",)), "a release goes on: version 4 is canary"),
        (replace(STABLE, attempts=(attempt(timedelta(days=6)),)), "and 7d must pass"),
        (
            replace(STABLE, attempts=(attempt(timedelta(days=8)), attempt(timedelta(days=29)))),
            "2 of 2 retrainings in 30d",
        ),
    ],
    ids=["same report", "running", "rollout", "cool-down", "budget"],
)
def test_a_cause_waits_and_says_for_what(history: History, words: str) -> None:
    found = decided(history=history)
    assert isinstance(found, Wait)
    assert words in found.reason
    assert [each.kind for each in found.causes] == [FindingKind.FEATURE_DRIFT]


def test_waiting_ends_when_it_says_so() -> None:
    for history in (
        replace(STABLE, attempts=(attempt(timedelta(days=6)),)),
        replace(STABLE, attempts=(attempt(timedelta(days=8)), attempt(timedelta(days=29)))),
    ):
        held = decided(history=history)
        assert isinstance(held, Wait)
        free = datetime.fromisoformat(held.until)
        later = replace(REPORT, until=free.isoformat())
        assert isinstance(decide(POLICY, later, history, free - timedelta(seconds=1)), Wait)
        assert isinstance(decide(POLICY, later, history, free), Retrain)


def test_a_policy_may_train_beside_a_release() -> None:
    beside = RetrainingSection(wait_for_rollouts=False)
    assert isinstance(decided(policy=beside, history=replace(STABLE, rollouts=("a canary",))), Retrain)


def test_a_decision_is_a_verb_in_what_is_said() -> None:
    said = [verb_of(each, dry_run=True) for each in ("retrain", "wait", "nothing")]
    assert said == ["would retrain", "would wait", "would do nothing"]
    assert verb_of("nothing", dry_run=False) == "nothing"


@pytest.mark.parametrize("words", [{"on": []}, {"cool_down": "soon"}, {"budget": 0}, {"cooldown": "7d"}])
def test_a_policy_that_cannot_be_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RetrainingSection.model_validate(words)
