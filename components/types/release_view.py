"""What the release page shows of the ledger: a projection, written whole beside the snapshot. Never the truth."""

from __future__ import annotations

from dataclasses import dataclass

from components.types.evaluation import Verdict


@dataclass(frozen=True)
class VersionView:
    """One version in one environment."""

    version: int
    digest: str
    state: str
    """``stable``, ``canary``, ``shadow``, ``candidate``, ``paused(canary)``, ``superseded``, ``rolled_back``, …"""
    author: str


@dataclass(frozen=True)
class EventView:
    """One event of the slot's chain."""

    rev: int
    time: str
    version: int
    target: str
    actor: str
    reason: str
    hash: str


@dataclass(frozen=True)
class ApprovalView:
    """One approval or rejection."""

    version: int
    target: str
    actor: str
    decision: str
    reason: str
    at: str
    expires_at: str
    counts: bool
    """Whether it holds for the step that comes next, by its gate's rules: a rejection does until the slot moves."""


@dataclass(frozen=True)
class ModelView:
    """One model in one environment."""

    model: str
    env: str
    rev: int
    plan: str
    """The plan's name; empty where nothing is on its way."""
    stable: int | None
    canary: int | None
    shadow: int | None
    previous: int | None
    candidate: int | None
    weight: int
    paused: bool
    next_step: str
    """What comes next and what is missing, in a sentence."""
    versions: tuple[VersionView, ...]
    verdicts: tuple[Verdict, ...]
    """Of the gates of the present step, as they were judged last."""
    approvals: tuple[ApprovalView, ...]
    events: tuple[EventView, ...]
    """Newest first."""
    max_psi: float | None = None
    """The plan's bound of the predictions' drift; None where nothing is on its way, or the plan has no shadow."""
    split_p: float | None = None
    """Below this probability of the observed split the plan pauses; None where nothing is on its way."""


@dataclass(frozen=True)
class ReleaseView:
    """All models of one environment."""

    env: str
    written_at: str
    models: tuple[ModelView, ...]
