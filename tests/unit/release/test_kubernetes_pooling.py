"""What several pods know together: counts that add up, e-values that stay e-values, and doubt that stays doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components.judge import evalue
from components.release.targets.kubernetes_pooling import pooled_health, pooled_report, spread
from components.types.judging import Drift, Health
from components.types.release import JudgeSettings, Role
from tests.release_views import canary_report, shadow_report


def test_counts_are_summed_and_the_worst_latency_is_told() -> None:
    one = canary_report()
    assert one.canary is not None
    other = replace(one, seconds=one.seconds + 9, canary=replace(one.canary, p95_ms=900.0, idle_s=0.5))
    found = pooled_report([one, other])
    assert found is not None
    assert found.canary is not None
    assert found.canary.requests == 2 * one.canary.requests
    assert found.canary.bad == {kind: 2 * count for kind, count in one.canary.bad.items()}
    assert (found.canary.p95_ms, found.canary.idle_s) == (900.0, min(0.5, one.canary.idle_s or 0.5))
    assert found.seconds == one.seconds


def test_a_shadow_is_pooled_too() -> None:
    one = shadow_report()
    assert one.shadow is not None
    found = pooled_report([one, one, one])
    assert found is not None
    assert found.shadow is not None
    assert found.shadow.mirrored == 3 * one.shadow.mirrored
    assert found.shadow.only_shadow_bad == 3 * one.shadow.only_shadow_bad
    assert found.canary is None


def test_one_pod_is_told_as_it_is() -> None:
    for report in (canary_report(), shadow_report()):
        assert pooled_report([report]) == report


def test_pods_at_different_revisions_or_without_a_split_say_nothing_together() -> None:
    one = canary_report()
    assert pooled_report([one, replace(one, rev=one.rev + 1)]) is None
    assert pooled_report([one, None]) is None
    assert pooled_report([]) is None


def test_who_stopped_stops_all() -> None:
    one = replace(canary_report(), weight=5, alarm=None, breaker=None, killed=False)
    for changed in ({"alarm": "it said so"}, {"breaker": "3 of 20"}, {"killed": True}):
        found = pooled_report([one, replace(one, weight=0, **changed)])
        assert found is not None
        assert found.weight == 0
        assert {name: getattr(found, name) for name in changed} == changed


def test_e_values_of_spread_judges_add_up_to_their_average() -> None:
    settings = spread(JudgeSettings(steps=3), 4)
    assert settings.steps == 12
    by_pod = [120.0, 3.0, 0.5, 1.0]
    reports = [replace(canary_report(), e_value=evalue.average([each], 4), e_values={"slow": each}) for each in by_pod]
    found = pooled_report(reports)
    assert found is not None
    assert found.e_value == pytest.approx(np.mean(by_pod))
    assert found.e_values == {"slow": pytest.approx(sum(by_pod))}


def test_no_pod_raises_an_alarm_that_all_together_do_not() -> None:
    """The sum is at least its largest part, so what one pod stops for, the pooled report shows as well."""
    reports = [replace(canary_report(), e_value=each) for each in (101.0, 0.0, 0.0)]
    found = pooled_report(reports)
    assert found is not None
    assert found.e_value >= 100


def test_drift_is_where_it_is_worst_and_insufficient_only_where_all_are() -> None:
    one = canary_report()

    def drift(*found: Drift) -> Drift | None:
        pooled = pooled_report([replace(one, drift=each) for each in found])
        return pooled and pooled.drift

    assert drift(Drift(0.1, 400), Drift(0.3, 500)) == Drift(0.3, 900)
    assert drift(Drift(0.1, 400), Drift(None, 20)) == Drift(0.1, 400)
    assert drift(Drift(None, 200), Drift(None, 20)) == Drift(None, 200)


def test_the_smallest_p_value_is_corrected_for_how_many_looked() -> None:
    one = canary_report()
    for given, expected in (([0.01, 0.5], 0.02), ([0.9, 0.8], 1.0), ([0.01, None], 0.01), ([None, None], None)):
        found = pooled_report([replace(one, split_p=each) for each in given])
        assert found is not None
        assert found.split_p == expected


def test_health_is_that_of_the_shortest_window() -> None:
    found = [Health(Role.CANARY, 2, 10, {"slow": 1}, 60.0), Health(Role.CANARY, 2, 5, {"timeout": 2}, 12.0)]
    assert pooled_health(found) == Health(Role.CANARY, 2, 15, {"slow": 1, "timeout": 2}, 12.0)
    assert pooled_health([]) is None
