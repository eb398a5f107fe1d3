"""Golden requests: what a version predicted offline it must answer on the servers that are to serve it. Moves nothing.

The replay asked a sandbox, a server of its own, for many rows; a few of them are kept with their offline predictions.
They are put to the very processes that will answer users, once these have loaded the version, and before anything is
committed: another library, another architecture or a damaged process shows here.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.errors import FaultError
from components.release.guards.evidence import REPLAY, GoldenRow, ReplayEvidence
from components.release.protocol import Answer, DeploymentTarget
from components.release.records import RecordedVersion
from components.types.evaluation import Verdict
from components.types.record import load
from pipelines.release.client import outputs_of
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.observe import content_of
from pipelines.release.replay import difference

GATE = "golden"
_SAID = 120


def replayed(env: EnvironmentConfig, version: RecordedVersion) -> ReplayEvidence | None:
    """Return what was last replayed of a version's bytes for an environment; None where nothing was.

    Raises:
        FaultError: it cannot be read: it was edited.
        InfrastructureError: the ledger cannot be reached.
    """
    row = env.ledger().newest_evidence(version, env.name).get(REPLAY)
    if row is None:
        return None
    try:
        return load(ReplayEvidence, content_of(row))
    except ValueError as error:
        raise FaultError(
            f"the replay evidence of version {version.version} of {version.model} in {env.name} cannot be read "
            f"({error}): it was edited; verify the ledger"
        ) from error


def golden_verdict(target: DeploymentTarget, version: int, replay: ReplayEvidence | None) -> Verdict:
    """Return whether the servers of a target answer golden requests as the offline prediction did.

    Args:
        target: Where the version was deployed.
        version: The version.
        replay: The rows, and how far an answer may be off; without rows nothing passes.

    Raises:
        InfrastructureError: the target is down, or does not answer.
    """
    rows = replay.golden if replay is not None else ()
    if replay is None or not rows:
        return Verdict(GATE, False, ("no replayed row is kept to ask the servers for; promote it again",))
    answers = target.ask(version, [row.request.encode() for row in rows])
    asked = f"{len(answers):,} golden requests to the servers that are to serve it"
    if unasked := len(set(range(len(rows))) - {each.request for each in answers}):
        return Verdict(GATE, False, (f"{unasked} of {len(rows)} golden rows were not asked for",))
    differing = [each for each in answers if not _is_right(each, rows, replay.tolerance)]
    if not differing:
        return Verdict(GATE, True, (f"{asked}: all were answered like the offline prediction",))
    said = f"{len(differing):,} of {asked} were answered unlike the offline prediction; the first {_said(differing[0])}"
    return Verdict(GATE, False, (said,))


def _is_right(answer: Answer, rows: Sequence[GoldenRow], tolerance: float) -> bool:
    outputs = outputs_of(answer.body) if answer.status == 200 else {}
    return bool(outputs) and difference(outputs, rows[answer.request].outputs) <= tolerance


def _said(answer: Answer) -> str:
    words = answer.body[:_SAID].decode(errors="replace").strip()
    if not answer.status:
        return f"got no answer: {words}"
    return f"got status {answer.status}: {words}"
