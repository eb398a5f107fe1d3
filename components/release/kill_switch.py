"""The kill switch: a file per model beside the router snapshot. Knows nothing of gateways, which only look at it.

It holds the revision up to which a model's canary gets no traffic on this machine. So it works without a ledger and
without a network, holds across restarts, and ends by itself with the next release.
"""

from __future__ import annotations

from pathlib import Path

from components.stage.files import write_text

FOLDER = "kill"
EVERY_REV = 2**62


def kill(folder: Path, model: str, rev: int) -> None:
    """Hold a model's canary at 0 for every revision up to `rev`; a lower one than before changes nothing.

    Raises:
        OSError: the disk failed.
    """
    if rev > (killed(folder, model) or 0):
        write_text(folder / FOLDER / model, f"{rev}\n")


def killed(folder: Path, model: str) -> int | None:
    """Return up to which revision a model's canary gets nothing; None where nobody ever killed it.

    A file that cannot be understood kills every revision: whoever wrote it wanted a canary gone.

    Raises:
        OSError: the disk failed.
    """
    try:
        return int((folder / FOLDER / model).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return EVERY_REV
