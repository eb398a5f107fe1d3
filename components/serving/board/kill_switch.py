"""The kill switch as a gateway sees it: files beside its router snapshot. Writes none, and knows no ledger."""

from __future__ import annotations

from pathlib import Path

from components.types.kill_switch import FOLDER, Killed, parse_killed


class KillSwitch:
    """Look for the files; looking costs one system call while there are none."""

    def __init__(self, snapshot: Path) -> None:
        """Take the router snapshot's path: the switches lie beside it."""
        self._folder = snapshot.absolute().parent / FOLDER

    def held(self, model: str) -> Killed | None:
        """Return for what `model` is to have no canary, or None."""
        try:
            return parse_killed((self._folder / model).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None
