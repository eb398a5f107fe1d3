"""Plan which columns to load together, so that a large table never stands in memory whole. Loads nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import SuiteError
from components.types.dataset import ColumnType
from components.validation.suite import Expectation, Suite, columns_of
from components.validation.table import Table

BATCH_BYTES = 128 * 2**20
"""What the columns of one batch may take; every expectation copies all of them a few times over."""
BATCH_COLUMNS = 12
"""How many columns a batch may have, however short they are: fewer cost their start-up, more cost copies."""

NAMES_ONLY = frozenset(
    {
        "expect_column_to_exist",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
    }
)
"""Expectations about the columns' names alone."""
DATABASE_ONLY = frozenset(
    {
        "expect_query_results_to_match_comparison",
        "expect_table_row_count_to_equal_other_table",
        "unexpected_rows_expectation",
    }
)
_BYTES_PER_VALUE = {ColumnType.BOOL: 2, ColumnType.STRING: 32}


@dataclass(frozen=True)
class Batch:
    """Columns that are loaded together, and the expectations that are evaluated on them."""

    names_only: bool
    columns: tuple[str, ...]
    """In table order; empty for expectations about the number of rows."""
    size_bytes: int
    """About what the columns take."""
    columns_by_place: dict[int, tuple[str, ...]]
    """The columns of each expectation, by its place in the suite."""

    @property
    def places(self) -> tuple[int, ...]:
        """The expectations' places in the suite."""
        return tuple(self.columns_by_place)


def plan_batches(table: Table, suite: Suite, batch_bytes: int | None = None) -> tuple[Batch, ...]:
    """Return batches that together hold every expectation of the suite exactly once.

    Args:
        table: The table.
        suite: Its suite.
        batch_bytes: What the columns of one batch may take; an expectation's own columns are always together.

    Raises:
        SuiteError: an expectation needs a database.
    """
    names_only: dict[int, tuple[str, ...]] = {}
    by_columns: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(suite.expectations):
        _require_no_database(suite, place, each)
        columns = columns_of(each, suite.meta.columns)
        if each.type in NAMES_ONLY:
            names_only[place] = columns
        else:
            by_columns.setdefault(columns, []).append(place)
    batches = [Batch(names_only=True, columns=(), size_bytes=0, columns_by_place=names_only)] if names_only else []
    # in table order, so that neighbours, which expectations tend to share, come together
    order = {name: place for place, name in enumerate(table.types)}
    groups = sorted(by_columns.items(), key=lambda group: [order[name] for name in group[0]])
    return (*batches, *_packed(table, groups, batch_bytes or BATCH_BYTES))


def _packed(table: Table, groups: list[tuple[tuple[str, ...], list[int]]], batch_bytes: int) -> list[Batch]:
    batches: list[Batch] = []
    columns: set[str] = set()
    places: dict[int, tuple[str, ...]] = {}
    for names, indices in groups:
        wider = columns | set(names)
        if places and (len(wider) > BATCH_COLUMNS or _bytes(table, wider) > batch_bytes):
            batches.append(_batch(table, columns, places))
            columns, places = set(), {}
        columns |= set(names)
        places |= dict.fromkeys(indices, names)
    return [*batches, _batch(table, columns, places)] if places else batches


def _batch(table: Table, columns: set[str], places: dict[int, tuple[str, ...]]) -> Batch:
    ordered = tuple(name for name in table.types if name in columns)
    return Batch(
        names_only=False,
        columns=ordered,
        size_bytes=_bytes(table, columns),
        columns_by_place=dict(sorted(places.items())),
    )


def _bytes(table: Table, columns: set[str]) -> int:
    widths = [_BYTES_PER_VALUE.get(ColumnType(table.types[name]), 8) for name in columns]
    return table.rows * sum(widths)


def _require_no_database(suite: Suite, place: int, expectation: Expectation) -> None:
    if expectation.type in DATABASE_ONLY:
        raise SuiteError(
            f"{suite.path}: expectations[{place}] ({expectation.type}) needs a database, and the table is a file; "
            "remove it"
        )
