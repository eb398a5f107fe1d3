"""What code and which locks a version was made with, as its events name them. Asks the ledger, then the registry."""

from __future__ import annotations

import json

from components.release.records import RecordedVersion
from components.stage.files import record_digest
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
    for evidence in env.ledger().evidence(version.model, env.name, version.version, kind=LINEAGE):
        if evidence.artifact_digest == version.digest:
            content = json.loads(evidence.content)
            return content["code"], content["lock"]
    lineage = env.registry().read_lineage(version.model, version.version)
    return code_digest(lineage.git_commit, lineage.patch_digest), record_digest(dict(lineage.lock_digests))
