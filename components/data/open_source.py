"""One reader for each kind of source, after checking that it is still what the probe saw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.data.config import DataSection, SklearnSource
from components.data.rows import FrameReader, Reader
from components.data.snapshot import Snapshot, changed


@contextmanager
def open_source(model: str, section: DataSection, snapshot: Snapshot, root: Path, landing: Path) -> Iterator[Reader]:
    """Give a reader of the snapshot; what must be fetched first lands in `landing`.

    Raises:
        SourceError: the source has changed since the probe, or cannot be read.
    """
    source = section.source
    if isinstance(source, SklearnSource):
        from components.data.bundled import probe_bundled, read_bundled

        if probe_bundled(source.table) != snapshot:
            raise changed(f"scikit-learn's table {source.table} has changed", model)
        yield FrameReader(f"scikit-learn's {source.table}", read_bundled(source.table))
        return
    raise NotImplementedError
