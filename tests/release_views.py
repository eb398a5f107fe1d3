"""A release in its midst, as a gateway and a ledger would tell it; for tests of the page that shows it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.serving.page.history import History
from components.serving.page.source import StoredSource
from components.stage.files import write_json
from components.types.evaluation import Verdict
from components.types.judging import ArmReport, Drift, GatewayStatus, JudgeReport, ShadowReport, WorkerStatus
from components.types.release_view import ApprovalView, EventView, ModelView, ReleaseView, VersionView

MODEL = "churn"
EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def digest(number: int) -> str:
    return f"{number:x}" * 64


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def canary_report(**changes: object) -> JudgeReport:
    """Version 8 at 25 % beside version 7."""
    stable = ArmReport(7, 14_210, 3_180, {"server_error": 3, "slow": 151}, 1_210, 0.62, 1.91, 4.4, 0.2)
    canary = ArmReport(8, 4_712, 1_061, {"server_error": 2, "slow": 61}, 398, 0.7, 2.2, 5.1, 0.9)
    e_values = {"server_error": 1.9, "slow": 4.2}
    report = JudgeReport(MODEL, 14, 1_860.0, 25, stable, canary, None, e_values, 3.05, Drift(0.034, 4_712), 0.41)
    return replace(report, **changes)  # type: ignore[arg-type]


def shadow_report(**changes: object) -> JudgeReport:
    """Version 8 as the shadow of version 7."""
    shadow = ShadowReport(8, 5_100, 110, {"server_error": 9}, {"server_error": 3}, 8, 2, 40, 0, 0.7, 2.0, 3.0, 0.4)
    report = canary_report(rev=13, weight=0, canary=None, shadow=shadow, e_values={"server_error": 3.9}, e_value=3.9)
    return replace(report, drift=Drift(None, 120), split_p=None, **changes)  # type: ignore[arg-type]


def status(*reports: JudgeReport, rev: int = 14, workers: int = 2, alive_s: float = 0.3) -> GatewayStatus:
    served = tuple(
        WorkerStatus(worker, 4_100 + worker, alive_s, {MODEL: rev}, {MODEL: (6, 7, 8)}) for worker in range(workers)
    )
    return GatewayStatus(served, {report.model: report for report in reports})


def model_view(**changes: object) -> ModelView:
    versions = (
        VersionView(8, digest(8), "canary", "ada"),
        VersionView(7, digest(7), "stable", "grace"),
        VersionView(6, digest(6), "superseded", "grace"),
        VersionView(5, digest(5), "rolled_back", "ada"),
    )
    verdicts = (
        Verdict("canary_time", True, ("31 min at 25 %, at least 30 min are needed",)),
        Verdict("canary_requests", False, ("212 canary requests at this weight, at least 300 are needed",)),
    )
    approvals = (
        ApprovalView(8, "stable", "edsger", "approved", "looked at the pairs", ago(600), ago(-80_000), True),
        ApprovalView(8, "canary", "grace", "approved", "go on", ago(9_000), ago(-70_000), False),
    )
    events = (
        EventView(14, ago(180), 8, "canary", "automatic", "25 %: every gate passed", digest(14)),
        EventView(13, ago(2_000), 8, "shadow", "ada", "new features", digest(13)),
    )
    whole = ModelView(
        model=MODEL,
        env="production",
        rev=14,
        plan="default",
        stable=7,
        canary=8,
        shadow=None,
        previous=6,
        candidate=None,
        weight=25,
        paused=False,
        next_step="Next: canary 50 %. Missing: 88 more canary requests.",
        versions=versions,
        verdicts=verdicts,
        approvals=approvals,
        events=events,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def write_view(folder: Path, *models: ModelView, written_at: str | None = None) -> None:
    view = ReleaseView("production", ago(2) if written_at is None else written_at, models)
    write_json(folder / "release-view.json", view)


def write_history(folder: Path, report: JudgeReport, points: int = 40, growth: float = 1.12) -> None:
    """Evidence that grows, a point every ten seconds until now."""
    history, now_s = History(folder), datetime.now(UTC).timestamp()
    for index in range(points):
        factor = growth**index
        e_values = {kind: 0.5 * factor * (1 + place) for place, kind in enumerate(report.e_values)}
        average = math.fsum(e_values.values()) / len(e_values)
        grown = replace(report, e_values=e_values, e_value=average)
        history.look(status(grown), now_s - 10 * (points - 1 - index))


def source(folder: Path, *reports: JudgeReport, **changes: object) -> StoredSource:
    return StoredSource(folder, status(*reports, **changes))  # type: ignore[arg-type]
