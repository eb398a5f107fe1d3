"""What a flow deployment's tags say about runs that are missed, killed or missing. Knows no server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from components.errors import ConfigError
from components.stage.config import nearest


class CatchUp(StrEnum):
    """What becomes of the runs that were due while nothing could run."""

    LATEST = "latest"
    """The last of them is run, the others are skipped."""
    NONE = "none"
    """They are all skipped: the next one comes soon."""


class Resume(StrEnum):
    """What becomes of a run that was killed."""

    ONCE = "once"
    """It is run once more, at the same commit."""
    NEVER = "never"


@dataclass(frozen=True)
class Policy:
    """How the watchdog treats one flow deployment."""

    catch_up: CatchUp
    resume: Resume
    absent_after_s: float
    """How long after its time a run may begin before it counts as missing."""


_KEYS = ("catch-up", "resume", "absent-after-s")


def read_policy(deployment: str, tags: Iterable[str]) -> Policy | None:
    """Return what a flow deployment's tags say; None for one that is not ours.

    Raises:
        ConfigError: a tag is unknown, missing, or says what cannot be.
    """
    said = {key: value for key, found, value in (tag.partition("=") for tag in tags) if found}
    if not said:
        return None
    if unknown := next((key for key in said if key not in _KEYS), None):
        raise ConfigError(
            f"infra/prefect.yaml: {deployment} has the tag `{unknown}=`{nearest(unknown, _KEYS)}; "
            f"known here: {', '.join(_KEYS)}"
        )
    if missing := next((key for key in _KEYS if key not in said), None):
        raise ConfigError(f"infra/prefect.yaml: {deployment} lacks the tag `{missing}=…`; add it")
    try:
        policy = Policy(CatchUp(said["catch-up"]), Resume(said["resume"]), float(said["absent-after-s"]))
    except ValueError as error:
        raise ConfigError(f"infra/prefect.yaml: a tag of {deployment} cannot be used: {error}") from error
    if not 0 < policy.absent_after_s < float("inf"):
        raise ConfigError(f"infra/prefect.yaml: `absent-after-s` of {deployment} must be a time above 0")
    return policy
