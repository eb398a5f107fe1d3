"""Make data that moved: a copy of prepared splits in which many values are no longer what they were. Knows no model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.evaluation.record.predict import read_prepared
from components.stage.files import text_digest, write_json
from components.types.dataset import Split
from components.types.training import PREPARED_FILE, PreparedSpec

DEVIATIONS = 10.0
"""By how many standard deviations a number moves: as when one of two sources sends grams instead of kilograms."""


def shift_prepared(prepared: Path, target: Path, seed: int) -> PreparedSpec:
    """Write the validation and test splits with half of each input column's values moved, and return their spec.

    Numbers move up by `DEVIATIONS` standard deviations, text changes places, booleans turn around; ids and labels stay.
    The copy says that it is other data.
    """
    spec = read_prepared(prepared)
    columns = [name for each in spec.inputs for name in each.columns]
    generator = np.random.default_rng(seed)
    target.mkdir(parents=True, exist_ok=True)
    for split in (Split.VALIDATION, Split.TEST):
        table = pq.read_table(prepared / f"{split.value}.parquet")
        for name in columns:
            place = table.schema.get_field_index(name)
            moved = _moved(table.column(name).combine_chunks(), generator)
            table = table.set_column(place, table.schema.field(name), moved)
        pq.write_table(table, target / f"{split.value}.parquet")
    shifted = replace(spec, dataset_digest=text_digest(f"shifted {seed} {spec.dataset_digest}"))
    write_json(target / PREPARED_FILE, shifted)
    return shifted


def _moved(column: pa.Array, generator: np.random.Generator) -> pa.Array:
    chosen = pa.array(generator.random(len(column)) < 0.5)
    if pa.types.is_boolean(column.type):
        return pc.if_else(chosen, pc.invert(column), column)
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        by = DEVIATIONS * ((pc.stddev(column).as_py() or 0.0) or 1.0)
        step = pa.scalar(by if pa.types.is_floating(column.type) else max(1, round(by)), column.type)
        return pc.if_else(chosen, pc.add(column, step), column)
    return pc.if_else(chosen, column.take(pa.array(generator.permutation(len(column)))), column)
