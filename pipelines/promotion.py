"""From a judged product to a version that is stable locally: bytes, registry, ledger, aliases, router, in order."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import ConflictError
from components.registry.registry import Registry
from components.registry.request import Lineage, RegisteredVersion, RegistrationRequest
from components.release.ledger import Ledger
from components.release.local import make_stable_locally
from components.release.projection import aliases
from components.release.records import Digests, RecordedVersion, Slot
from components.release.store import Store
from components.stage.files import file_digest, record_digest
from components.types import record
from components.types.product import ProductRef, Signature
from components.types.training import RESULT_FILE, TrainingResult
from components.validation.verdict import VERDICT_FILE, ValidationVerdict
from pipelines.config import ModelConfig
from pipelines.input_example import input_example
from pipelines.judgement import Judgement
from pipelines.lineage import CodeLineage, code_lineage
from pipelines.placement import write_router
from pipelines.recording import Recording, open_connection
from pipelines.stages import changed_stages, model_stages, push_outputs
from pipelines.state import STORE, ledger_url


def register_and_place(
    config: ModelConfig, judgement: Judgement, recording: Recording, root: Path, flow_run_id: str
) -> int:
    """Push the bytes, register the version, make it stable locally, and let MLflow and the gateway know.

    Raises:
        GateRefusedError: evidence is missing or of something else.
        ConflictError: code, configuration or data changed while the run went on.
        StaleRevisionError: another run placed a version meanwhile.
        InfrastructureError: a server or a disk failed; running again is safe, and nothing is made twice.
    """
    stages = model_stages(config.name, [judgement.candidate.training])
    if stale := changed_stages(stages, root):
        raise ConflictError(
            f"files changed while the run of {config.name} went on ({', '.join(stale)} would run again); "
            "nothing was registered: run again"
        )
    push_outputs(stages, root)
    registry = Registry(recording.tracker().connection)
    code = code_lineage(root)
    with TemporaryDirectory(prefix="towpath-lineage-") as folder:
        request = _request(config, judgement, recording, root, Path(folder), flow_run_id, code)
        version = registry.register(request)
    Store(root / STORE).put(request.product.directory)
    slot = _place(version, request, judgement, code)
    wanted = aliases(slot)
    registry.set_aliases(wanted.model, wanted.champion, wanted.challenger, wanted.rev)
    write_router(root)
    recording.tracker().set_tags(recording.run_id, {"towpath.version": str(version.version)})
    return version.version


def fetch_into_store(model: str, version: int, store: Store, root: Path) -> None:
    """Put a registered version's product into the store.

    Raises:
        DigestMismatchError: the bytes are not those that were registered.
        InfrastructureError: the registry cannot be reached.
    """
    with TemporaryDirectory(prefix="towpath-fetch-") as folder:
        product = Registry(open_connection(root)).fetch_product(model, version, Path(folder) / "product")
        store.put(product.directory)


def actor() -> str:
    """Return who acts: ``TOWPATH_ACTOR``, else the user of this machine."""
    try:
        return os.environ.get("TOWPATH_ACTOR") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        return f"uid {os.getuid()}"


def _place(version: RegisteredVersion, request: RegistrationRequest, judgement: Judgement, code: CodeLineage) -> Slot:
    ledger = Ledger(ledger_url())
    lineage = request.lineage
    ledger.record_version(
        RecordedVersion(
            model=version.model,
            version=version.version,
            digest=version.product_digest,
            dataset_digest=version.dataset_digest,
            runtime=version.runtime,
            author=lineage.author,
        )
    )
    digests = Digests(
        artifact=version.product_digest,
        data=version.dataset_digest,
        code=code.code_digest,
        lock=code.lock_digest,
        gate_config=judgement.gate_config_digest,
        evidence=record_digest(judgement.verdicts),
    )
    return make_stable_locally(
        ledger,
        version.version,
        seen=judgement.slot,
        digests=digests,
        actor=lineage.author,
        reason=f"{judgement.sentence}; passed {len(judgement.verdicts)} gates",
    )


def _request(
    config: ModelConfig,
    judgement: Judgement,
    recording: Recording,
    root: Path,
    folder: Path,
    flow_run_id: str,
    code: CodeLineage,
) -> RegistrationRequest:
    training = judgement.candidate.training
    outputs = root / "out" / config.name
    output = outputs / "trainings" / training
    result = record.read(TrainingResult, output / RESULT_FILE)
    verdict_path = outputs / "validation" / VERDICT_FILE
    verdict = record.read(ValidationVerdict, verdict_path)
    files = {
        "dvc.lock": root / "dvc.lock",
        VERDICT_FILE: verdict_path,
        "evaluation.json": outputs / "evaluations" / training / "evaluation.json",
        f"{config.name}.yaml": config.path,
        "source.json": root / "data" / config.name / "source.json",
    }
    if code.patch:
        files["uncommitted.patch"] = folder / "uncommitted.patch"
        files["uncommitted.patch"].write_bytes(code.patch)
    product = ProductRef(output / "product", result.product_digest, result.runtime)
    lineage = Lineage(
        model=config.name,
        training=training,
        kind=result.kind,
        framework=result.framework,
        runtime=result.runtime,
        product_digest=result.product_digest,
        dataset_digest=result.dataset_digest,
        git_commit=code.commit,
        patch_digest=code.patch_digest,
        dvc_lock_digest=file_digest(root / "dvc.lock"),
        lock_digests=code.locks,
        suite_passed=verdict.success,
        suite_digest=file_digest(verdict_path),
        gates=judgement.verdicts,
        parameters=result.parameters,
        native_files=result.native_files,
        author=actor(),
        flow_run_id=flow_run_id,
    )
    signature = record.read(Signature, product.directory / "signature.json")
    return RegistrationRequest(
        run_id=recording.child(training),
        product=product,
        lineage=lineage,
        files=files,
        native_dir=output / "native",
        input_example=input_example(signature, outputs / "prepared"),
    )
