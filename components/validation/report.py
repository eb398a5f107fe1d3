"""Write the report for people: one HTML file that needs nothing else, the verdict, and the rows at fault.

It stands outside the stage's outputs, so that it is also there when the table was refused.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.stage.files import whole_directory, write_json, write_text
from components.types.dataset import ColumnType
from components.validation.bad_rows import BAD_ROWS_FILE, bad_rows, write_bad_rows
from components.validation.checks import BAD_ROWS_CAP, BadRows
from components.validation.suite import Suite
from components.validation.table import SAMPLE_ROWS, Table
from components.validation.verdict import VERDICT_FILE, ValidationVerdict

if TYPE_CHECKING:
    import polars as pl

REPORT_FILE = "index.html"
PICTURES_CAP = 100
SHOWN_LINES = 20
"""Lines per rule in the HTML file; the CSV has them all."""


def report_dir(model: str, root: Path = Path()) -> Path:
    """Return where a model's validation report stands."""
    return root / "reports" / model / "validation"


def write_report(folder: Path, verdict: ValidationVerdict, table: Table, suite: Suite, found: list[BadRows]) -> None:
    """Replace the report in `folder` with that of this verdict."""
    lines = bad_rows(table, found)
    with whole_directory(folder) as temporary:
        write_json(temporary / VERDICT_FILE, verdict)
        if len(lines):
            write_bad_rows(temporary / BAD_ROWS_FILE, lines)
        write_text(temporary / REPORT_FILE, _page(verdict, table, suite, lines))


def _page(verdict: ValidationVerdict, table: Table, suite: Suite, lines: pl.DataFrame) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("components.validation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = [
        (rule, list(list(group)[:SHOWN_LINES])) for rule, group in groupby(lines.rows(), key=lambda line: str(line[0]))
    ]
    return environment.get_template("report.html.j2").render(
        verdict=verdict,
        bounds=[_bounds(each.kwargs) for each in suite.expectations],
        titles={f"expectations[{place}]": each.label for place, each in enumerate(suite.expectations)},
        bad_rows=[(rule, [line[1:] for line in group]) for rule, group in shown],
        bad_count=len(lines),
        bad_file=BAD_ROWS_FILE,
        cap=BAD_ROWS_CAP,
        pictures=_pictures(verdict, table),
        sampled=min(table.rows, SAMPLE_ROWS),
    )


def _pictures(verdict: ValidationVerdict, table: Table) -> list[tuple[Any, Any, bool]]:
    """Return histograms of the columns, those at fault first, then the label."""
    from markupsafe import Markup

    from components.validation.histogram import histogram, svg

    failed = {name for each in verdict.checks if not each.success for name in each.columns}
    failed |= {name for each in verdict.expectations if not each.success for name in each.columns}
    label = table.manifest.label_column
    drawable = [name for name, type_ in table.types.items() if type_ in set(ColumnType)]
    names = [name for name in drawable if name != table.manifest.id_column] if table.rows else []
    names = sorted(names, key=lambda name: (name not in failed, name != label))[:PICTURES_CAP]
    pictures: list[tuple[Any, Any, bool]] = []
    for name in names:
        picture = histogram(table.sample([name]).to_series())
        pictures.append((picture, Markup(svg(picture)), name in failed))  # noqa: S704 (svg escapes every label)
    return pictures


def _bounds(kwargs: dict[str, object]) -> str:
    """Return an expectation's arguments without its columns, cut to one readable line."""
    rest = {key: value for key, value in kwargs.items() if key not in {"column", "column_A", "column_B", "column_list"}}
    text = json.dumps(rest, ensure_ascii=False) if rest else ""
    return text if len(text) <= 160 else text[:159] + "…"
