"""Write the sides of a table: rows as Parquet, and what the preprocessing graph makes of them as NumPy files.

The features are computed by the graph that serving runs, so that training and serving cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq

from components.features.graph import FEATURES, Preprocessing
from components.features.splits import SIDES, Sides
from components.features.table import DatasetTable
from components.features.target import Target
from components.runtime.arrow_arrays import as_mask
from components.runtime.protocol import Tensor
from components.runtime.tensors import input_tensors
from components.types.dataset import ColumnType, Split

_SEEN_BY_TRAINERS = (Split.TRAIN, Split.VALIDATION)
_BLOCK_ROWS = 4_096
"""How many rows the graph takes at once; what is between nodes then stays in the processor's cache."""


def write_sides(folder: Path, table: DatasetTable, sides: Sides, target: Target, graph: Preprocessing) -> None:
    """Write ``<split>.parquet`` of each split, and features and target of those a trainer may see.

    Raises:
        SchemaError: a value is infinite, or missing where none may be.
    """
    session = _session(graph)
    with ExitStack() as stack:
        tables = [_open_table(stack, folder / f"{side.value}.parquet", table) for side in SIDES]
        matrices = [
            _open_matrix(stack, folder / f"{side.value}.features.npy", int((sides == index).sum()), graph)
            if side in _SEEN_BY_TRAINERS
            else None
            for index, side in enumerate(SIDES)
        ]
        for first_row, batch in table.batches():
            here = sides[first_row : first_row + batch.num_rows]
            features = _run(session, input_tensors(batch, graph.inputs, first_row), batch.num_rows)
            for index, (rows, matrix) in enumerate(zip(tables, matrices, strict=True)):
                if (mask := here == index).any():
                    rows.write_batch(batch.filter(as_mask(mask)))
                    if matrix:
                        matrix.write(np.ascontiguousarray(features[mask]).data)
    for index, side in enumerate(SIDES):
        if side in _SEEN_BY_TRAINERS:
            np.save(folder / f"{side.value}.target.npy", target.values[sides == index])


def _session(graph: Preprocessing) -> Any:
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    payload = graph.model.SerializeToString(deterministic=True)
    return onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def _run(session: Any, tensors: Mapping[str, Tensor], n_rows: int) -> Tensor:
    blocks = [
        session.run([FEATURES], {name: tensor[start : start + _BLOCK_ROWS] for name, tensor in tensors.items()})[0]
        for start in range(0, n_rows, _BLOCK_ROWS)
    ]
    return np.concatenate(blocks)


def _open_table(stack: ExitStack, path: Path, table: DatasetTable) -> Any:
    texts = [each.name for each in table.manifest.columns if each.type is ColumnType.STRING]
    # a dictionary of numbers that hardly repeat costs time and saves nothing
    return stack.enter_context(pq.ParquetWriter(path, table.schema, use_dictionary=texts, compression="zstd"))


def _open_matrix(stack: ExitStack, path: Path, n_rows: int, graph: Preprocessing) -> Any:
    file = stack.enter_context(path.open("wb"))
    header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, len(graph.feature_names))}
    np.lib.format.write_array_header_1_0(file, header)
    return file
