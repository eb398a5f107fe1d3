"""From a source to one Parquet table: the probe, which notices new data, and ingest, which reads what the probe saw.

A source is a table bundled with scikit-learn, files (CSV, Parquet or JSON lines; local, http(s), s3 or gs), or an SQL
query.

- `probe.write_probe` writes ``data/<model>/source.json``: digests of the files, ETags, or the upper bound of a query.
- ``python -m components.data MODEL`` reads exactly that, and refuses when the source has changed since. It streams:
  memory does not grow with the number of rows. Identical input gives an identical table, byte for byte.
- `manifest.read_manifest` gives what was written.

How values become the five types of `components.types.dataset.ColumnType`:

- **Missing** is null, and only null: an empty CSV field (quoted or not), a configured marker such as ``?``, NaN.
  Infinities stay.
- **CSV** types are inferred over the whole source, never over its first rows: a column is int64, float64, bool or
  timestamp (ISO 8601) only if every value is; otherwise string. Whole numbers with a leading zero (``007``) or too
  large for int64 are identifiers, so strings. A column without a single value is float64.
- Integers become int64 (also with missing values), floats and decimals float64, dates and times timestamps in UTC.
- JSON lines keep JSON's types: a time in quotes is a string, unless ``types`` says otherwise.
- ``types`` in the configuration overrides; a value that does not fit is refused with its row and column.

The label is a column, or an SQL expression over the columns of one row (``tips > 0.2 * fare``), whose columns are
recorded as `DatasetManifest.label_inputs`, so that none becomes a feature unless kept by name. A row without a label,
or one whose label cannot be computed because an input is missing, is refused; ``unlabelled: drop`` leaves such rows out
and counts them.

What changes between probe and ingest is refused. An SQL query with a watermark is read up to the probed maximum; a row
below it that was added or deleted since is noticed by the number of rows, one that was updated is not. Without a
watermark, the probe reads and digests the whole result. A file whose server gives no ETag is downloaded and digested.

A source with ``batches`` is incremental: `batch_plan` compares what is there with what the last good dataset was made
of, `batch_store` keeps the bytes of what is taken, and ingest reads those bytes and never the source. What its probe
records is a `components.types.batches.BatchedSource`. Which batch is good is not decided here.
"""
