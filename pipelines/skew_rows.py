"""The rows that a comparison of training with serving is about, as two tables of the same columns. Compares nothing.

Of the log, every request counts once: rows that were answered with 200, and no shadow's. A served row has an id where
its request had one row: then ``x-request-id`` may be the id of a row that training knows.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import BadInputError, DigestMismatchError
from components.serving.prediction_log.schema import input_column
from components.types import record
from components.types.product import InputSpec
from components.types.release import ModelRef
from components.types.training import PREPARED_FILE, PreparedSpec

if TYPE_CHECKING:
    import pyarrow as pa

ID_COLUMN = "towpath:id"
"""No input is called so: a column's name comes from a file, and this one is added beside it."""
_ABOUT = ("digest", "role", "status", "time", "request_id", "row")
_ANSWERED = 200
_SHADOW = "shadow"


def comparable_inputs(spec: PreparedSpec) -> tuple[InputSpec, ...]:
    """Return the inputs that are plain columns; an image is no column.

    Raises:
        BadInputError: there are none.
    """
    found = tuple(each for each in spec.inputs if not each.shape)
    if not found:
        raise BadInputError(f"{spec.model} takes an image and no other column; skew is found between plain columns")
    return found


def read_spec(prepared: Path) -> PreparedSpec:
    """Return what the prepare stage wrote.

    Raises:
        BadInputError: it never ran.
        DigestMismatchError: its file is damaged.
    """
    path = prepared / PREPARED_FILE
    if not path.is_file():
        raise BadInputError(f"{path} is missing, so there are no training rows to compare with; run the model first")
    try:
        return record.read(PreparedSpec, path)
    except (OSError, ValueError) as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); delete {prepared} and prepare again") from error


def served_rows(folder: Path, ref: ModelRef, inputs: tuple[InputSpec, ...], since: datetime | None) -> pa.Table:
    """Return the logged rows of one version, under the inputs' own names, and their ids.

    Args:
        folder: The environment's log.
        ref: The version.
        inputs: The columns to be read.
        since: The earliest moment; None for all that is there.

    Raises:
        BadInputError: nothing was logged.
        DigestMismatchError: a file is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = [_read(path, inputs) for path in _files(folder / ref.model, ref.version, since)]
    if not tables:
        raise BadInputError(
            f"insufficient: {folder} holds no rows of version {ref.version} of {ref.model}"
            f"{f' since {since:%Y-%m-%d %H:%M} UTC' if since else ''}; let it serve for a while, or look further back"
        )
    rows = pa.concat_tables(tables)
    kept = pc.and_(pc.equal(rows["status"], _ANSWERED), pc.not_equal(rows["role"], _SHADOW))
    kept = pc.and_(kept, pc.equal(rows["digest"], ref.digest))
    if since is not None:
        kept = pc.and_(kept, pc.greater_equal(rows["time"], pa.scalar(since, rows["time"].type)))
    return _with_ids(rows.filter(kept), inputs)


def training_rows(prepared: Path, spec: PreparedSpec, like: pa.Table) -> pa.Table:
    """Return the train split in the columns and types of `like`.

    Raises:
        DigestMismatchError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path, names = prepared / "train.parquet", [name for name in like.column_names if name != ID_COLUMN]
    try:
        table = pq.read_table(path, columns=list(dict.fromkeys([*names, spec.id_column])))
        columns = {name: table[name].cast(like.schema.field(name).type) for name in names}
        ids = table[spec.id_column].cast(pa.string())
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); delete {prepared} and prepare again") from error
    for name, column in columns.items():
        if pa.types.is_floating(column.type):  # NaN stands for a missing value
            columns[name] = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return pa.table({**columns, ID_COLUMN: ids})


def _files(folder: Path, version: int, since: datetime | None) -> list[Path]:
    """Return a version's files, by the names that the log gives them; a day's folder is left out as a whole."""
    first = "" if since is None else f"date={since.date().isoformat()}"
    found = folder.glob(f"date=*/*-v{version}-*.parquet")
    return sorted(path for path in found if path.parent.name >= first)


def _read(path: Path, inputs: tuple[InputSpec, ...]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # one file: its folder's name is no column of it
        return pq.ParquetFile(path).read(columns=[*(input_column(each.name) for each in inputs), *_ABOUT])
    except (OSError, pa.ArrowException) as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); move it away and compare again") from error


def _with_ids(rows: pa.Table, inputs: tuple[InputSpec, ...]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    last = rows.group_by("request_id").aggregate([("row", "max")])
    alone = last.filter(pc.equal(last["row_max"], 0))["request_id"]
    ids = pc.if_else(
        pc.is_in(rows["request_id"], value_set=alone.combine_chunks()), rows["request_id"], pa.scalar(None, pa.string())
    )
    return pa.table({**{each.name: rows[input_column(each.name)] for each in inputs}, ID_COLUMN: ids})
