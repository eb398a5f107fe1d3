"""Keep ML Metadata's SQLite file without times, paths of this machine and names made by chance. Runs no component.

Two runs of the same code on the same data then leave the same bytes, as every trainer promises: the order of rows and
of the keys of a structure, the names of executions and the keys of TFX's cache (which is off) mean nothing.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

_CHANGES = (
    "UPDATE Artifact SET create_time_since_epoch = 0, last_update_time_since_epoch = 0",
    "UPDATE Execution SET create_time_since_epoch = 0, last_update_time_since_epoch = 0, name = 'execution-' || id",
    "UPDATE Context SET create_time_since_epoch = 0, last_update_time_since_epoch = 0",
    "UPDATE Context SET name = 'cache-' || id WHERE type_id IN (SELECT id FROM Type WHERE name = 'execution_cache')",
    "UPDATE Event SET milliseconds_since_epoch = 0",
)
_TEXTS = {
    "Artifact": "uri",
    "ArtifactProperty": "string_value",
    "ExecutionProperty": "string_value",
    "ContextProperty": "string_value",
}
_STRUCTURE = "mlmd-struct::"
"""How a text begins that is a `Struct`, serialized, in base 64."""
_NUMBERED = frozenset({"Association", "Attribution"})
"""Tables whose rows get their numbers in no order; nothing refers to them."""


def keep_metadata(source: Path, target: Path, replaced: Mapping[str, str]) -> None:
    """Write what a store holds to `target`.

    Args:
        source: ML Metadata's file; it is changed.
        target: The file to write; it must not be there.
        replaced: Texts that differ from run to run, and what stands for them, the longest first.
    """
    with closing(sqlite3.connect(source, isolation_level=None)) as store:
        for change in _CHANGES:
            store.execute(change)
        store.create_function("in_order", 1, _in_order, deterministic=True)
        for table, column in _TEXTS.items():
            store.execute(f"UPDATE {table} SET {column} = in_order({column}) WHERE {column} LIKE '{_STRUCTURE}%'")  # noqa: S608
            for old, new in replaced.items():
                store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))  # noqa: S608
    with closing(sqlite3.connect(target, isolation_level=None)) as kept:
        kept.execute("ATTACH ? AS source", (str(source),))
        kept.execute("BEGIN")
        _copy(kept)
        kept.execute("COMMIT")


def _in_order(text: str) -> str:
    """Return a structure with its keys in order."""
    value = metadata_store_pb2.Value()
    value.struct_value.ParseFromString(base64.b64decode(text.removeprefix(_STRUCTURE)))
    return _STRUCTURE + base64.b64encode(value.struct_value.SerializeToString(deterministic=True)).decode()


def _copy(kept: sqlite3.Connection) -> None:
    """Copy all tables, their rows sorted, and then the indexes."""
    made = kept.execute(
        "SELECT type, name, sql FROM source.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        " ORDER BY type = 'index', name"
    ).fetchall()
    for kind, name, sql in made:
        kept.execute(sql)
        if kind == "table":
            _copy_rows(kept, name)


def _copy_rows(kept: sqlite3.Connection, table: str) -> None:
    columns = [row[1] for row in kept.execute("SELECT * FROM pragma_table_info(?)", (table,))]
    first = 1 if table in _NUMBERED else 0
    order = ", ".join(columns[first:])
    number = [f"row_number() OVER (ORDER BY {order})"] if first else []
    chosen = ", ".join([*number, *columns[first:]])
    kept.execute(f"INSERT INTO main.{table} SELECT {chosen} FROM source.{table} ORDER BY {order}")  # noqa: S608
