"""Run a suite's expectations with Great Expectations, a few columns at a time. The only file that imports it.

What it cannot be asked safely is answered here: an expectation that looked at no value at all has failed (it says
success), one that raised has failed whatever its severity says, and its message, which may quote values, stays out.
"""

from __future__ import annotations

import gc
import logging
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.errors import SuiteError
from components.stage.config import nearest
from components.types.dataset import ColumnType
from components.validation.batches import Batch, plan_batches
from components.validation.checks import BAD_ROWS_CAP, BadRows
from components.validation.suite import Expectation, Suite
from components.validation.table import Table
from components.validation.verdict import ExpectationOutcome

if TYPE_CHECKING:
    import pandas as pd

OBSERVED_CAP = 20
"""Observed values kept when an expectation observes a list."""
COLLECT_BYTES = 16 * 2**20
"""Batches larger than this are cleared away at once."""
_PLACE = "towpath_place"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SINGLE_VALUES = ("_max_", "_min_", "_median_", "_quantile_", "_most_common_", "_distinct_")
"""Expectations that observe values of single rows, which a message must not show."""


@dataclass(frozen=True)
class ExpectationResult:
    """What one expectation says, and the rows at fault."""

    outcome: ExpectationOutcome
    bad: BadRows | None
    raised: bool
    """It could not be evaluated; that refuses the table whatever its severity."""

    @property
    def refuses(self) -> bool:
        """Whether the table is refused because of it."""
        return self.raised or (not self.outcome.success and self.outcome.severity == "critical")


def library_version() -> str:
    """Return the version of Great Expectations, without importing it."""
    from importlib.metadata import version

    return version("great-expectations")


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what Great Expectations warns of and logs to itself: it quotes values."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def require_known_expectations(suite: Suite) -> None:
    """Check that Great Expectations knows every expectation and accepts its arguments.

    Raises:
        SuiteError: it does not; the message names the first one.
    """
    with _quietly():
        from great_expectations.exceptions.exceptions import ExpectationNotFoundError
        from great_expectations.expectations.registry import list_registered_expectation_implementations

        for index, each in enumerate(suite.expectations):
            where = f"{suite.path}: expectations[{index}]"
            try:
                _configuration(suite, index).to_domain_obj()
            except ExpectationNotFoundError as error:
                known = list_registered_expectation_implementations()
                raise SuiteError(f"{where}: unknown expectation `{each.type}`{nearest(each.type, known)}") from error
            except Exception as error:  # its own, pydantic's, or whatever a validator of one expectation raises
                raise SuiteError(f"{where} ({each.type}): {_first_fault(error)}") from error


def run_expectations(table: Table, suite: Suite, batch_bytes: int | None = None) -> tuple[ExpectationResult, ...]:
    """Return what every expectation of a suite says of a table, in the suite's order.

    Args:
        table: A table that passed our own checks.
        suite: Its suite.
        batch_bytes: How much of the table to hold at once; one column is the least.

    Raises:
        SuiteError: an expectation is unknown, has wrong arguments, or needs a database.
    """
    batches = plan_batches(table, suite, batch_bytes)
    require_known_expectations(suite)
    results: dict[int, ExpectationResult] = {}
    with _quietly():
        for batch in batches:
            for result in _run_batch(table, suite, batch):
                results[result.outcome.index] = result
            if batch.size_bytes > COLLECT_BYTES:
                gc.collect()  # a frame stands in reference cycles, and several of them would pile up
    return tuple(results[index] for index in range(len(suite.expectations)))


def _asset() -> Any:
    """Return a place where one data frame can be put; it keeps every frame it was ever given, so each gets its own."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_pandas("table").add_dataframe_asset("columns")


def _run_batch(table: Table, suite: Suite, batch: Batch) -> Iterator[ExpectationResult]:
    from great_expectations import ExpectationSuite

    result_format = {
        "result_format": "BASIC",
        "partial_unexpected_count": BAD_ROWS_CAP,
        "include_unexpected_rows": True,
    }
    chosen = ExpectationSuite(name=suite.name, expectations=[_configuration(suite, place) for place in batch.places])
    whole = _asset().add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": _frame(table, batch)})
    found = {
        result.expectation_config.meta[_PLACE]: result
        for result in whole.validate(chosen, result_format=result_format).results
    }
    for place in batch.places:
        yield _judge(place, suite.expectations[place], found.get(place), batch.columns_by_place[place])


def _configuration(suite: Suite, place: int) -> Any:
    """Return an expectation as Great Expectations takes it, marked with its place in the suite."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    expectation = suite.expectations[place]
    kwargs = dict(expectation.kwargs)
    if suite.meta.columns.get(str(kwargs.get("column"))) is ColumnType.TIMESTAMP:
        for bound in ("min_value", "max_value"):
            if isinstance(value := kwargs.get(bound), str) and _DAY.fullmatch(value):
                kwargs[bound] = f"{value}T00:00:00"  # a day would become a date, which pandas compares with no time
    return ExpectationConfiguration(
        type=expectation.type,
        kwargs=kwargs,
        meta={_PLACE: place},
        severity=FailureSeverity(expectation.severity.value),
    )


