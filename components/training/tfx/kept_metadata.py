"""Keep ML Metadata's SQLite file without times and without paths of this machine. Standard library only.

Two runs of the same code on the same data then leave the same bytes, as every trainer promises.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

_TIMES = {
    "Artifact": ("create_time_since_epoch", "last_update_time_since_epoch"),
    "Execution": ("create_time_since_epoch", "last_update_time_since_epoch"),
    "Context": ("create_time_since_epoch", "last_update_time_since_epoch"),
    "Event": ("milliseconds_since_epoch",),
}
_TEXTS = {
    "Artifact": ("uri",),
    "ArtifactProperty": ("string_value",),
    "ExecutionProperty": ("string_value",),
    "ContextProperty": ("string_value",),
}


def keep_metadata(source: Path, target: Path, replaced: Mapping[str, str]) -> None:
    """Write what a store holds to `target`, compacted.

    Args:
        source: ML Metadata's file; it is changed.
        target: The file to write; it must not be there.
        replaced: Texts that differ from run to run, and what stands for them, the first first.
    """
    with closing(sqlite3.connect(source, isolation_level=None)) as store:
        for table, columns in _TIMES.items():
            _run(store, table, (f"{column} = 0" for column in columns))
        for table, columns in _TEXTS.items():
            for old, new in replaced.items():
                _run(store, table, (f"{column} = replace({column}, ?, ?)" for column in columns), (old, new))
        store.execute("VACUUM INTO ?", (str(target),))


def _run(store: sqlite3.Connection, table: str, changes: Iterable[str], values: tuple[str, ...] = ()) -> None:
    each = list(changes)
    store.execute(f"UPDATE {table} SET {', '.join(each)}", values * len(each))  # noqa: S608  (names of our own)
