"""Pooled counts as a `JudgeReport`. Knows no traffic and writes nothing."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from components.judge import evalue, latency, psi
from components.judge import split as traffic
from components.serving.board.layout import INDEX_OF_ROLE, KINDS
from components.serving.board.rollout_board import RolloutBoard
from components.serving.judging.evidence import CANARY, SHADOW, STABLE, e_values
from components.types.judging import ArmReport, Drift, JudgeReport, ShadowReport
from components.types.release import JudgeSettings, Role, TrafficSplit

Rows = np.ndarray[Any, Any]

_FEW_USERS = 30


def make_report(board: RolloutBoard, split: TrafficSplit, settings: JudgeSettings) -> JudgeReport:
    """Return all that the workers know together."""
    rows = board.rows
    by_kind = e_values(rows, split, settings)
    return JudgeReport(
        model=split.model,
        rev=split.rev,
        seconds=int(rows["served_ms"].max()) / 1000,
        weight=0 if board.stops.is_stopped else split.weight,
        stable=_arm(rows, split, Role.STABLE),
        canary=_arm(rows, split, Role.CANARY),
        shadow=_shadow(rows, split),
        e_values=by_kind,
        e_value=evalue.average(by_kind.values(), settings.steps) if by_kind else 1.0,
        drift=_drift(rows, split, settings),
        split_p=None if board.stops.is_stopped else _split_p(rows, split),
        alarm=board.stops.alarm,
        breaker=board.stops.breaker,
        killed=board.stops.is_killed,
        threshold=settings.threshold,
    )


def _arm(rows: Rows, split: TrafficSplit, role: Role) -> ArmReport | None:
    version, arm = split.version(role), rows["arms"][:, INDEX_OF_ROLE[role]]
    if version is None:
        return None
    return ArmReport(
        version,
        requests=int(arm["requests"].sum()),
        users=int(arm["users"].sum()),
        bad=_by_kind(arm["bad"].sum(axis=0)),
        labelled=int(arm["labelled"].sum()),
        idle_s=_idle_s(arm),
        **_latencies(arm),
    )


def _shadow(rows: Rows, split: TrafficSplit) -> ShadowReport | None:
    if split.shadow is None:
        return None
    pairs, arm = rows["pairs"], rows["arms"][:, SHADOW]
    ours, theirs, both = (pairs[name].sum(axis=0) for name in ("only_shadow", "only_stable", "both"))
    return ShadowReport(
        split.shadow,
        mirrored=int(pairs["mirrored"].sum()),
        dropped=int(pairs["dropped"].sum()),
        bad=_by_kind(ours + both),
        stable_bad=_by_kind(theirs + both),
        only_shadow_bad=int(ours.sum()),
        only_stable_bad=int(theirs.sum()),
        differing=int(pairs["differing"].sum()),
        labelled=int(pairs["labelled"].sum()),
        idle_s=_idle_s(arm),
        **_latencies(arm),
    )


def _drift(rows: Rows, split: TrafficSplit, settings: JudgeSettings) -> Drift:
    candidate = CANARY if split.canary is not None else SHADOW
    scores = rows["arms"]["scores"].sum(axis=0)
    fewest = int(min(scores[STABLE].sum(), scores[candidate].sum()))
    return Drift(psi.psi(scores[STABLE], scores[candidate], min_rows=settings.psi_min), fewest)


def _split_p(rows: Rows, split: TrafficSplit) -> float | None:
    users = rows["arms"]["users"].sum(axis=0)
    canary, every = int(users[CANARY]), int(users[STABLE] + users[CANARY])
    if split.canary is None or not 0 < split.weight < 100 or every < _FEW_USERS:
        return None
    return traffic.p_value(canary, every, split.weight / 100)


def _latencies(arm: Rows) -> dict[str, float | None]:
    counts = arm["latency"].sum(axis=0)
    found = {f"p{percent}_ms": latency.quantile(counts, percent / 100) for percent in (50, 95, 99)}
    return {name: None if seconds is None else seconds * 1000 for name, seconds in found.items()}


def _idle_s(arm: Rows) -> float | None:
    latest_ms = int(arm["latest_ms"].max())
    return max(0.0, time.time() - latest_ms / 1000) if latest_ms else None


def _by_kind(counts: np.ndarray) -> dict[str, int]:
    """Return every kind's count, 0 as well: a kind that is not named was not counted, and that is no evidence."""
    return {kind.value: count for kind, count in zip(KINDS, counts.tolist(), strict=True)}
