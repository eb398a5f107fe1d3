"""What code and which locks a version was made with, as its events name them. Asks the ledger, then the registry.

Whatever takes a version out of the traffic commits an event, too, and must not hang on MLflow: so the registry is asked
only about a version of which the ledger knows nothing in any environment.
"""

from __future__ import annotations

import json

from components.release.ledger import Ledger
from components.release.records import Evidence, RecordedVersion
from components.stage.files import record_digest
from components.types.release import Environment
from pipelines.lineage import code_digest
from pipelines.release.environments import EnvironmentConfig

LINEAGE = "lineage"
"""The kind of evidence that carries it: {code, lock}."""


def code_and_lock(env: EnvironmentConfig, version: RecordedVersion) -> tuple[str, str]:
    """Return the code digest and the lock digest of a version.

    Raises:
        UnknownNameError: neither the ledger nor the registry knows the version.
        InfrastructureError: the ledger or the registry cannot be reached.
    """
    if known := _recorded(env.ledger(), version) or _named_by_an_event(env.ledger(), version):
        return known
    lineage = env.registry().read_lineage(version.model, version.version)
    return code_digest(lineage.git_commit, lineage.patch_digest), record_digest(dict(lineage.lock_digests))


def _recorded(ledger: Ledger, version: RecordedVersion) -> tuple[str, str] | None:
    """Return what was stored when the version was registered, or when it entered an environment."""
    for name in Environment:
        for evidence in ledger.evidence(version.model, name, version.version, kind=LINEAGE):
            if evidence.artifact_digest == version.digest and (found := _read(evidence)):
                return found
    return None


def _named_by_an_event(ledger: Ledger, version: RecordedVersion) -> tuple[str, str] | None:
    """Return what an earlier event says: of what was placed anywhere before, the ledger knows it."""
    for name in Environment:
        for event in ledger.events(version.model, name):
            if (event.version, event.artifact_digest) == (version.version, version.digest):
                return event.code_digest, event.lock_digest
    return None


def _read(evidence: Evidence) -> tuple[str, str] | None:
    try:
        content = json.loads(evidence.content)
        return str(content["code"]), str(content["lock"])
    except (ValueError, KeyError, TypeError):  # edited: the others are asked
        return None
