"""The kill switch: a file per model that sets its canary to 0, and can do nothing else. Knows no ledger.

``kill/MODEL`` beside the router snapshot holds the revision of the slot that it is meant for. It works without a
ledger, without the pipeline and without the network, and it only lowers: who removes the file raises nothing.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = "kill"


class KillSwitch:
    """Look for the files; looking costs one system call while there are none."""

    def __init__(self, router: Path) -> None:
        self._folder = router.parent / FOLDER

    def held(self, model: str) -> int | None:
        """Return the revision up to which `model` is to have no canary, or None."""
        try:
            text = (self._folder / model).read_text(encoding="utf-8")
        except OSError:
            return None
        try:
            return int(text)
        except ValueError:  # somebody wanted it to stop; half-written or empty, it stops
            return _ANY_REVISION


_ANY_REVISION = 2**62
