"""Served rows against the suite of the training data, as far as the suite is about such rows. Writes nothing.

A served row has no id and no label, a customer may ask twice, and a window has no number of rows that it should have:
expectations about these are left out, and counted. Types the gateway itself enforces.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from components.monitoring.log_files import LogWindow
from components.monitoring.served import ServedVersion, write_spread
from components.types.dataset import ColumnType, DatasetManifest
from components.types.monitoring import MissedExpectation, ServedQuality
from components.validation.batches import DATABASE_ONLY, NAMES_ONLY
from components.validation.suite import Expectation, Suite, columns_of, read_suite
from components.validation.table import Table

_NOT_OF_REQUESTS = ("_unique", "_of_type", "_in_type_list")


def served_quality(window: LogWindow, served: ServedVersion, rows: int, most_rows: int, root: Path) -> ServedQuality:
    """Return what a model's suite says of the rows that a version served.

    Args:
        window: The part of the log.
        served: The version.
        rows: How many rows it served.
        most_rows: So many of them are looked at, evenly spread.
        root: The project.

    Raises:
        SuiteError: the suite cannot be used.
        DigestMismatchError: a file of the log is damaged.
        InfrastructureError: the log cannot be read.
    """
    from components.validation.expectations import run_expectations

    suite = read_suite(window.model, root)
    with TemporaryDirectory(prefix="towpath-served-") as folder:
        path = Path(folder) / "rows.parquet"
        found = write_spread(window, served, rows, most_rows, path)
        types: dict[str, ColumnType | str] = {each.name: each.type for each in served.inputs if not each.shape}
        table = Table(path, _no_manifest(window.model), found, types)
        about = tuple(each for each in suite.expectations if _is_about_rows(suite, types, each))
        left_out = len(suite.expectations) - len(about)
        if not about or not found:
            return ServedQuality(served.version, found, 0, left_out, ())
        results = run_expectations(table, suite.model_copy(update={"expectations": about}))
    missed = tuple(
        # what could not be evaluated is not met, whatever its severity says
        MissedExpectation(
            each.outcome.type,
            each.outcome.columns,
            "critical" if each.refuses else each.outcome.severity,
            each.outcome.reason,
        )
        for each in results
        if not each.outcome.success
    )
    return ServedQuality(served.version, found, len(about), left_out, missed)


def _is_about_rows(suite: Suite, types: Mapping[str, object], expectation: Expectation) -> bool:
    kind = expectation.type
    if kind in NAMES_ONLY or kind in DATABASE_ONLY or any(word in kind for word in _NOT_OF_REQUESTS):
        return False
    columns = columns_of(expectation, suite.meta.columns)
    return bool(columns) and all(name in types for name in columns)


def _no_manifest(model: str) -> DatasetManifest:
    """Return the manifest of a table that was never ingested; expectations are asked of columns alone."""
    return DatasetManifest(model, "", 0, (), "", "", (), "")
