"""JSON lines: one flat object per line, types as JSON writes them; a field that a line leaves out is missing there."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import pyarrow as pa
import pyarrow.json as pajson

from components.data.fetch import LocalFile
from components.data.rows import Piece
from components.errors import SchemaError, SourceError

_BLOCK_BYTES = 2**23


@dataclass(frozen=True)
class JsonlReader:
    """Gives the rows of JSON-lines files, one file after the other."""

    files: Sequence[LocalFile]
    is_text: bool = False
    may_lack_columns: bool = True

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give the types of each block; texts that look like times stay texts."""
        yield from self._schemas

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows block by block."""
        texts = {n: pa.string() for _, schema in self._schemas for n, kind in schema.items() if kind == pl.String}
        for file in self.files:
            first_row = 0
            for block in _blocks(file):
                table = _parse(block, file.place, first_row, texts)
                there = [name for name in names if name in table.column_names]
                if there:
                    frame = pl.from_arrow(table.select(there))
                    assert isinstance(frame, pl.DataFrame)
                else:
                    frame = pl.DataFrame({names[0]: [None] * table.num_rows})
                yield Piece(file.place, first_row, frame)
                first_row += table.num_rows

    @cached_property
    def _schemas(self) -> list[tuple[str, pl.Schema]]:
        """The blocks' types; read once, each kept once per file."""
        found: dict[tuple[str, str], pl.Schema] = {}
        for file in self.files:
            first_row = 0
            for block in _blocks(file):
                table = _parse(block, file.place, first_row, {})
                found.setdefault((file.place, str(table.schema)), _schema(table))
                first_row += table.num_rows
        if not found:
            raise SchemaError(f"{self.files[0].place} is empty; expected one JSON object per line")
        return [(place, schema) for (place, _), schema in found.items()]


def _schema(table: pa.Table) -> pl.Schema:
    empty = pl.from_arrow(table.slice(0, 0))
    assert isinstance(empty, pl.DataFrame)
    return pl.Schema({n: pl.String() if kind.is_temporal() else kind for n, kind in empty.schema.items()})


def _blocks(file: LocalFile) -> Iterator[bytes]:
    """Give a file's lines in blocks of about 8 MB."""
    try:
        with pa.input_stream(str(file.path), compression="detect") as raw:
            lines = io.BufferedReader(raw, _BLOCK_BYTES)
            while block := lines.readlines(_BLOCK_BYTES):
                if any(not line.isspace() for line in block):
                    yield b"".join(block)
    except OSError as error:
        raise SourceError(f"{file.place} cannot be read: {error}") from error


def _parse(block: bytes, place: str, first_row: int, texts: dict[str, pa.DataType]) -> pa.Table:
    options = pajson.ParseOptions(explicit_schema=pa.schema(texts.items()), newlines_in_values=False)
    try:
        table = pajson.read_json(
            pa.BufferReader(block), pajson.ReadOptions(block_size=len(block) + 1), parse_options=options
        )
        table.validate(full=True)  # the parser lets bytes through that are not UTF-8
    except pa.ArrowException as error:
        words, found, row = str(error).removeprefix("JSON parse error: ").partition(" in row ")
        where = f"row {first_row + int(row) + 1}" if found and row.isdigit() else f"after row {first_row}"
        raise SchemaError(
            f"{place}, {where}: {' '.join(words.split())[:200]}; expected one flat JSON object per line, "
            "each field always of one type"
        ) from error
    return table
