"""A slot and its stable version, read in a few milliseconds: for the path on which nothing is to be done.

A SQLite ledger is read with the standard library, because importing SQLAlchemy costs more than all the rest of that
path; every other ledger is asked through `Ledger`. Makes nothing, not even a ledger.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from components.errors import InfrastructureError
from components.release.records import RecordedVersion, Slot, VersionState
from components.types.release import Environment

_SQLITE = "sqlite:///"
_LOCK_WAIT_S = 5.0
_SLOT = "SELECT * FROM slot WHERE model = ? AND env = ?"
_VERSION = "SELECT * FROM version WHERE model = ? AND version = ?"


def peek(url: str, model: str, env: Environment) -> tuple[Slot, RecordedVersion | None]:
    """Return what stands in an environment and its stable version, or revision 0 and None.

    Raises:
        InfrastructureError: the ledger is there and cannot be read.
        ConfigError: the URL is none.
    """
    nothing = Slot(model=model, env=env, rev=0)
    if not url.startswith(_SQLITE):
        from components.release.ledger import Ledger

        ledger = Ledger(url)
        slot = ledger.slot(model, env)
        return slot, None if slot.stable is None else ledger.version(model, slot.stable)
    path = Path(url.removeprefix(_SQLITE))
    if not path.is_file():
        return nothing, None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=_LOCK_WAIT_S)) as database:
            database.row_factory = sqlite3.Row
            database.execute("BEGIN")
            row = database.execute(_SLOT, (model, env.value)).fetchone()
            if row is None:
                return nothing, None
            slot = Slot(**{**dict(row), "env": env, "paused": bool(row["paused"])})
            stable = database.execute(_VERSION, (model, slot.stable)).fetchone()
    except sqlite3.Error as error:
        raise InfrastructureError(f"the ledger {path} cannot be read ({error}); restore it from a backup") from error
    return slot, None if stable is None else RecordedVersion(**{**dict(stable), "state": VersionState(stable["state"])})
