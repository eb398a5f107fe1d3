"""Prove on a model's own run that the gates refuse what they are for: copies of it, broken in ten ways, and one whole.

Where the training makes an analysis of its own, as TFX does, that is broken in two more.

The run's files are only read; the copies live in a temporary folder.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import BadInputError, ValidationRefusedError
from components.evaluation.gates.evidence import NoChampion
from components.evaluation.gates.judge import judge
from components.evaluation.gather import gather_evidence
from components.evaluation.proof.analysis_breaks import breaks_of
from components.evaluation.proof.breaks import Bench
from components.evaluation.proof.outcome import Proof, control
from components.stage.files import file_digest, write_json
from components.types import record
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, DatasetManifest
from pipelines.config import load_model
from pipelines.selection import baseline_training, choose

LEAKED = "leaked label"


def prove_gates(model: str, root: Path = Path()) -> tuple[Proof, ...]:
    """Return one proof per break, after that of the candidate as it is.

    Raises:
        UnknownNameError: there is no such model.
        BadInputError: the model has no finished run to break copies of.
        TowpathError: the run's own files are not as expected.
    """
    config = load_model(model, root)
    out = root / "out" / model
    evaluated = [name for name in config.trainings if (out / "evaluations" / name).is_dir()]
    if not evaluated:
        raise BadInputError(f"{out} holds no evaluated training to break copies of; run `towpath run {model}` first")
    baseline = baseline_training(config)
    if baseline not in evaluated:
        baseline = None
    evidence = gather_evidence(
        out,
        choose(config, evaluated, root).candidate.training,
        baseline=baseline,
        slice_columns=config.model.evaluation.slices,
        champion=NoChampion("a proof asks no ledger"),
    )
    with TemporaryDirectory(prefix="towpath-proof-") as folder:
        work = Path(folder)
        bench = Bench(out, evidence, config.model.gates, config.model.evaluation, work)
        first, *others = breaks_of(evidence)
        return (
            control(judge(evidence, config.model.gates)),
            first(bench),
            leaked_label(model, root, work / "leaked"),
            *(broken(bench) for broken in others),
        )


def leaked_label(model: str, root: Path, work: Path) -> Proof:
    """Hide the label in a feature of a copy of the table, and put the copy to validation.

    Raises:
        TowpathError: the table or its suite cannot be used.
    """
    from components.validation.stage import validate

    shutil.copytree(root / "data" / model, work / "data" / model)
    dataset = work / "data" / model / "dataset"
    manifest = record.read(DatasetManifest, dataset / MANIFEST_FILE)
    column = _hide_label(dataset / TABLE_FILE, manifest)
    write_json(dataset / MANIFEST_FILE, replace(manifest, digest=file_digest(dataset / TABLE_FILE)))
    broken = f"the label was hidden in the feature `{column}`, and the table validated again"
    try:
        validate(model, work)
    except ValidationRefusedError as error:
        reason = str(error).replace(f"{work}/", "")
        if "no_leak" in reason and f"`{column}`" in reason:
            return Proof(LEAKED, broken, refused=True, gate="validation", reason=reason)
        return Proof(LEAKED, broken, False, "", f"refused for another reason: {reason}")
    return Proof(LEAKED, broken, False, "", "validation accepted the table")


def _hide_label(table_file: Path, manifest: DatasetManifest) -> str:
    """Write the label's rank, in the column's own type, over the first feature that can hold it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(table_file)
    used = {manifest.id_column, manifest.label_column, *manifest.label_inputs}
    free = [field for field in table.schema if field.name not in used and not pa.types.is_timestamp(field.type)]
    if not free:
        raise BadInputError(f"{table_file} has no feature in which a label could be hidden")
    wide = [field for field in free if not pa.types.is_boolean(field.type)]
    chosen = (wide or free)[0]
    label = table.column(manifest.label_column).combine_chunks()
    ranks = pc.rank(pc.cast(label, pa.int8()) if pa.types.is_boolean(label.type) else label, tiebreaker="dense")
    hidden = pc.greater(ranks, 1) if pa.types.is_boolean(chosen.type) else pc.cast(ranks, chosen.type)
    place = table.schema.get_field_index(chosen.name)
    pq.write_table(table.set_column(place, chosen, hidden), table_file)
    return str(chosen.name)
