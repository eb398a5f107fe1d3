"""From a judged product to a version that stands locally: bytes, registry, ledger, aliases, router, in order.

It is stable at once, or, where the run was asked for that, the challenger: then nothing moves before a person says so.
What a person took back stays out.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import ConflictError, InfrastructureError
from components.monitoring.profile import PROFILE_FILE
from components.registry.registry import Registry
from components.registry.request import Lineage, RegisteredVersion, RegistrationRequest
from components.release.guards.evidence import GATES, GatesEvidence
from components.release.local import make_challenger_locally, make_stable_locally
from components.release.records import Digests, RecordedVersion
from components.release.states import was_taken_back
from components.release.store import Store
from components.stage.files import file_digest, record_digest
from components.types import record
from components.types.product import ProductRef, Signature
from components.types.release import Environment
from components.types.training import RESULT_FILE, TrainingResult
from components.validation.verdict import VERDICT_FILE, ValidationVerdict
from pipelines.author import actor
from pipelines.batches.tracked import tracked_file
from pipelines.config import ModelConfig
from pipelines.input_example import input_example
from pipelines.judgement import Judgement
from pipelines.lineage import CodeLineage, code_lineage
from pipelines.recording import Recording
from pipelines.release.apply import apply_outbox, problems
from pipelines.release.commit import note
from pipelines.release.environments import EnvironmentConfig, load_environment
from pipelines.release.lineage import LINEAGE
from pipelines.release.sinks import sinks_of
from pipelines.selection import Settled
from pipelines.stages import changed_stages, model_stages, push_outputs
from pipelines.state import STORE
from pipelines.watch.reference import keep_profile


def register_and_place(
    config: ModelConfig,
    judgement: Judgement,
    recording: Recording,
    root: Path,
    flow_run_id: str,
    *,
    challenger: bool = False,
) -> Settled:
    """Push the bytes, register the version, give it its place, and let MLflow and the gateway know.

    Args:
        config: The model.
        judgement: What passed.
        recording: The run in MLflow.
        root: The project.
        flow_run_id: Prefect's.
        challenger: Whether it becomes the challenger, and not stable. What is the challenger already stays it.

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
    batches = tracked_file(config.name, root)
    push_outputs([*stages, *([str(batches)] if batches.is_file() else [])], root)
    registry = Registry(recording.tracker().connection)
    code = code_lineage(root)
    with TemporaryDirectory(prefix="towpath-lineage-") as folder:
        request = _request(config, judgement, recording, root, Path(folder), flow_run_id, code)
        version = registry.register(request)
    Store(root / STORE).put(request.product.directory)
    env = load_environment(Environment.LOCAL.value, root)
    settled = place(env, version, request.lineage, judgement, code, challenger=challenger)
    if left := tuple(problems(apply_outbox(env, version.model))):
        stands = "out" if settled.taken_back else "the challenger" if settled.challenger else "stable"
        raise InfrastructureError(
            f"version {version.version} of {version.model} is {stands} locally, but not all follows yet; run again, "
            f"or `towpath tick`: {'; '.join(left)}"
        )
    recording.tracker().set_tags(recording.run_id, {"towpath.version": str(version.version)})
    return settled


def place(
    env: EnvironmentConfig,
    version: RegisteredVersion,
    lineage: Lineage,
    judgement: Judgement,
    code: CodeLineage,
    *,
    challenger: bool,
) -> Settled:
    """Record a version with its evidence, and give it its place in the local environment.

    A version that a person took back there is left out, unless it is to wait for a person again, as the challenger.

    Raises:
        GateRefusedError: evidence is missing or of something else, or the version is rejected or quarantined.
        StaleRevisionError: another run, or a person, placed a version meanwhile.
        InfrastructureError: the ledger cannot be reached.
    """
    ledger = env.ledger()
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
    gates = GatesEvidence(
        product_digest=version.product_digest,
        verdicts=judgement.verdicts,
        gate_config_digest=judgement.gate_config_digest,
        clean=lineage.clean,
        patch_digest=lineage.patch_digest,
        suite_passed=lineage.suite_passed,
    )
    made_with = {"code": code.code_digest, "lock": code.lock_digest}
    for kind, content in ((GATES, gates), (LINEAGE, made_with)):
        note(env, judgement.slot, version.version, version.product_digest, kind, content, lineage.author)
    digests = Digests(
        artifact=version.product_digest,
        data=version.dataset_digest,
        code=code.code_digest,
        lock=code.lock_digest,
        gate_config=judgement.gate_config_digest,
        evidence=record_digest(judgement.verdicts),
    )
    if not challenger and was_taken_back(version.version, ledger.events(version.model, env.name)):
        return Settled(version.version, challenger=False, taken_back=True)
    if judgement.slot.candidate == version.version:  # it waits for a person, whoever comes to it again
        return Settled(version.version, challenger=True)
    move = make_challenger_locally if challenger else make_stable_locally
    slot = move(
        ledger,
        version.version,
        seen=judgement.slot,
        digests=digests,
        actor=lineage.author,
        reason=f"{judgement.sentence}; passed {len(judgement.verdicts)} gates",
        sinks=sinks_of(env),
    )
    return Settled(version.version, challenger=slot.candidate == version.version)


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
    files[PROFILE_FILE] = keep_profile(config.name, result.product_digest, result.dataset_digest, root)
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
