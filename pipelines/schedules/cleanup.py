"""The weekly clean-up: checkouts and records that nobody needs any more. Touches no data, no version, no database."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from prefect import flow

from components.errors import AlreadyRunningError
from pipelines.schedules.checkout import hold
from pipelines.schedules.presence import note_process
from pipelines.schedules.training import RUNS
from pipelines.state import CHECKOUTS

_DAY_S = 86_400.0


@flow(name="clean-up", timeout_seconds=1800, persist_result=False, on_running=[note_process])
def cleanup_flow(checkout_days: float = 14, record_days: float = 400, dry_run: bool = False) -> tuple[str, ...]:
    """Delete what is older than it needs to be, and return its paths; with `dry_run` only return them.

    Args:
        checkout_days: How long a checkout stays after its last run; the next run at that commit makes a new one.
        record_days: How long the record of a scheduled run stays.
        dry_run: Whether to leave everything as it is.
    """
    return tuple(str(path) for path in clean_up(Path(), checkout_days, record_days, dry_run=dry_run))


def clean_up(root: Path, checkout_days: float, record_days: float, *, dry_run: bool) -> list[Path]:
    """Delete old checkouts that no run works in, and old records; return what was, or would be, deleted."""
    now = time.time()
    gone = []
    for checkout in sorted((root / CHECKOUTS).glob("*/*/.git")):
        folder = checkout.parent
        if now - folder.stat().st_mtime > checkout_days * _DAY_S and _delete_checkout(folder, root, dry_run):
            gone.append(folder)
    for path in sorted((root / RUNS).glob("*.json")):
        if now - path.stat().st_mtime > record_days * _DAY_S:
            gone.append(path)
            if not dry_run:
                path.unlink(missing_ok=True)
    return gone


def _delete_checkout(folder: Path, root: Path, dry_run: bool) -> bool:
    try:
        with hold(folder, root):
            if not dry_run:
                shutil.rmtree(folder)
                if not any(folder.parent.iterdir()):
                    folder.parent.rmdir()
            return True
    except AlreadyRunningError:
        return False
