"""What the judges and counters of several gateways know together: pure. Knows no pod.

Each pod's judge counts alone. Its e-values are divided by the number of pods there may be (`spread`), so their sum is
their average, with pods that are not there counting as 0; an average of e-values is one, whatever their dependence
(Vovk & Wang 2021, Ann. Statist. 49(3), "E-values: calibration, combination and applications").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from components.types.judging import ArmReport, Drift, Health, JudgeReport, ShadowReport
from components.types.release import JudgeSettings

T = TypeVar("T", int, float)


def spread(judge: JudgeSettings, most_pods: int) -> JudgeSettings:
    """Return settings with which that many pods, each judging alone, stop a good release no more often than one."""
    return replace(judge, steps=judge.steps * most_pods)


def pooled_report(found: Iterable[JudgeReport | None]) -> JudgeReport | None:
    """Return one report for all pods; None while the pods are at different revisions or one has no split yet.

    Counts are summed: a user who came to several pods counts in each. Latencies and drift are those of the pod where
    they are worst, times those of the pod that is least far.
    """
    reports = list(found)
    known = [each for each in reports if each is not None]
    if not known or len(known) < len(reports) or len({each.rev for each in known}) > 1:
        return None
    stopped = next((each for each in known if each.alarm is not None), None)
    tripped = next((each for each in known if each.breaker is not None), None)
    return replace(
        known[0],
        seconds=min(each.seconds for each in known),
        weight=min(each.weight for each in known),
        stable=_arms([each.stable for each in known]),
        canary=_arms([each.canary for each in known]),
        shadow=_shadows([each.shadow for each in known]),
        e_values=_sum(each.e_values for each in known),
        e_value=sum(each.e_value for each in known),
        drift=_drift([each.drift for each in known]),
        split_p=_split_p([each.split_p for each in known]),
        alarm=None if stopped is None else stopped.alarm,
        breaker=None if tripped is None else tripped.breaker,
        killed=any(each.killed for each in known),
    )


def pooled_health(found: Sequence[Health]) -> Health | None:
    """Return one role's health over all pods; None where none knows the model."""
    if not found:
        return None
    return replace(
        found[0],
        requests=sum(each.requests for each in found),
        bad=_sum(each.bad for each in found),
        window_s=min(each.window_s for each in found),
    )


def _arms(found: Sequence[ArmReport | None]) -> ArmReport | None:
    arms = [each for each in found if each is not None]
    if not arms:
        return None
    return replace(
        arms[0],
        requests=sum(each.requests for each in arms),
        users=sum(each.users for each in arms),
        bad=_sum(each.bad for each in arms),
        labelled=sum(each.labelled for each in arms),
        p50_ms=_most(each.p50_ms for each in arms),
        p95_ms=_most(each.p95_ms for each in arms),
        p99_ms=_most(each.p99_ms for each in arms),
        idle_s=min((each.idle_s for each in arms if each.idle_s is not None), default=None),
    )


def _shadows(found: Sequence[ShadowReport | None]) -> ShadowReport | None:
    arms = [each for each in found if each is not None]
    if not arms:
        return None
    return replace(
        arms[0],
        mirrored=sum(each.mirrored for each in arms),
        dropped=sum(each.dropped for each in arms),
        bad=_sum(each.bad for each in arms),
        stable_bad=_sum(each.stable_bad for each in arms),
        only_shadow_bad=sum(each.only_shadow_bad for each in arms),
        only_stable_bad=sum(each.only_stable_bad for each in arms),
        differing=sum(each.differing for each in arms),
        labelled=sum(each.labelled for each in arms),
        p50_ms=_most(each.p50_ms for each in arms),
        p95_ms=_most(each.p95_ms for each in arms),
        p99_ms=_most(each.p99_ms for each in arms),
        idle_s=min((each.idle_s for each in arms if each.idle_s is not None), default=None),
    )


def _most(found: Iterable[float | None]) -> float | None:
    return max((each for each in found if each is not None), default=None)


def _drift(found: Sequence[Drift]) -> Drift:
    """Return the largest index of those with enough rows, and how many rows they rest on."""
    enough = [each for each in found if each.psi is not None]
    rows = sum(each.rows for each in enough) if enough else max(each.rows for each in found)
    return Drift(_most(each.psi for each in enough), rows)


def _split_p(found: Sequence[float | None]) -> float | None:
    """Return the smallest p-value, corrected for how many there are (Bonferroni)."""
    known = [each for each in found if each is not None]
    return min(1.0, len(known) * min(known)) if known else None


def _sum(counts: Iterable[Mapping[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for each in counts:
        for name, value in each.items():
            found[name] = found[name] + value if name in found else value
    return found
