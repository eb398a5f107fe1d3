"""Ingest: exactly the probed source to ``table.parquet`` and its manifest, a piece at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from components.data.batch_source import open_batches, read_batched
from components.data.config import DataSection
from components.data.convert import convert
from components.data.label import Label, check_label
from components.data.manifest import dataset_dir
from components.data.open_source import open_source
from components.data.rows import Piece, Reader
from components.data.schema import Types, require_column, source_types, types_meant
from components.data.snapshot import read_snapshot
from components.data.table import TableWriter
from components.errors import SchemaError
from components.stage.files import file_digest, whole_directory, write_json
from components.types.dataset import MANIFEST_FILE, MISSING_STRING, TABLE_FILE, Column, ColumnType, DatasetManifest

ROW_ID = "row_id"


def ingest(model: str, section: DataSection, root: Path = Path()) -> DatasetManifest:
    """Write ``data/<model>/dataset/`` from the snapshot, or the batches, that the probe recorded; return its manifest.

    Raises:
        SourceError: the source was not probed, has changed since, or cannot be read.
        SchemaError: its columns or values are not as the configuration expects.
        DigestMismatchError: bytes in the batch store were changed or damaged.
    """
    _remove_leftovers(dataset_dir(model, root))
    with whole_directory(dataset_dir(model, root)) as target, ExitStack() as stack:
        if section.unit:
            probed, source_digest = read_batched(model, root)
            reader = open_batches(model, section, probed, root)
        else:
            snapshot, source_digest = read_snapshot(model, root)
            landing = Path(stack.enter_context(TemporaryDirectory(dir=target, prefix="landing-")))
            reader = stack.enter_context(open_source(model, section, snapshot, root, landing))
        types = source_types(reader, section.types, section.drop)
        return _write(model, section, reader, types, source_digest, target)


def ingest_alone(
    model: str, section: DataSection, reader: Reader, expected: Mapping[str, ColumnType], root: Path
) -> DatasetManifest:
    """Write one batch as if it were the whole dataset, below another `root`, so that it can be judged by itself.

    Args:
        model: The model.
        section: Its configuration.
        reader: The batch.
        expected: The types that the suite lists: a column of whole numbers may stand for one of numbers.
        root: A folder for this batch.

    Raises:
        SourceError: the batch cannot be read.
        SchemaError: its columns or values are not as expected.
    """
    types = source_types(reader, {**types_meant(reader, expected, section.drop), **section.types}, section.drop)
    with whole_directory(dataset_dir(model, root)) as target:
        return _write(model, section, reader, types, "", target)


def _write(
    model: str, section: DataSection, reader: Reader, types: Types, source_digest: str, target: Path
) -> DatasetManifest:
    pipeline = _Shaping(section, types, check_label(section.label, types))
    with TableWriter(target / TABLE_FILE, pipeline.types) as writer:
        for piece in reader.pieces(list(types)):
            writer.write(pipeline.shape(piece))
    pipeline.finish(writer.rows, section.source.kind)
    manifest = DatasetManifest(
        model=model,
        digest=file_digest(target / TABLE_FILE),
        rows=writer.rows,
        columns=tuple(Column(name, kind, pipeline.nulls[name]) for name, kind in pipeline.types.items()),
        id_column=pipeline.id_column,
        label_column=pipeline.label.name,
        label_inputs=pipeline.label.inputs,
        source_digest=source_digest,
        unlabelled_rows=pipeline.unlabelled_rows,
    )
    write_json(target / MANIFEST_FILE, manifest)
    return manifest


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed ingest left beside `target`; DVC lets one ingest of a model run at a time."""
    for leftover in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(leftover)


class _Shaping:
    """Makes a source's pieces into pieces of the table, and counts what is missing."""

    def __init__(self, section: DataSection, source: Types, label: Label) -> None:
        self.label = label
        self._source = source
        self._position = 0
        self.unlabelled_rows = 0
        self.id_column = section.id or ROW_ID
        if section.id:
            require_column(section.id, source, "the id is")
            if source[section.id] not in (ColumnType.INT64, ColumnType.STRING):
                raise SchemaError(f"id `{section.id}` is {source[section.id]}; it must be int64 or string: see `types`")
        elif ROW_ID in source:
            raise SchemaError(f"the source has a column `{ROW_ID}`; say `id: {ROW_ID}` if it names a row, or drop it")
        if label.name == self.id_column:
            raise SchemaError(f"`{label.name}` is both id and label; name another column for one of them")
        added = {} if section.id else {ROW_ID: ColumnType.INT64}
        self.types: Types = {**added, **source, label.name: label.type}
        self.nulls = dict.fromkeys(self.types, 0)

    def shape(self, piece: Piece) -> pl.DataFrame:
        """Return a piece of the table: converted, with id and label."""
        columns = [self._column(piece, name, kind) for name, kind in self._source.items()]
        frame = pl.DataFrame(columns)
        if self.id_column == ROW_ID and ROW_ID not in self._source:
            frame = frame.with_row_index(ROW_ID, offset=self._position).cast({ROW_ID: pl.Int64})
        self._position += frame.height
        self._refuse_missing(frame[self.id_column], piece, f"id `{self.id_column}`", "every row needs one")
        frame = self._labelled(self.label.add_to(frame), piece)
        for name in self.types:
            self.nulls[name] += frame[name].null_count()
        return frame

    def finish(self, rows: int, kind: str) -> None:
        """Refuse a table without rows."""
        if rows == 0:
            labelled = f"; all {self.unlabelled_rows} have no label" if self.unlabelled_rows else ""
            raise SchemaError(f"the {kind} source gives no rows{labelled}; nothing was written")

    def _column(self, piece: Piece, name: str, kind: ColumnType) -> pl.Series:
        if name not in piece.frame.columns:
            return convert(pl.Series(name, [None] * piece.frame.height), kind)[0]
        values, misfit = convert(piece.frame[name], kind)
        if misfit is not None:
            raise SchemaError(
                f"{_where(piece, misfit)}: column `{name}` holds {piece.frame[name][misfit]!r}, which is not {kind}; "
                f"correct it, or set `types.{name}`"
            )
        if kind is ColumnType.STRING and (found := values.str.contains(MISSING_STRING, literal=True)).any():
            raise SchemaError(
                f"{_where(piece, found.fill_null(False).arg_max() or 0)}: column `{name}` holds the character U+FDD0, "
                "which stands for a missing value inside models; remove it from the data"
            )
        return values

    def _labelled(self, frame: pl.DataFrame, piece: Piece) -> pl.DataFrame:
        if not self.label.drop_unlabelled:
            self._refuse_missing(frame[self.label.name], piece, f"label `{self.label.name}`", self._label_advice())
            return frame
        labelled = frame.filter(pl.col(self.label.name).is_not_null())
        self.unlabelled_rows += frame.height - labelled.height
        return labelled

    def _label_advice(self) -> str:
        return "correct it, or leave such rows out by `label: {name: …, unlabelled: drop}`"

    @staticmethod
    def _refuse_missing(values: pl.Series, piece: Piece, what: str, advice: str) -> None:
        if values.null_count():
            first = values.is_null().arg_max() or 0
            raise SchemaError(f"{_where(piece, first)}: {what} is missing; {advice}")


def _where(piece: Piece, position: int) -> str:
    return f"{piece.place}, row {piece.first_row + position + 1}"
