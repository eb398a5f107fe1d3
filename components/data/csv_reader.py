"""CSV files, read as text in blocks; every line must have as many fields as the header. Infers nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv

from components.data.config import CsvOptions
from components.data.fetch import LocalFile
from components.data.rows import Piece
from components.data.schema import check_names
from components.errors import SchemaError, SourceError

_BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class CsvReader:
    """Gives the rows of CSV files, one file after the other; all values are text."""

    files: Sequence[LocalFile]
    options: CsvOptions
    is_text: bool = True
    may_lack_columns: bool = False

    def schemas(self) -> Iterator[tuple[str, pl.Schema]]:
        """Give each file's columns."""
        for file in self.files:
            names = self._names(self._header(file))
            check_names(names, file.place)
            yield file.place, pl.Schema(dict.fromkeys(names, pl.String()))

    def pieces(self, names: Sequence[str]) -> Iterator[Piece]:
        """Give the rows block by block."""
        for file in self.files:
            header = self._header(file)
            raw = dict(zip(self._names(header), header, strict=True))
            first_row = 0
            try:
                with self._open(file, header, [raw[name] for name in names]) as batches:
                    for batch in batches:
                        frame = pl.from_arrow(pa.Table.from_batches([batch]))
                        assert isinstance(frame, pl.DataFrame)
                        yield Piece(file.place, first_row, self._cleaned(frame.select(raw[n] for n in names), names))
                        first_row += batch.num_rows
            except (pa.ArrowInvalid, UnicodeDecodeError) as error:
                raise SchemaError(_sentence(file.place, first_row, str(error))) from error

    def _open(self, file: LocalFile, header: list[str], wanted: list[str]) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            str(file.path),
            read_options=pacsv.ReadOptions(
                block_size=_BLOCK_BYTES,
                encoding=self.options.encoding,
                column_names=header if self.options.columns else None,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._separator(file), quote_char=self.options.quote, newlines_in_values=True
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=wanted,
                null_values=["", *self.options.missing],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )

    def _header(self, file: LocalFile) -> list[str]:
        """Return the columns' names as the file writes them, or as the configuration gives them."""
        encoding = "utf-8-sig" if self.options.encoding.lower() in ("utf-8", "utf8") else self.options.encoding
        try:
            with pa.input_stream(str(file.path), compression="detect") as raw:
                text = io.TextIOWrapper(io.BufferedReader(raw), encoding=encoding, newline="")
                first = next(csv.reader(text, delimiter=self._separator(file), quotechar=self.options.quote), None)
        except (UnicodeDecodeError, LookupError) as error:
            raise SourceError(
                f"{file.place} is not {self.options.encoding}: {error}; set `source.csv.encoding`"
            ) from error
        except (OSError, csv.Error) as error:
            raise SourceError(f"{file.place} cannot be read: {error}") from error
        if not first:
            raise SchemaError(f"{file.place} is empty; a CSV file starts with its columns' names")
        return list(self.options.columns) or first

    def _names(self, header: list[str]) -> list[str]:
        return [name.strip() for name in header] if self.options.strip else header

    def _separator(self, file: LocalFile) -> str:
        return "\t" if ".tsv" in file.place.lower() and self.options.separator == "," else self.options.separator

    def _cleaned(self, frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        frame.columns = list(names)
        if not self.options.strip:
            return frame
        stripped = pl.all().str.strip_chars()
        return frame.select(pl.when(~stripped.is_in(["", *self.options.missing])).then(stripped))


def _sentence(place: str, rows: int, message: str) -> str:
    words = " ".join(message.removeprefix("CSV parse error: ").split())[:200]
    return (
        f"{place}, after row {rows}: {words}; every line needs the same columns, in UTF-8 unless `csv.encoding` says so"
    )
