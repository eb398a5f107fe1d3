"""The labels that a gateway was sent, kept beside its predictions: one file of JSON lines a day. Judges none of them.

``<log folder>/.labels/<model>/<day>-w<worker>-<host>-<pid>.jsonl``, each line ``{"id": …, "label": …}``; out of sight
of whoever scans the folder for Parquet. The judge takes labels while a rollout goes on; a look at the traffic takes
them from here, whenever they came. Days older than `KEPT_DAYS` are deleted when a new day begins.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

LABELS = ".labels"
KEPT_DAYS = 90
_SUFFIX = ".jsonl"

log = logging.getLogger("towpath.gateway")


class LabelLog:
    """The labels of one worker; used from the event loop alone."""

    def __init__(self, folder: Path, worker: int) -> None:
        """Take the prediction log's folder; nothing is made before the first label comes."""
        self._root = folder / LABELS
        self._mine = f"w{worker}-{socket.gethostname()}-{os.getpid()}{_SUFFIX}"
        self._days: dict[str, date] = {}
        """By model: the day of its file."""
        self._has_failed = False

    def keep(self, model: str, labels: Sequence[tuple[bytes, Any]]) -> None:
        """Append labels with the ids of their requests; a disk that fails costs the labels, never the request."""
        today = datetime.now(UTC).date()
        folder = self._root / model
        lines = b"".join(orjson.dumps({"id": name.decode(), "label": label}) + b"\n" for name, label in labels)
        try:
            if self._days.get(model) != today:
                folder.mkdir(parents=True, exist_ok=True)
                _delete_old(folder, today - timedelta(days=KEPT_DAYS))
                self._days[model] = today
            _append(folder / f"{today.isoformat()}-{self._mine}", lines)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.error("labels of %s cannot be kept in %s: %s", model, folder, error)
            self._has_failed = True


def _append(path: Path, lines: bytes) -> None:
    """Append all of some lines, or nothing: the next ones would go on where half a line ends, which nobody can read.

    Raises:
        OSError: there is no room for them, or they cannot be written.
    """
    with path.open("ab", buffering=0) as file:
        before_bytes = os.fstat(file.fileno()).st_size
        if file.write(lines) < len(lines):  # one write, so that a reader never sees half a line
            file.truncate(before_bytes)
            raise OSError(errno.ENOSPC, "there was room for a part of them only")


def _delete_old(folder: Path, first_kept: date) -> None:
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.name < first_kept.isoformat():
            path.unlink(missing_ok=True)  # another worker may have been faster
