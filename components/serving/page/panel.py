"""What one model's page says: the ledger's view and the live reports side by side. Knows no HTML.

The two come from different processes at different times; where they disagree the page says so instead of choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.serving.page.notices import Notice, Served, Tone, notices_of, served_by
from components.serving.page.words import count
from components.types.judging import ArmReport, GatewayStatus, JudgeReport, ShadowReport
from components.types.release_view import ModelView


@dataclass(frozen=True)
class Bar:
    """One version's share of the users."""

    role: str
    version: int
    percent: int


@dataclass(frozen=True)
class Arm:
    """One row of the table of rates."""

    role: str
    version: int
    requests: int
    users: int | None
    """None where nobody is assigned: a shadow sees what the stable version sees."""
    bad: tuple[int, ...]
    """By the kinds of `Panel.kinds`."""
    labelled: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    idle_s: float | None


@dataclass(frozen=True)
class Panel:
    """One model, as the templates take it."""

    model: str
    view: ModelView | None
    report: JudgeReport | None
    state: str
    tone: Tone
    headline: str
    is_moving: bool
    notices: tuple[Notice, ...]
    bars: tuple[Bar, ...]
    shadow: int | None
    kinds: tuple[str, ...]
    arms: tuple[Arm, ...]
    workers: tuple[Served, ...]


def make_panel(model: str, view: ModelView | None, status: GatewayStatus) -> Panel:
    """Return what is to be said of one model."""
    report = status.reports.get(model)
    workers = tuple(served_by(worker, model) for worker in status.workers)
    stable, canary, shadow = _versions(view, report)
    candidate = view.candidate if view is not None else None
    is_moving = any(version is not None for version in (canary, shadow, candidate))
    weight = _weight(view, report)
    state, tone = _state(view, report, is_moving)
    kinds = _kinds(report)
    return Panel(
        model=model,
        view=view,
        report=report,
        state=state,
        tone=tone,
        headline=_headline(stable, canary, shadow, candidate, weight, tone is Tone.BAD),
        is_moving=is_moving,
        notices=notices_of(view, report, workers),
        bars=_bars(stable, canary, weight),
        shadow=shadow,
        kinds=kinds,
        arms=tuple(_arms(report, kinds)),
        workers=workers,
    )


def _versions(view: ModelView | None, report: JudgeReport | None) -> tuple[int | None, int | None, int | None]:
    if view is not None:
        return view.stable, view.canary, view.shadow
    if report is not None:
        arms = (report.stable, report.canary, report.shadow)
        stable, canary, shadow = (None if arm is None else arm.version for arm in arms)
        return stable, canary, shadow
    return None, None, None


def _weight(view: ModelView | None, report: JudgeReport | None) -> int:
    """Return the weight in effect: the gateway's where it serves this revision, since it may have set it to 0."""
    if report is not None and (view is None or report.rev == view.rev):
        return report.weight
    return view.weight if view is not None else 0


def _state(view: ModelView | None, report: JudgeReport | None, is_moving: bool) -> tuple[str, Tone]:
    if report is not None and (report.alarm or report.breaker):
        return "aborted", Tone.BAD
    if report is not None and report.killed:
        return "stopped by hand", Tone.BAD
    if view is not None and view.paused:
        return "paused", Tone.WARNING
    if is_moving:
        return "rolling out", Tone.MOVING
    if view is not None and view.stable is None:
        return "not released", Tone.QUIET
    return "steady", Tone.GOOD


def _headline(
    stable: int | None, canary: int | None, shadow: int | None, candidate: int | None, weight: int, is_stopped: bool
) -> str:
    answers = "No version is stable." if stable is None else f"Version {stable} is stable and answers everyone."
    if canary is not None and is_stopped:
        return f"{answers} Version {canary} was stopped."
    if canary is not None and stable is not None:
        return f"Version {canary} answers {weight} % of the users, version {stable} the others."
    if canary is not None:
        return f"Version {canary} is the canary at {weight} %; no version is stable."
    if shadow is not None:
        return f"{answers} Version {shadow} sees the same requests; its answers are compared and thrown away."
    if candidate is not None:
        return f"{answers} Version {candidate} is being prepared and gets no traffic yet."
    return answers


def _bars(stable: int | None, canary: int | None, weight: int) -> tuple[Bar, ...]:
    bars = []
    if stable is not None:
        bars.append(Bar("stable", stable, 100 - weight if canary is not None else 100))
    if canary is not None:
        bars.append(Bar("canary", canary, weight))
    return tuple(bars)


def _kinds(report: JudgeReport | None) -> tuple[str, ...]:
    if report is None:
        return ()
    found: set[str] = set()
    for arm in (report.stable, report.canary, report.shadow):
        found |= set(arm.bad) if arm is not None else set()
    return tuple(sorted(found))


def _arms(report: JudgeReport | None, kinds: Sequence[str]) -> list[Arm]:
    if report is None:
        return []
    arms = [_arm(role, arm, kinds) for role, arm in (("stable", report.stable), ("canary", report.canary)) if arm]
    if report.shadow is not None:
        arms.append(_shadow_arm(report.shadow, kinds))
    return arms


def _arm(role: str, arm: ArmReport, kinds: Sequence[str]) -> Arm:
    bad = tuple(arm.bad.get(kind, 0) for kind in kinds)
    times = (arm.p50_ms, arm.p95_ms, arm.p99_ms, arm.idle_s)
    return Arm(role, arm.version, arm.requests, arm.users, bad, arm.labelled, *times)


def _shadow_arm(arm: ShadowReport, kinds: Sequence[str]) -> Arm:
    bad = tuple(arm.bad.get(kind, 0) for kind in kinds)
    times = (arm.p50_ms, arm.p95_ms, arm.p99_ms, arm.idle_s)
    return Arm("shadow", arm.version, arm.mirrored, None, bad, arm.labelled, *times)


def pairs(shadow: ShadowReport) -> str:
    """Return what the comparison of a shadow found, request by request, in a sentence."""
    return (
        f"Of {count(shadow.mirrored)} requests that both answered, {count(shadow.differing)} got another prediction; "
        f"{count(shadow.only_shadow_bad)} went wrong in the shadow alone, "
        f"{count(shadow.only_stable_bad)} in the stable version alone. "
        f"{count(shadow.dropped)} were not mirrored because the shadow was busy."
    )
