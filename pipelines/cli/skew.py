"""The command that compares training rows with served rows. Compares nothing itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say

if TYPE_CHECKING:
    from components.types.tfx import ExactSkew, FeatureSkew


def skew(
    model: str,
    env: Annotated[str, typer.Option("--env", help="The environment: local, staging or production.")] = "local",
    version: Annotated[int | None, typer.Option(help="A version; the stable one by default.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only rows served from then on, in UTC: 2026-01-31 or 2026-01-31T12:00:00.")
    ] = None,
    min_rows: Annotated[int, typer.Option(min=1, help="Fewer served rows say too little.")] = 200,
    l_infinity: Annotated[
        float, typer.Option(min=0, max=1, help="Largest distance for texts, truths and shares of missing values.")
    ] = 0.1,
    jensen_shannon: Annotated[float, typer.Option(min=0, max=1, help="Largest distance for numbers.")] = 0.1,
    json: JsonOption = False,
) -> None:
    """Compare the rows a version was trained on with the rows it is asked, by TFDV; 4 where they differ."""
    from components.errors import GateRefusedError
    from pipelines.release.environments import load_environment
    from pipelines.skew import SkewRequest, find_skew

    moment = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    request = SkewRequest(model, version, moment, min_rows, l_infinity, jensen_shannon)
    found = find_skew(load_environment(env), request, say)
    if json:
        print_json(found)
    else:
        rows = [_row(each) for each in found.report.features]
        print_table(("column", "measure", "distance", "bound", "missing in training", "in serving", "verdict"), rows)
        say(_exact_sentence(found.report.exact))
        say(f"report: {found.page}")
    if not found.report.passed:
        skewed = [each.feature for each in found.report.features if not each.passed]
        differing = [f"{each.feature} ({each.differing} rows)" for each in found.report.exact.features]
        reasons = [
            f"{what}: {', '.join(names)}"
            for what, names in (("distributions differ in", skewed), ("rows of one id differ in", differing))
            if names
        ]
        raise GateRefusedError(
            f"version {found.version} of {model} is asked something else than it was trained on: {'; '.join(reasons)}"
        )


def add_commands(app: typer.Typer) -> None:
    """Add this file's command to the command line."""
    app.command()(skew)


def _row(found: FeatureSkew) -> tuple[str | None, ...]:
    distance = None if found.distance is None else f"{found.distance:.4f}"
    shares = f"{found.training_missing:.1%}", f"{found.serving_missing:.1%}"
    return found.feature, found.measure, distance, f"{found.bound:g}", *shares, "alike" if found.passed else "SKEWED"


def _exact_sentence(found: ExactSkew) -> str:
    if not found.ids_compared:
        return (
            "no served row has the id of a training row, so none was compared value by value; "
            "a client that sends it as x-request-id, one row a request, makes that possible"
        )
    differing = f"{len(found.features)} columns differ" if found.features else "no value differs"
    return f"{found.ids_compared} ids were compared value by value: {differing}"
