"""A version enters an environment: its bytes are copied and checked, its evidence comes along, more is gathered.

Nothing is decided here, and nothing gets traffic. Entering twice is entering once; bytes that are not those that were
registered leave nothing behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from components.errors import DigestMismatchError
from components.release.guards.evidence import CONTRACT, GATES, LOAD, REPLAY, SANDBOX, ContractEvidence, StoredEvidence
from components.release.plan import ReleasePlan
from components.release.records import Evidence, RecordedVersion
from components.stage.files import tree_digest
from components.types.product import ProductRef
from components.types.record import canonical_json
from components.types.release import PlacedModel
from pipelines.author import actor
from pipelines.release.carrying import carry
from pipelines.release.commit import note
from pipelines.release.contract import incompatibilities
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.gates_evidence import gates_evidence
from pipelines.release.lineage import LINEAGE, code_and_lock
from pipelines.release.load_test import load_test
from pipelines.release.offline import offline_predictions
from pipelines.release.replay import replay
from pipelines.release.requests import read_signature, request_rows, split_path
from pipelines.release.sandbox import sandbox, try_out

if TYPE_CHECKING:
    from components.registry.carried import CarriedRegistry

Report = Callable[[str, int, int], None]
"""Hears what is going on, how much of it is done, and how much there is."""

SPLIT = "validation"
"""Whose rows are replayed."""
_PASSING = frozenset({"observation"})
"""Kinds of evidence that stay where they were gathered: what was seen there, tick by tick."""


def enter(
    model: str, version: int, source: EnvironmentConfig, target: EnvironmentConfig, root: Path
) -> RecordedVersion:
    """Make a version known in an environment, its bytes in that environment's store; again changes nothing.

    Raises:
        UnknownNameError: the version was never recorded in the source.
        DigestMismatchError: the bytes are not those that were registered; nothing was copied.
        ConflictError: the number is recorded in the target with other bytes.
        InfrastructureError: a ledger, a registry or a disk failed; entering again is safe.
    """
    placed = source.place(source.ledger().version(model, version).ref)
    _copy(placed, target)
    if target.has_own_registry:
        carry(source.registry(), cast("CarriedRegistry", target.registry()), placed.ref, source.name.value, root)
    recorded = source.ledger().version(model, version)
    if target.ledger_url != source.ledger_url:
        target.ledger().record_version(recorded)
        for evidence in reversed(source.ledger().evidence(model, source.name, version)):
            if evidence.kind not in _PASSING:
                target.ledger().add_evidence(evidence)
    _keep_lineage(recorded, source, target)
    return recorded


def gather(
    model: str, version: int, env: EnvironmentConfig, plan: ReleasePlan, root: Path, report: Report
) -> tuple[Evidence, ...]:
    """Measure what a version must show before it gets traffic, on the bytes in the environment's store.

    Raises:
        UnknownNameError: the version was never recorded here, or there are no rows to replay.
        DigestMismatchError: bytes are not those that were promised.
        FaultError: the version does not load, or cannot predict the rows.
        InfrastructureError: the ledger or the registry cannot be reached, or no sandbox could be started.
    """
    recorded = env.ledger().version(model, version)
    slot = env.ledger().slot(model, env.name)
    placed = env.place(recorded.ref)

    def evidence(kind: str, content: StoredEvidence) -> Evidence:
        return Evidence(
            model=model,
            env=env.name,
            version=version,
            artifact_digest=recorded.digest,
            kind=kind,
            rev=slot.rev,
            content=canonical_json(content),
            gathered_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            gathered_by=actor(),
        )

    report("reading what the gates said", 0, 1)
    found = [evidence(GATES, gates_evidence(env, recorded))]
    report("comparing the signature", 0, 1)
    found.append(evidence(CONTRACT, _contract(env, placed, slot.stable)))
    found += [evidence(kind, content) for kind, content in _measured(env, placed, plan, root, report)]
    return tuple(found)


def _copy(placed: PlacedModel, target: EnvironmentConfig) -> None:
    """Copy bytes into another store; they are checked between the two, where nobody else can change them."""
    ref = placed.ref
    if ref.digest in target.store():
        target.store().path(ref.digest)
        return
    with TemporaryDirectory(prefix="towpath-enter-") as folder:
        copy = Path(folder) / "product"
        shutil.copytree(placed.directory, copy, symlinks=True)
        if (found := tree_digest(copy)) != ref.digest:
            raise DigestMismatchError(
                f"version {ref.version} of {ref.model} was promised as {ref.digest[:12]} and read as {found[:12]} "
                f"while it was copied to {target.name.value}; nothing was copied: look at the disk, then promote again"
            )
        target.store().put(copy)


def _keep_lineage(version: RecordedVersion, source: EnvironmentConfig, target: EnvironmentConfig) -> None:
    """Store what a version was made with where it goes: no event there must ask MLflow for it, and none further on."""
    if target.ledger().evidence(version.model, target.name, version.version, kind=LINEAGE):
        return
    code, lock = code_and_lock(source, version)
    slot = target.ledger().slot(version.model, target.name)
    note(target, slot, version.version, version.digest, LINEAGE, {"code": code, "lock": lock}, actor())


def _contract(env: EnvironmentConfig, placed: PlacedModel, stable: int | None) -> ContractEvidence:
    digest = placed.ref.digest
    if stable is None:
        reason = f"nothing is stable in {env.name.value} yet, so there is no client to break"
        return ContractEvidence(digest, True, (reason,), None)
    against = env.place(env.ledger().version(placed.ref.model, stable).ref)
    reasons = incompatibilities(read_signature(placed.directory), read_signature(against.directory))
    kept = (f"takes and gives what version {stable} does",)
    return ContractEvidence(digest, not reasons, reasons or kept, stable)


def _measured(
    env: EnvironmentConfig, placed: PlacedModel, plan: ReleasePlan, root: Path, report: Report
) -> Iterator[tuple[str, StoredEvidence]]:
    """Yield what a sandboxed server shows."""
    entry, ref = plan.entry, placed.ref
    signature = read_signature(placed.directory)
    rows = request_rows(ref.model, signature, SPLIT, root, entry.requests)
    report("predicting offline", 0, 1)
    product = ProductRef(placed.directory, ref.digest, placed.runtime)
    offline = offline_predictions(product, split_path(ref.model, SPLIT, root), root)
    report("starting a sandboxed server", 0, 1)

    def progress(what: str) -> Callable[[int, int], None]:
        return lambda done, total: report(what, done, total)

    with sandbox(placed, root, env.section.target.ready_s) as box:
        yield SANDBOX, try_out(box, rows, entry.sandbox_requests, progress("asking it for single rows"))
        asked = progress("replaying real rows")
        yield REPLAY, replay(box, rows, offline, entry.requests, entry.tolerance, asked)
        loaded = progress(f"{entry.load_requests_per_s:g} requests/s for {entry.load_s:g} s")
        yield LOAD, load_test(box, rows, entry.load_requests_per_s, entry.load_s, loaded)
