"""Values to the five column types, without losing any. Knows no file and no configuration."""

from __future__ import annotations

import polars as pl

from components.types.dataset import ColumnType

DTYPES: dict[ColumnType, pl.DataType] = {
    ColumnType.FLOAT64: pl.Float64(),
    ColumnType.INT64: pl.Int64(),
    ColumnType.BOOL: pl.Boolean(),
    ColumnType.STRING: pl.String(),
    ColumnType.TIMESTAMP: pl.Datetime("us"),
}
_OFFSET = r"(?:Z|[+-]\d{2}:?\d{2})$"


def own_type(dtype: pl.DataType) -> ColumnType | None:
    """Return the column type that a source's type becomes; None for one without values.

    Raises:
        TypeError: a table cannot hold such values.
    """
    if dtype == pl.Null:
        return None
    if dtype.is_integer():
        return ColumnType.INT64
    if dtype.is_float() or dtype.is_decimal():
        return ColumnType.FLOAT64
    if dtype == pl.Boolean:
        return ColumnType.BOOL
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return ColumnType.STRING
    if isinstance(dtype, pl.Date | pl.Datetime):
        return ColumnType.TIMESTAMP
    raise TypeError(str(dtype))


def convert(values: pl.Series, target: ColumnType) -> tuple[pl.Series, int | None]:
    """Return the values as `target`, and the position of the first that does not fit (None when all do).

    NaN becomes null. Whole numbers become timestamps as seconds since 1970, 0 and 1 become bool; also as text.
    """
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.Null:
        return pl.Series(values.name, [None] * len(values), DTYPES[target]), None
    result = _CONVERSIONS[target](values)
    lost = values.is_not_null() & result.is_null()
    if values.dtype.is_float():
        lost &= values.is_not_nan()
    first = lost.arg_max() if lost.any() else None
    return (result.fill_nan(None) if target is ColumnType.FLOAT64 else result), first


def _float64(values: pl.Series) -> pl.Series:
    return _nothing(values, pl.Float64()) if values.dtype.is_temporal() else values.cast(pl.Float64, strict=False)


def _int64(values: pl.Series) -> pl.Series:
    if values.dtype.is_temporal():
        return _nothing(values, pl.Int64())
    if values.dtype.is_integer() or values.dtype == pl.Boolean:
        return values.cast(pl.Int64, strict=False)
    whole = values.cast(pl.Int64, strict=False) if values.dtype == pl.String else _nothing(values, pl.Int64())
    numbers = values.cast(pl.Float64, strict=False)
    exact = (numbers == numbers.floor()) & (numbers.abs() < 2**53)
    return whole.zip_with(whole.is_not_null() | ~exact.fill_null(False), numbers.cast(pl.Int64, strict=False))


def _bool(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    texts = values.cast(pl.String, strict=False) if not values.dtype.is_float() else values.cast(pl.Float64)
    if texts.dtype == pl.String:
        known = texts.str.to_lowercase().replace_strict(
            ["true", "false", "1", "0"], [True, False, True, False], default=None, return_dtype=pl.Boolean
        )
    else:
        known = texts.replace_strict([1.0, 0.0], [True, False], default=None, return_dtype=pl.Boolean)
    return known


def _string(values: pl.Series) -> pl.Series:
    return values.cast(pl.String)


def _timestamp(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        if values.dtype.time_zone:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return values.cast(pl.Datetime("us"))
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us"))
    if values.dtype.is_integer():
        seconds = values.cast(pl.Int64, strict=False)
        return (seconds.clip(-(2**43), 2**43) * 1_000_000).cast(pl.Datetime("us"))
    if values.dtype != pl.String:
        return _nothing(values, pl.Datetime("us"))
    seconds = _timestamp(values.cast(pl.Int64, strict=False))
    return seconds.zip_with(seconds.is_not_null(), iso_timestamp(values))


def iso_timestamp(texts: pl.Series) -> pl.Series:
    """Return ISO 8601 dates and times; one with an offset becomes UTC."""
    plain = texts.str.replace("T", " ", literal=True)
    with_offset = plain.str.contains(_OFFSET) & (plain.str.len_bytes() > len("2020-01-01"))
    local = plain.set(with_offset, None) if with_offset.any() else plain
    frame = pl.DataFrame({"local": local, "zoned": plain.set(~with_offset.fill_null(True), None)})
    return frame.select(
        pl.coalesce(
            pl.col("local").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False),
            pl.col("local").str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", strict=False),
            pl.col("local").str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
            pl.col("zoned")
            .str.replace(r"Z$", "+00:00")
            .str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", strict=False)
            .dt.replace_time_zone(None),
        ).alias(texts.name)
    ).to_series()


def _nothing(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(values.name, [None], dtype).new_from_index(0, len(values))


_CONVERSIONS = {
    ColumnType.FLOAT64: _float64,
    ColumnType.INT64: _int64,
    ColumnType.BOOL: _bool,
    ColumnType.STRING: _string,
    ColumnType.TIMESTAMP: _timestamp,
}
