"""The probe: look at a source without reading it where possible, and record what is there now.

Runs before every run, so it imports what its kind of source needs, and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from components.data.config import DataSection, FilesSource, SklearnSource
from components.data.snapshot import Snapshot, source_file
from components.stage.files import write_json
from components.types.record import read


def write_probe(model: str, section: DataSection, root: Path = Path()) -> bool:
    """Write ``data/<model>/source.json`` and return whether the source has changed.

    A source that is as it was leaves the file untouched.

    Raises:
        SourceError: the source is missing or cannot be read; the last probe stays.
    """
    found = probe(section, root)
    path = source_file(model, root)
    try:
        if read(Snapshot, path) == found:
            return False
    except (OSError, ValueError):
        pass
    write_json(path, found)
    return True


def probe(section: DataSection, root: Path = Path()) -> Snapshot:
    """Return what is at the source now.

    Raises:
        SourceError: the source is missing or cannot be read.
    """
    source = section.source
    if isinstance(source, SklearnSource):
        from components.data.bundled import probe_bundled

        return probe_bundled(source.table)
    if isinstance(source, FilesSource):
        from components.data.listing import probe_files

        return probe_files(source, root)
    from components.data.sql_source import probe_query

    return probe_query(source, section.id, root)
