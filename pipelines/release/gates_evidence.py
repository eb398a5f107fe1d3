"""What the gates said when a version was registered: from this ledger where it was kept, else from the registry."""

from __future__ import annotations

import json

from components.errors import DigestMismatchError
from components.release.guards.evidence import GATES, GatesEvidence
from components.release.records import RecordedVersion
from components.types.record import load
from components.types.release import Environment
from pipelines.release.environments import EnvironmentConfig, load_environment


def gates_evidence(env: EnvironmentConfig, version: RecordedVersion) -> GatesEvidence:
    """Return what the gates said of a version's bytes.

    The ledger comes first: what it keeps nobody can change unnoticed, while whoever may edit MLflow can edit a lineage.

    Raises:
        DigestMismatchError: the registry's lineage is of other bytes.
        UnknownNameError: neither knows the version.
        InfrastructureError: the ledger or the registry cannot be reached.
    """
    for name in Environment:  # where it was registered, or on its way from there to here
        for stored in env.ledger().evidence(version.model, name, version.version, kind=GATES):
            if stored.artifact_digest == version.digest:
                return load(GatesEvidence, json.loads(stored.content))
    lineage = env.registry().read_lineage(version.model, version.version)
    if lineage.product_digest != version.digest:
        raise DigestMismatchError(
            f"the registry's lineage of version {version.version} of {version.model} is of product "
            f"{lineage.product_digest[:12]}, the ledger has {version.digest[:12]}; the registry was changed"
        )
    return GatesEvidence(
        product_digest=version.digest,
        verdicts=lineage.gates,
        gate_config_digest=_gate_config(env, version),
        clean=lineage.clean,
        patch_digest=lineage.patch_digest,
        suite_passed=lineage.suite_passed,
    )


def _gate_config(env: EnvironmentConfig, version: RecordedVersion) -> str:
    """Return the digest of the gates' configuration under which a version was registered; empty where nobody knows."""
    first = env if env.name is Environment.LOCAL else load_environment(Environment.LOCAL.value, env.root)
    for event in first.ledger().events(version.model, first.name):
        if (event.version, event.artifact_digest) == (version.version, version.digest):
            return event.gate_config_digest
    return ""
