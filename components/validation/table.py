"""An ingested table: its manifest, its columns as the file has them, its rows in samples. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import SourceError
from components.stage.files import require_digest
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, ColumnType, DatasetManifest
from components.types.record import read

if TYPE_CHECKING:
    import polars as pl

SAMPLE_ROWS = 200_000
"""Rows that leak scores and histograms are made from: every n-th row of a larger table."""


@dataclass(frozen=True)
class Table:
    """An ingested table on disk."""

    path: Path
    manifest: DatasetManifest
    rows: int
    """As the file itself says."""
    types: dict[str, ColumnType | str]
    """As the file itself says, in order; a type that no dataset may have stays the file's own word for it."""

    @property
    def features(self) -> tuple[str, ...]:
        """The columns a model may learn from: not the id, the label, or what the label was made of."""
        out = {self.manifest.id_column, self.manifest.label_column, *self.manifest.label_inputs}
        return tuple(name for name in self.types if name not in out)

    def scan(self) -> pl.LazyFrame:
        """Return the table as a lazy frame; collect it with the streaming engine."""
        import polars as pl

        return pl.scan_parquet(self.path, glob=False)

    def sample(self, columns: list[str]) -> pl.DataFrame:
        """Return at most `SAMPLE_ROWS` rows of some columns, evenly spread over the table, the same ones every time."""
        step = -(-self.rows // SAMPLE_ROWS) or 1
        return self.scan().select(columns).gather_every(step).collect(engine="streaming")


def open_table(model: str, root: Path = Path()) -> Table:
    """Return a model's table, its bytes checked against the manifest.

    Raises:
        SourceError: nothing was ingested, or what is there is no dataset.
        DigestMismatchError: the table's bytes are not those of the manifest.
    """
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    folder = root / "data" / model / "dataset"
    if not (folder / MANIFEST_FILE).is_file():
        raise SourceError(f"{folder / MANIFEST_FILE} is missing; ingest first: `dvc repro ingest@{model}`")
    try:
        manifest = read(DatasetManifest, folder / MANIFEST_FILE)
    except ValueError as error:
        raise SourceError(f"{folder / MANIFEST_FILE} is no dataset manifest ({error}); ingest again") from error
    require_digest(folder / TABLE_FILE, manifest.digest)
    try:
        file = pq.read_metadata(folder / TABLE_FILE)
        schema = pq.read_schema(folder / TABLE_FILE)
    except (ArrowException, OSError) as error:
        raise SourceError(f"{folder / TABLE_FILE} is no Parquet file; ingest again") from error
    types = {field.name: _type_of(str(field.type)) for field in schema}
    return Table(path=folder / TABLE_FILE, manifest=manifest, rows=file.num_rows, types=types)


def _type_of(arrow: str) -> ColumnType | str:
    if arrow.startswith("timestamp"):
        return ColumnType.TIMESTAMP
    known = {
        "double": ColumnType.FLOAT64,
        "int64": ColumnType.INT64,
        "bool": ColumnType.BOOL,
        "string": ColumnType.STRING,
        "large_string": ColumnType.STRING,
        "string_view": ColumnType.STRING,
    }
    return known.get(arrow, arrow)
