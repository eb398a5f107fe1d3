"""Compare training rows with served rows by TFDV: distributions, and rows of one id value by value. Knows no model.

Run as ``python -m components.training.tfx.skew TASK.json`` by the interpreter of TFX's environment; the task and the
report are files (`components.types.tfx`), and both tables are Parquet with the same columns in the same types.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.stage.files import write_json
from components.training.tfx.skew_distribution import compare_distributions
from components.training.tfx.skew_exact import compare_exactly
from components.types import record
from components.types.tfx import SkewReport, SkewTask


def compare(task: SkewTask) -> SkewReport:
    """Return how far served rows are from training rows.

    Raises:
        OSError: a table cannot be read.
    """
    wanted = [task.id_column, *task.columns]
    training: pa.Table = pq.read_table(task.training, columns=wanted)
    serving: pa.Table = pq.read_table(task.serving, columns=wanted)
    features = compare_distributions(
        training.select(list(task.columns)), serving.select(list(task.columns)), task.l_infinity, task.jensen_shannon
    )
    exact = compare_exactly(training, serving, task.id_column)
    return SkewReport(
        training_rows=training.num_rows,
        serving_rows=serving.num_rows,
        features=features,
        exact=exact,
        passed=all(each.passed for each in features) and not exact.features,
    )


def main(task_file: Path) -> None:
    """Read a task, compare, and write the report where the task says."""
    task = record.read(SkewTask, task_file)
    write_json(Path(task.output), compare(task))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
