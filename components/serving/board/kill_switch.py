"""The kill switch: a file per model that sets its canary to 0, and can do nothing else. Knows no ledger.

``kill/MODEL`` beside the router snapshot holds the revision of the slot up to which the canary gets nothing. It works
without a ledger, without the pipeline and without the network, and it only lowers: who removes the file raises nothing.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = "kill"

_EVERY_REVISION = 2**62


class KillSwitch:
    """Look for the files; looking costs one system call while there are none."""

    def __init__(self, snapshot: Path) -> None:
        """Take the router snapshot's path: the switches lie beside it."""
        self._folder = snapshot.absolute().parent / FOLDER

    def held(self, model: str) -> int | None:
        """Return the revision up to which `model` is to have no canary, or None."""
        try:
            return int((self._folder / model).read_text(encoding="utf-8"))
        except OSError:
            return None
        except ValueError:  # whoever wrote it wanted a canary gone
            return _EVERY_REVISION
