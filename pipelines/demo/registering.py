"""Register a version that was made from another one, with gates that were really judged: on the validation split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from components.registry.carried import fetch_request
from components.release.guards.evidence import GATES, GatesEvidence
from components.release.local import make_stable_locally
from components.release.records import Digests, RecordedVersion
from components.stage.files import record_digest
from components.types.evaluation import Verdict
from components.types.product import ProductRef
from pipelines.demo.broken import SENTENCES, Fault, break_product
from pipelines.release.apply import apply_outbox
from pipelines.release.commit import note
from pipelines.release.environments import EnvironmentConfig
from pipelines.release.lineage import LINEAGE, code_and_lock
from pipelines.release.offline import offline_predictions
from pipelines.release.requests import read_signature, split_path, split_rows
from pipelines.release.sinks import sinks_of

_COLUMN = "mean_area"
_ACCURACY = 0.9


def register_broken(model: str, base: int, fault: Fault, local: EnvironmentConfig, root: Path) -> int:
    """Break a registered version, judge it on the validation split, register it, and make it stable locally.

    Returns:
        The new version's number.
    """
    recorded = local.ledger().version(model, base)
    placed = local.place(recorded.ref)
    signature = read_signature(placed.directory)
    with TemporaryDirectory(prefix="towpath-broken-") as folder:
        work = Path(folder)
        request = fetch_request(local.registry(), model, base, "", work / "base")
        known = [row[_COLUMN] for row, _ in split_rows(model, "validation", root)]
        product = break_product(request.product, signature, fault, _COLUMN, known, work / "product")
        verdicts = (_judged(product, model, root), Verdict("origin", True, (f"version {base}, {SENTENCES[fault]}",)))
        lineage = replace(request.lineage, product_digest=product.digest, gates=verdicts, native_files=())
        run = local.registry().version(model, base).run_id
        broken = replace(request, run_id=run, product=product, lineage=lineage, native_dir=None)
        registered = local.registry().register(broken)
        local.store().put(product.directory)
    made = RecordedVersion(
        model, registered.version, product.digest, registered.dataset_digest, product.runtime, lineage.author
    )
    _place(local, made, verdicts, code_and_lock(local, recorded), lineage.suite_passed)
    return made.version


def _judged(product: ProductRef, model: str, root: Path) -> Verdict:
    """Return what the absolute gate says on the validation split."""
    predicted = [
        each["prediction"] for each in offline_predictions(product, split_path(model, "validation", root), root)
    ]
    labels = [label for _, label in split_rows(model, "validation", root)]
    accuracy = float(np.mean([found == true for found, true in zip(predicted, labels, strict=True)]))
    reason = f"accuracy is {accuracy:.3f} on {len(labels)} validation rows, at least {_ACCURACY} is asked for"
    return Verdict("absolute", accuracy >= _ACCURACY, (reason,))


def _place(
    local: EnvironmentConfig,
    version: RecordedVersion,
    verdicts: tuple[Verdict, ...],
    code_lock: tuple[str, str],
    suite_passed: bool,
) -> None:
    ledger, (code, lock) = local.ledger(), code_lock
    ledger.record_version(version)
    slot = ledger.slot(version.model, local.name)
    config = record_digest([_COLUMN, _ACCURACY])
    gates = GatesEvidence(version.digest, verdicts, config, clean=True, patch_digest="", suite_passed=suite_passed)
    for kind, content in ((GATES, gates), (LINEAGE, {"code": code, "lock": lock})):
        note(local, slot, version.version, version.digest, kind, content, version.author)
    digests = Digests(version.digest, version.dataset_digest, code, lock, config, record_digest(verdicts))
    make_stable_locally(
        ledger,
        version.version,
        seen=slot,
        digests=digests,
        actor=version.author,
        reason=f"passed its gates on the validation split: {verdicts[0].reasons[0]}",
        sinks=sinks_of(local),
    )
    apply_outbox(local, version.model)
