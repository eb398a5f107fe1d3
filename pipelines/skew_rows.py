"""The rows that a comparison of training with serving is about, as two tables of the same columns. Compares nothing.

Of the log, every request counts once: rows that were answered with 200, and no shadow's. A served row has an id where
its request had one row: then ``x-request-id`` may be the id of a row that training knows.
"""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import BadInputError, DigestMismatchError
from components.runtime.protocol import PREDICTION
from components.serving.prediction_log.frames import LoggedVersion
from components.serving.prediction_log.schema import METADATA_KEY, input_column, make_schema
from components.types import record
from components.types.product import InputSpec, Signature
from components.types.release import ModelRef
from components.types.training import PREPARED_FILE, PreparedSpec

if TYPE_CHECKING:
    import pyarrow as pa

ID_COLUMN = "towpath:id"
"""No input is called so: a column's name comes from a file, and this one is added beside it."""
_ABOUT = ("role", "status", "time", "request_id", "row")
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


def read_spec(prepared: Path, model: str) -> PreparedSpec:
    """Return what the prepare stage wrote about a model's rows.

    Raises:
        BadInputError: it never ran.
        DigestMismatchError: its file is damaged.
    """
    path = prepared / PREPARED_FILE
    if not path.is_file():
        raise BadInputError(
            f"{path} is missing, so there are no training rows to compare with (a scheduled training leaves them in a "
            f"checkout of its own); `towpath run {model} --no-register` makes them here, at the commit of that version"
        )
    try:
        return record.read(PreparedSpec, path)
    except (OSError, ValueError) as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); delete {prepared} and prepare again") from error


def served_rows(folder: Path, ref: ModelRef, spec: PreparedSpec, since: datetime | None) -> pa.Table:
    """Return the logged rows of one version, under the inputs' own names, and their ids.

    Args:
        folder: The environment's log.
        ref: The version.
        spec: What the training rows are; the version must take the same inputs. An image is left out.
        since: The earliest moment; None for all that is there.

    Raises:
        BadInputError: nothing was logged, or the version takes other inputs than the training rows have.
        DigestMismatchError: a file is damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    inputs = comparable_inputs(spec)
    found = (_read(path, ref, spec, inputs) for path in _files(folder / ref.model, ref.version, since))
    tables = [table for table in found if table is not None]
    if not tables:
        raise BadInputError(
            f"insufficient: {folder} holds no rows of version {ref.version} of {ref.model}"
            f"{f' since {since:%Y-%m-%d %H:%M} UTC' if since else ''}; what was served "
            "can be read a minute later, when its file is closed: try again then, or look further back"
        )
    rows = pa.concat_tables(tables)
    kept = pc.and_(pc.equal(rows["status"], _ANSWERED), pc.not_equal(rows["role"], _SHADOW))
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


def _read(path: Path, ref: ModelRef, spec: PreparedSpec, inputs: tuple[InputSpec, ...]) -> pa.Table | None:
    """Return a file's rows, or nothing where it is about another product of that number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)  # one file: its folder's name is no column of it
        if json.loads(file.schema_arrow.metadata[METADATA_KEY])["digest"] != ref.digest:
            return None
        _require_inputs(file.schema_arrow, ref, spec)
        return file.read(columns=[*(input_column(each.name) for each in inputs), *_ABOUT])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DigestMismatchError(f"{path} cannot be read ({error}); move it away and compare again") from error


def _require_inputs(logged: pa.Schema, ref: ModelRef, spec: PreparedSpec) -> None:
    """Check that a version takes what the training rows have; the log's columns are its signature's inputs."""
    prepared = make_schema(LoggedVersion(ref, Signature(spec.task, spec.inputs, spec.classes)))
    has, takes = (
        {each.name: each.type for each in itertools.takewhile(lambda field: field.name != PREDICTION, schema)}
        for schema in (prepared, logged)
    )
    for name in [*takes, *has]:
        if has.get(name) != takes.get(name):
            raise BadInputError(
                f"version {ref.version} of {ref.model} takes other inputs than the prepared data have: `{name}` is "
                f"{takes.get(name, 'missing')} in the version and {has.get(name, 'missing')} in the prepared data; "
                "check out the commit of that version and run the model there"
            )


def _with_ids(rows: pa.Table, inputs: tuple[InputSpec, ...]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    last = rows.group_by("request_id").aggregate([("row", "max")])
    alone = last.filter(pc.equal(last["row_max"], 0))["request_id"]
    ids = pc.if_else(
        pc.is_in(rows["request_id"], value_set=alone.combine_chunks()), rows["request_id"], pa.scalar(None, pa.string())
    )
    return pa.table({**{each.name: rows[input_column(each.name)] for each in inputs}, ID_COLUMN: ids})
