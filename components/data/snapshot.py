"""What the probe records of a source. Knows no kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.errors import SourceError
from components.stage.files import record_digest
from components.types.record import read

SOURCE_FILE = "source.json"


@dataclass(frozen=True)
class FileEntry:
    """One file; either its digest or its ETag tells it from another."""

    path: str
    """As the configuration writes it: relative to the project, or an address."""
    size_bytes: int | None
    """None where a server does not say."""
    sha256: str | None = None
    etag: str | None = None
    """What a server or store gave as the object's version."""


@dataclass(frozen=True)
class Watermark:
    """Up to where an SQL query is read."""

    column: str
    upper: str
    """The column's greatest value, as text."""
    type: str
    """The Python type it came as: int, float, str, date, datetime or Decimal."""


@dataclass(frozen=True)
class Snapshot:
    """What ``data/<model>/source.json`` holds; nothing in it depends on when or where the probe ran."""

    kind: str
    origin: str
    """The table's name, the path or glob, or the query."""
    files: tuple[FileEntry, ...] = ()
    rows: int | None = None
    """Rows of an SQL query."""
    watermark: Watermark | None = None
    result_sha256: str | None = None
    """The digest of an SQL query's rows, without a watermark."""


def source_file(model: str, root: Path = Path()) -> Path:
    """Return where a model's probe is written."""
    return root / "data" / model / SOURCE_FILE


def read_snapshot(model: str, root: Path = Path()) -> tuple[Snapshot, str]:
    """Return a model's probe and its digest (SHA-256 of its canonical JSON).

    Raises:
        SourceError: there is none, or it cannot be read.
    """
    path = source_file(model, root)
    try:
        snapshot = read(Snapshot, path)
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: never probed; {PROBE_ADVICE.format(model=model)}") from None
    except (ValueError, OSError) as error:
        raise SourceError(f"{path} cannot be used ({error}); {PROBE_ADVICE.format(model=model)}") from error
    return snapshot, record_digest(snapshot)


PROBE_ADVICE = "probe it with `towpath run {model}`, which does so first"


def changed(what: str, model: str) -> SourceError:
    """Return the error of a source that is not as it was probed; `what` says what differs."""
    return SourceError(
        f"{what} since the last probe of model {model} (data/{model}/{SOURCE_FILE}); "
        f"nothing was read: {PROBE_ADVICE.format(model=model)}"
    )
