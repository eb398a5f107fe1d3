"""Our own checks, before Great Expectations is asked: fail-closed. Give the places of bad rows, never their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.types.dataset import ColumnType
from components.validation.leak import check_leak
from components.validation.suite import SuiteMeta
from components.validation.table import Table
from components.validation.verdict import CheckOutcome

if TYPE_CHECKING:
    import polars as pl

BAD_ROWS_CAP = 100
"""Bad rows kept per check or expectation."""


@dataclass(frozen=True)
class BadRows:
    """Where the rows are that one check or expectation refuses; at most `BAD_ROWS_CAP` of them."""

    rule: str
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    """Their places in the table, from 0."""


@dataclass(frozen=True)
class CheckResult:
    """What one check says, and the rows at fault."""

    outcome: CheckOutcome
    bad: BadRows | None = None


def run_checks(table: Table, meta: SuiteMeta, *, is_batch: bool = False) -> tuple[CheckResult, ...]:
    """Check a table's shape, and its values when the shape is right.

    Args:
        table: The table.
        meta: What the suite says of it.
        is_batch: It is a part of a dataset: its label need not vary, and too few rows tell of no leak.
    """
    shape = tuple(_shape_checks(table, meta))
    if not all(result.outcome.success for result in shape):
        return shape
    values = (*shape, *_value_checks(table), *(() if is_batch else (_label_varies(table),)))
    if is_batch or not all(result.outcome.success for result in values):
        return values
    return (*values, CheckResult(check_leak(table, meta)))


def _shape_checks(table: Table, meta: SuiteMeta) -> Iterator[CheckResult]:
    yield _result("not_empty", table.rows > 0, (), f"the table has {table.rows} rows, expected at least one")
    expected, found = meta.columns, table.types
    missing = tuple(name for name in expected if name not in found)
    yield _result("no_missing_column", not missing, missing, _listed("the suite lists, the table lacks", missing))
    extra = tuple(name for name in found if name not in expected)
    yield _result("no_extra_column", not extra, extra, _listed("the table has, the suite does not list", extra))
    other = {name: type_ for name, type_ in found.items() if name in expected and type_ != expected[name]}
    words = [f"`{name}` is {type_} where {expected[name]} is expected" for name, type_ in other.items()]
    yield _result("types", not other, tuple(other), "; ".join(words) or "every column has the type the suite lists")
    for role in ("id_column", "label_column"):
        name = getattr(table.manifest, role)
        words_of_role = f"the manifest's {role.replace('_', ' ')} is `{name}`"
        yield _result(
            role, name in found, (name,), words_of_role + ("" if name in found else ", which the table lacks")
        )


def _value_checks(table: Table) -> Iterator[CheckResult]:
    missing, infinite = _counts(table)
    empty = tuple(name for name, count in missing.items() if count == table.rows)
    yield _result("not_all_missing", not empty, empty, _listed("without a single value", empty))
    boundless = tuple(name for name, count in infinite.items() if count)
    words = [f"`{name}` has {infinite[name]} infinite values" for name in boundless]
    bad = _places(table, boundless, "infinite") if boundless else None
    yield _result("finite", not boundless, boundless, "; ".join(words) or "no infinite value", bad)
    for role in ("id_column", "label_column"):
        name = getattr(table.manifest, role)
        rule = f"{role.split('_')[0]}_not_missing"
        bad = _places(table, (name,), "missing", rule) if missing[name] else None
        yield _result(rule, not missing[name], (name,), f"`{name}` misses {missing[name]} of {table.rows} values", bad)
    yield _unique_id(table)


def _counts(table: Table) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many values of each column are missing (null or NaN), and how many are infinite."""
    import polars as pl

    floats = [name for name, type_ in table.types.items() if type_ is ColumnType.FLOAT64]
    select = [pl.col(name).null_count().alias(f"n{place}") for place, name in enumerate(table.types)]
    select += [pl.col(name).is_nan().sum().alias(f"a{place}") for place, name in enumerate(floats)]
    select += [pl.col(name).is_infinite().sum().alias(f"i{place}") for place, name in enumerate(floats)]
    row = table.scan().select(select).collect(engine="streaming").row(0, named=True)
    missing = {name: int(row[f"n{place}"]) for place, name in enumerate(table.types)}
    for place, name in enumerate(floats):
        missing[name] += int(row[f"a{place}"])
    return missing, {name: int(row[f"i{place}"]) for place, name in enumerate(floats)}


def _places(table: Table, columns: tuple[str, ...], fault: str, rule: str = "finite") -> BadRows:
    """Return the first rows in which one of some columns is infinite, or missing."""
    import polars as pl

    def at_fault(name: str) -> pl.Expr:
        column = pl.col(name)
        if fault == "infinite":
            return column.is_infinite()
        is_float = table.types[name] is ColumnType.FLOAT64
        return column.is_null() | (column.is_nan() if is_float else pl.lit(value=False))

    condition = pl.any_horizontal([at_fault(name).fill_null(value=False) for name in columns])
    places = table.scan().select(columns).with_row_index("__row").filter(condition).select("__row").head(BAD_ROWS_CAP)
    return BadRows(rule, columns, tuple(places.collect(engine="streaming")["__row"].to_list()))


def _unique_id(table: Table) -> CheckResult:
    """Look for duplicates among 64-bit hashes (80 MB for 10M rows), and compare only the ids whose hashes meet."""
    import numpy as np
    import polars as pl

    name = table.manifest.id_column
    ids = table.scan().select(name).collect(engine="streaming")[name]
    hashes = ids.hash(seed=0)
    ordered = np.sort(hashes.to_numpy())
    meeting = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    duplicated: list[int] = []
    if len(meeting):
        suspects = hashes.is_in(pl.Series(meeting, dtype=pl.UInt64).implode()).arg_true()
        duplicated = suspects.filter(ids.gather(suspects).is_duplicated()).to_list()
    bad = BadRows("id_unique", (name,), tuple(duplicated[:BAD_ROWS_CAP])) if duplicated else None
    return _result(
        "id_unique", not duplicated, (name,), f"{len(duplicated)} of {table.rows} rows share their `{name}`", bad
    )


def _label_varies(table: Table) -> CheckResult:
    import polars as pl

    name = table.manifest.label_column
    first = pl.col(name).drop_nulls().first()
    varies = bool(table.scan().select((pl.col(name) != first).any()).collect(engine="streaming").item())
    word = "more than one value" if varies else "no two different values; there is nothing to learn"
    return _result("label_varies", varies, (name,), f"label `{name}` has {word}")


def _listed(words: str, names: tuple[str, ...]) -> str:
    return f"columns {words}: {', '.join(f'`{name}`' for name in names) or 'none'}"


def _result(
    check: str, success: bool, columns: tuple[str, ...], reason: str, bad: BadRows | None = None
) -> CheckResult:
    return CheckResult(CheckOutcome(check, success, () if success else columns, reason), bad)
