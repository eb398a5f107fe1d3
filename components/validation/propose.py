"""Draft an expectation suite from a table, for a person to read and mend. Does not run Great Expectations."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import SourceError, SuiteError
from components.stage.files import write_text
from components.types.dataset import ColumnType
from components.validation.leak import MAX_CLASSES
from components.validation.suite import LEAK_BOUND, suite_path
from components.validation.table import Table, open_table

if TYPE_CHECKING:
    import polars as pl

ROWS_SHARE = 0.5
"""A table with fewer rows than this share of today's is refused."""
RANGE_MARGIN = 0.5
"""Ranges reach this share of their width beyond what was seen: wide enough for new rows, not for another unit."""
MOSTLY = 0.999
"""Share of values that must keep to a range: one outlier in a large table is no reason to stop."""
MEAN_MARGIN = 0.5
"""Means may move this many standard deviations before somebody is told."""
MISSING_MARGIN = 0.05
"""Missing values may grow by this share."""
SET_SIZE = 30
"""Strings with at most this many different values get a value set."""
SET_MOSTLY = 0.99

Draft = dict[str, Any]


def propose_suite(model: str, root: Path = Path(), *, force: bool = False) -> Draft:
    """Draft a suite from a model's ingested table, write it, and return it.

    Args:
        model: The model.
        root: The project.
        force: Replace a suite that is there.

    Raises:
        SuiteError: there is a suite already, and `force` is not set.
        SourceError: nothing was ingested, or the table is empty.
        DigestMismatchError: the table's bytes are not those of its manifest.
    """
    require_free(model, root, force=force)
    suite = draft_suite(open_table(model, root))
    write_text(suite_path(model, root), suite_text(suite))
    return suite


def require_free(model: str, root: Path = Path(), *, force: bool) -> None:
    """Refuse to draft where a suite is.

    Raises:
        SuiteError: there is a suite already, and `force` is not set.
    """
    path = suite_path(model, root)
    if path.exists() and not force:
        raise SuiteError(f"{path} exists; `towpath suite propose {model} --force` replaces it")


def draft_suite(table: Table) -> Draft:
    """Return a suite that the table meets.

    Raises:
        SourceError: the table is empty, or has a column of a type that no dataset may have.
    """
    if odd := [name for name, type_ in table.types.items() if not isinstance(type_, ColumnType)]:
        raise SourceError(f"{table.path}: column `{odd[0]}` is {table.types[odd[0]]}; ingest again")
    if not table.rows:
        raise SourceError(f"{table.path} is empty; there is nothing to draft a suite from")
    expectations = [
        _expectation("expect_table_row_count_to_be_between", min_value=max(1, math.floor(table.rows * ROWS_SHARE)))
    ]
    for name in table.types:
        expectations += _about(table, name)
    meta = {"columns": {name: str(type_) for name, type_ in table.types.items()}, "leak_bound": LEAK_BOUND}
    return {
        "name": table.manifest.model,
        "expectations": expectations,
        "meta": {"great_expectations_version": _library_version(), "towpath": meta},
    }


def suite_text(suite: Draft) -> str:
    """Return a suite as JSON with one line per expectation, so that a difference reads as one."""
    head = f'{{\n  "name": {_json(suite["name"])},\n  "expectations": [\n    '
    lines = ",\n    ".join(_json(each) for each in suite["expectations"])
    meta = json.dumps(suite["meta"], ensure_ascii=False, indent=2, allow_nan=False).replace("\n", "\n  ")
    return f'{head}{lines}\n  ],\n  "meta": {meta}\n}}\n'


def _about(table: Table, name: str) -> Iterator[Draft]:
    if name == table.manifest.id_column:
        return  # that it is there and unique is checked of every table, at a fraction of the cost
    column = table.scan().select(name).collect(engine="streaming").to_series()
    if column.dtype.is_float():
        column = column.fill_nan(None)
    yield from _about_missing(column)
    if not len(column.drop_nulls()):
        return
    if name == table.manifest.label_column:
        yield from _about_label(column)
    elif column.dtype.is_numeric():
        yield from _about_numbers(column)
    elif table.types[name] is ColumnType.STRING:
        yield from _about_strings(column)
    elif table.types[name] is ColumnType.TIMESTAMP:
        yield from _about_times(column)


