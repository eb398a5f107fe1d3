"""The validate stage: checks, expectations, report, then the verdict or a refusal. Judges nothing itself."""

from __future__ import annotations

from pathlib import Path

from components.errors import ValidationRefusedError
from components.stage.files import whole_directory, write_json
from components.validation.checks import BadRows, CheckResult, run_checks
from components.validation.report import REPORT_FILE, report_dir, write_report
from components.validation.suite import Suite, read_suite
from components.validation.table import Table, open_table
from components.validation.verdict import VERDICT_FILE, CheckOutcome, ExpectationOutcome, ValidationVerdict

NAMED_FAILURES = 5
"""Failures named in the refusal's sentence; the report has them all."""


def verdict_path(model: str, root: Path = Path()) -> Path:
    """Return where the verdict stands once a table was accepted."""
    return root / "out" / model / "validation" / VERDICT_FILE


def validate(model: str, root: Path = Path()) -> None:
    """Check a model's table, write the report, and the verdict when nothing critical failed.

    Raises:
        SuiteError: the suite cannot be used.
        SourceError: nothing was ingested.
        DigestMismatchError: the table's bytes are not those of its manifest.
        ValidationRefusedError: the table does not meet its suite.
    """
    suite = read_suite(model, root)
    table = open_table(model, root)
    checks = run_checks(table, suite.meta)
    found = [result.bad for result in checks if result.bad]
    outcomes: tuple[ExpectationOutcome, ...] = ()
    refusing: list[ExpectationOutcome] = []
    version = None
    if all(result.outcome.success for result in checks):
        outcomes, refusing, bad, version = _ask(table, suite)
        found += bad
    verdict = _verdict(model, table, suite, checks, outcomes, refusing, version)
    folder = report_dir(model, root)
    write_report(folder, verdict, table, suite, found)
    if not verdict.success:
        failed = [result.outcome for result in checks if not result.outcome.success]
        raise ValidationRefusedError(_sentence(table, failed, refusing, folder / REPORT_FILE))
    with whole_directory(verdict_path(model, root).parent) as temporary:
        write_json(temporary / VERDICT_FILE, verdict)


def _ask(
    table: Table, suite: Suite
) -> tuple[tuple[ExpectationOutcome, ...], list[ExpectationOutcome], list[BadRows], str]:
    """Return all outcomes, those that refuse the table, the rows at fault, and Great Expectations' version."""
    from components.validation.expectations import library_version, run_expectations

    results = run_expectations(table, suite)
    refusing = [result.outcome for result in results if result.refuses]
    bad = [result.bad for result in results if result.bad]
    return tuple(result.outcome for result in results), refusing, bad, library_version()


def _verdict(
    model: str,
    table: Table,
    suite: Suite,
    checks: tuple[CheckResult, ...],
    outcomes: tuple[ExpectationOutcome, ...],
    refusing: list[ExpectationOutcome],
    version: str | None,
) -> ValidationVerdict:
    return ValidationVerdict(
        model=model,
        success=not refusing and all(result.outcome.success for result in checks),
        dataset_digest=table.manifest.digest,
        suite_name=suite.name,
        suite_digest=suite.digest,
        rows=table.rows,
        great_expectations=version,
        checks=tuple(result.outcome for result in checks),
        expectations=outcomes,
    )


def _sentence(table: Table, checks: list[CheckOutcome], refusing: list[ExpectationOutcome], report: Path) -> str:
    failures = [f"{each.check} ({each.reason})" for each in checks]
    failures += [f"{each.type}({', '.join(each.columns)}): {each.reason}" for each in refusing]
    named = "; ".join(failures[:NAMED_FAILURES])
    more = f"; and {len(failures) - NAMED_FAILURES} more" if len(failures) > NAMED_FAILURES else ""
    return f"{table.path} was refused: {named}{more}; see {report}"