def _frame(table: Table, batch: Batch) -> pd.DataFrame:
    """Return a batch's columns as pandas has them; no rows for expectations about names, no columns about rows."""
    import pandas as pd
    import pyarrow.parquet as pq

    if batch.names_only:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in table.types})
    if not batch.columns:
        return pd.DataFrame(index=pd.RangeIndex(table.rows))
    columns = pq.ParquetFile(table.path).read(columns=list(batch.columns))
    for place, name in enumerate(columns.column_names):
        if table.types[name] is ColumnType.TIMESTAMP:
            columns = columns.set_column(place, name, _nanoseconds(columns.column(place)))
    return columns.select(list(batch.columns)).to_pandas(split_blocks=True, self_destruct=True)


def _nanoseconds(times: Any) -> Any:
    """Return times in the unit whose bounds Great Expectations parses, or as they are when they do not fit it."""
    import pyarrow as pa

    try:
        return times.cast(pa.timestamp("ns", times.type.tz))
    except pa.ArrowInvalid:
        return times


def _judge(place: int, expectation: Expectation, result: Any, columns: tuple[str, ...]) -> ExpectationResult:
    raised = _raised(result)
    details: Mapping[str, Any] = {} if result is None else result.result or {}
    checked = _checked_count(details)
    success = result is not None and raised is None and bool(result.success) and checked != 0
    outcome = ExpectationOutcome(
        index=place,
        type=expectation.type,
        columns=columns,
        severity=expectation.severity.value,
        success=success,
        observed=plain(details.get("observed_value")),
        unexpected_count=_count(details.get("unexpected_count")),
        checked_count=checked,
        reason="" if success else _reason(expectation.type, raised, details, checked),
    )
    bad = None if success else _bad_rows(place, columns, details)
    return ExpectationResult(outcome, bad, raised is not None)


def _raised(result: Any) -> str | None:
    """Return the kind of error that kept an expectation from being evaluated, or None."""
    if result is None:
        return "no result"
    info = result.exception_info or {}
    entries = [info, *(each for each in info.values() if isinstance(each, dict))]
    for each in entries:
        if each.get("raised_exception"):
            trace = str(each.get("exception_traceback") or "").strip().splitlines()
            kinds = [line.split(":")[0].split(".")[-1] for line in trace if line[:1].isalpha() and ": " in line]
            return next((kind for kind in kinds if kind.endswith(("Error", "Exception"))), "an error")
    return None


def _reason(kind: str, raised: str | None, details: Mapping[str, Any], checked: int | None) -> str:
    if raised:
        return f"could not be evaluated ({raised}); does it suit the column's type?"
    if checked == 0:
        return "found no value to look at: every row is missing or outside its row condition"
    if (count := _count(details.get("unexpected_count"))) is not None:
        return f"{count} of {checked} values" if checked is not None else f"{count} unexpected values"
    observed = plain(details.get("observed_value"))
    if isinstance(observed, (int, float)) and not any(word in kind for word in _SINGLE_VALUES):
        return f"observed {observed:g}"
    return "what was observed is not within bounds"


def _checked_count(details: Mapping[str, Any]) -> int | None:
    elements = _count(details.get("element_count"))
    return None if elements is None else elements - (_count(details.get("missing_count")) or 0)


def _bad_rows(place: int, columns: tuple[str, ...], details: Mapping[str, Any]) -> BadRows | None:
    rows = details.get("unexpected_rows")
    if rows is None or not len(rows):
        return None
    return BadRows(f"expectations[{place}]", columns, tuple(int(row) for row in rows.index[:BAD_ROWS_CAP]))


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


def plain(value: Any) -> Any:
    """Return a measured value as plain JSON: numpy scalars unpacked, NaN as null, long lists cut."""
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item() if getattr(value, "size", 1) == 1 else value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value[:OBSERVED_CAP]]
    return str(value)


def _first_fault(error: Exception) -> str:
    faults = getattr(error, "errors", None)
    if callable(faults) and (listed := faults()):
        name = ".".join(str(part) for part in listed[0]["loc"] if part != "__root__")
        return f"argument `{name}`: {listed[0]['msg']}" if name else str(listed[0]["msg"])
    return " ".join(str(error).split())[:300]