def _about_missing(column: pl.Series) -> Iterator[Draft]:
    present = 1.0 - column.null_count() / len(column)
    if present == 1.0:
        yield _expectation("expect_column_values_to_not_be_null", column=column.name)
    elif (mostly := math.floor((present - MISSING_MARGIN) * 100) / 100) > 0:
        yield _expectation("expect_column_values_to_not_be_null", "warning", column=column.name, mostly=mostly)


def _about_label(column: pl.Series) -> Iterator[Draft]:
    import polars as pl

    present = column.drop_nulls()
    classes = present.n_unique()
    if present.dtype == pl.Boolean or (present.dtype.is_integer() and set(present.unique()) == {0, 1}):
        rate = float(present.cast(pl.Float64).to_numpy().mean())
        yield _expectation(
            "expect_column_values_to_be_in_set", column=column.name, value_set=present.unique().to_list()
        )
        yield _expectation(
            "expect_column_mean_to_be_between",
            column=column.name,
            min_value=_down(rate / 2),
            max_value=_up(1 - (1 - rate) / 2),
        )
    elif present.dtype == pl.String or (present.dtype.is_integer() and classes <= MAX_CLASSES):
        counts = present.value_counts(sort=False).sort(column.name)
        values = counts[column.name].to_list()
        weights = [round(count / len(present), 4) for count in counts["count"]]
        weights[-1] = round(1.0 - sum(weights[:-1]), 4)  # Great Expectations wants a sum of exactly 1
        yield _expectation("expect_column_values_to_be_in_set", column=column.name, value_set=values)
        yield _expectation(
            "expect_column_kl_divergence_to_be_less_than",
            column=column.name,
            threshold=0.1,
            partition_object={"values": values, "weights": weights},
        )
    else:
        yield from _about_numbers(column)


def _about_numbers(column: pl.Series) -> Iterator[Draft]:
    import polars as pl

    numbers = column.drop_nulls().cast(pl.Float64).to_numpy()
    low, high = float(numbers.min()), float(numbers.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return
    margin = RANGE_MARGIN * (high - low) or RANGE_MARGIN * abs(high) or 1.0
    bottom = 0.0 if 0 <= low < margin else low - margin
    yield _expectation(
        "expect_column_values_to_be_between",
        column=column.name,
        min_value=_down(bottom),
        max_value=_up(high + margin),
        mostly=MOSTLY,
    )
    mean, deviation = float(numbers.mean()), float(numbers.std())
    if deviation:
        reach = MEAN_MARGIN * deviation
        yield _expectation(
            "expect_column_mean_to_be_between",
            "warning",
            column=column.name,
            min_value=_down(mean - reach),
            max_value=_up(mean + reach),
        )


def _about_strings(column: pl.Series) -> Iterator[Draft]:
    present = column.drop_nulls()
    if present.n_unique() <= min(SET_SIZE, max(len(present) // 10, 2)):
        values = sorted(present.unique().to_list())
        yield _expectation("expect_column_values_to_be_in_set", column=column.name, value_set=values, mostly=SET_MOSTLY)
    else:
        lengths = present.str.len_chars().to_numpy()
        yield _expectation(
            "expect_column_value_lengths_to_be_between",
            "warning",
            column=column.name,
            min_value=min(int(lengths.min()), 1),
            max_value=max(2 * int(lengths.max()), 8),
        )


def _about_times(column: pl.Series) -> Iterator[Draft]:
    first = column.drop_nulls().sort().dt.to_string("iso:strict")[0]
    yield _expectation("expect_column_values_to_be_between", "warning", column=column.name, min_value=first)


def _expectation(kind: str, severity: str = "critical", **kwargs: Any) -> Draft:
    return {"type": kind, "kwargs": kwargs, "meta": {}, "severity": severity}


def _down(value: float) -> float | int:
    return _rounded(value, math.floor)


def _up(value: float) -> float | int:
    return _rounded(value, math.ceil)


def _rounded(value: float, towards: Any) -> float | int:
    """Return a bound with three significant digits, never tighter than `value`."""
    if not value:
        return 0
    digits = 2 - math.floor(math.log10(abs(value)))
    scaled = towards(round(value * 10.0**digits, 6)) / 10.0**digits
    scaled = round(scaled, max(digits, 0))
    return int(scaled) if scaled == int(scaled) else scaled


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _library_version() -> str:
    from importlib.metadata import version

    return version("great-expectations")
