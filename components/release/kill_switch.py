"""The kill switch: a file per model beside the router snapshot. Knows nothing of gateways, which only look at it.

So it works without a ledger and without a network, and holds across restarts; `components.types.kill_switch` says what
is in the file.
"""

from __future__ import annotations

from pathlib import Path

from components.stage.files import write_text
from components.types.kill_switch import FOLDER, Killed, parse_killed


def kill(folder: Path, model: str, more: Killed) -> None:
    """Hold a model's canary at 0 for what `more` says, and for all that was said before.

    Raises:
        OSError: the disk failed.
    """
    before = killed(folder, model)
    wanted = more if before is None else before.joined(more)
    if wanted != before:
        write_text(folder / FOLDER / model, wanted.text)


def killed(folder: Path, model: str) -> Killed | None:
    """Return for what a model's canary gets nothing; None where nobody ever killed it.

    Raises:
        OSError: the disk failed.
    """
    try:
        return parse_killed((folder / FOLDER / model).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return None
