"""One batch of a dataset against the suite, by itself: what is asked of each row. Writes nothing.

What a suite says of the whole (numbers of rows, means, shares of classes) is asked of the dataset, not of a batch.
"""

from __future__ import annotations

from pathlib import Path

from components.validation.checks import run_checks
from components.validation.expectations import run_expectations
from components.validation.suite import Expectation, Suite
from components.validation.table import open_table

_OF_ROWS = (
    "expect_column_values_",
    "expect_column_value_lengths_",
    "expect_column_pair_values_",
    "expect_compound_columns_",
    "expect_multicolumn_",
    "expect_select_column_values_",
    "expect_column_to_exist",
    "expect_table_column",
)


def judge_batch(model: str, suite: Suite, root: Path) -> tuple[str, ...]:
    """Return what speaks against a batch that was ingested alone below `root`, a phrase each; empty when it is good.

    Raises:
        SuiteError: the suite cannot be used.
        SourceError: nothing was ingested there.
        DigestMismatchError: the table's bytes are not those of its manifest.
    """
    table = open_table(model, root)
    checks = [result.outcome for result in run_checks(table, suite.meta, is_batch=True)]
    if failed := [f"{each.check} ({each.reason})" for each in checks if not each.success]:
        return tuple(failed)
    asked = suite.model_copy(update={"expectations": tuple(each for each in suite.expectations if _is_of_rows(each))})
    if not asked.expectations:
        return ()
    results = [each for each in run_expectations(table, asked) if each.refuses]
    # a condition that no row of a small batch meets says nothing against it
    refusing = [each.outcome for each in results if each.raised or each.outcome.checked_count != 0]
    return tuple(f"{each.type}({', '.join(each.columns)}): {each.reason}" for each in refusing)


def _is_of_rows(expectation: Expectation) -> bool:
    return expectation.type.startswith(_OF_ROWS)
