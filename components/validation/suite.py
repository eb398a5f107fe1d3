"""Read an expectation suite, and say what makes one unusable. Knows the file's form, not Great Expectations itself.

A suite is ``data/<model>/expectations.json``, as Great Expectations itself writes one; what Towpath needs beside the
expectations stands under ``meta.towpath``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from components.errors import ConfigError, SuiteError
from components.stage.config import Section, check_section
from components.stage.files import record_digest
from components.types.dataset import ColumnType

LEAK_BOUND = 0.99
"""Above this a single column gives the label away: AUC for classes, share of the variance explained for numbers."""


class Severity(StrEnum):
    """What follows when an expectation is not met, in Great Expectations' own words; only `CRITICAL` refuses."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class SuiteMeta(Section):
    """What Towpath needs to know beside the expectations (``meta.towpath``)."""

    columns: dict[str, ColumnType] = Field(min_length=1)
    """Every column of the table, with its type; a missing or further column refuses the table."""
    leak_bound: float = Field(default=LEAK_BOUND, gt=0.5, le=1.0)
    """A single column that tells the label better than this refuses the table."""
    leak_allowed: tuple[str, ...] = ()
    """Columns that may, because somebody knows why."""


class Expectation(Section):
    """One expectation, as Great Expectations writes it."""

    type: str
    kwargs: dict[str, Any]
    severity: Severity = Severity.CRITICAL
    meta: dict[str, Any] | None = None
    id: str | None = None
    description: str | None = None
    notes: str | list[str] | None = None
    rendered_content: Any = None

    @property
    def label(self) -> str:
        """The expectation in a few words, without its bounds."""
        named = [
            str(self.kwargs[key]) for key in ("column", "column_A", "column_B", "column_list") if key in self.kwargs
        ]
        return f"{self.type}({', '.join(named)})"


class SuiteFile(Section):
    """The file's top level, as Great Expectations writes it."""

    name: str = Field(min_length=1)
    expectations: tuple[Expectation, ...]
    meta: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None
    notes: str | list[str] | None = None
    suite_parameters: dict[str, Any] | None = None


class Suite(Section):
    """A suite that can be used."""

    name: str
    path: Path
    digest: str
    """SHA-256 of the file's canonical JSON: formatting does not count."""
    expectations: tuple[Expectation, ...]
    meta: SuiteMeta


def suite_path(model: str, root: Path = Path()) -> Path:
    """Return where a model's suite stands."""
    return root / "data" / model / "expectations.json"


def suite_digest(model: str, root: Path = Path()) -> str:
    """Return the digest of a model's suite: of what it says, not of how it is formatted.

    Raises:
        SuiteError: there is no suite, or it is not JSON.
    """
    path = suite_path(model, root)
    return _digest(_content(path, model), path)


def read_suite(model: str, root: Path = Path()) -> Suite:
    """Return a model's suite.

    Raises:
        SuiteError: there is none, it is malformed, it is empty, or nothing in it could ever refuse a table.
    """
    path = suite_path(model, root)
    content = _content(path, model)
    try:
        file = check_section(content, SuiteFile, path, "")
        meta = check_section(_own_meta(file.meta, path, model), SuiteMeta, path, "meta.towpath")
    except ConfigError as error:
        raise SuiteError(str(error)) from error
    suite = Suite(name=file.name, path=path, digest=_digest(content, path), expectations=file.expectations, meta=meta)
    _require_teeth(suite)
    _require_known_columns(suite)
    return suite


def columns_of(expectation: Expectation, known: Mapping[str, ColumnType]) -> tuple[str, ...]:
    """Return the columns that an expectation reads, in table order; those of its row condition included.

    A column whose name merely occurs in the row condition is read too: one too many does no harm, one too few would.
    """
    kwargs = expectation.kwargs
    named = {str(kwargs[key]) for key in ("column", "column_A", "column_B") if key in kwargs}
    named |= {str(name) for name in kwargs.get("column_list") or ()}
    condition = json.dumps(kwargs.get("row_condition") or "", ensure_ascii=False)
    named |= {name for name in known if name in condition}
    return tuple(name for name in known if name in named)


def _content(path: Path, model: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SuiteError(f"{path} is missing; draft one with `towpath suite propose {model}`") from error
    except ValueError as error:
        raise SuiteError(f"{path} is not valid JSON: {error}; mend it, or restore it from git") from error


def _digest(content: Any, path: Path) -> str:
    try:
        return record_digest(content)
    except ValueError as error:
        raise SuiteError(f"{path} holds NaN or infinity, which are no JSON; write a number or null") from error


def _own_meta(meta: Mapping[str, Any], path: Path, model: str) -> Any:
    if "towpath" not in meta:
        raise SuiteError(
            f"{path}: `meta.towpath.columns` is missing, so a missing or further column would go unnoticed; "
            f"`towpath suite propose {model} --force` writes it"
        )
    return meta["towpath"]


def _require_teeth(suite: Suite) -> None:
    """Refuse a suite that looks green and checks nothing."""
    if not suite.expectations:
        raise SuiteError(f"{suite.path} holds no expectation; an empty suite passes everything: add at least one")
    if all(each.severity is not Severity.CRITICAL for each in suite.expectations):
        raise SuiteError(
            f"{suite.path} holds no expectation of severity critical, so it could refuse nothing; "
            "make at least one critical"
        )


def _require_known_columns(suite: Suite) -> None:
    known = suite.meta.columns
    for index, each in enumerate(suite.expectations):
        kwargs = each.kwargs
        named = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
        named += list(kwargs.get("column_list") or ())
        if unknown := [name for name in named if name not in known]:
            raise SuiteError(
                f"{suite.path}: expectations[{index}] ({each.type}) names column `{unknown[0]}`, which "
                f"`meta.towpath.columns` does not list; there are: {', '.join(known)}"
            )
