"""Commands about what an environment's gateway logged: look at it, and train again because of it. Does neither."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say, say_all

if TYPE_CHECKING:
    from components.types.monitoring import MonitoringReport


def monitor(
    model: str,
    env: Annotated[str, typer.Option("--env", help="The environment: local, staging or production.")] = "local",
    since: Annotated[
        datetime | None, typer.Option(help="The first moment, in UTC: 2026-01-31 or 2026-01-31T12:00:00.")
    ] = None,
    window: Annotated[str, typer.Option(help="How far back instead of as configured: 30m, 1h, 7d.")] = "",
    json: JsonOption = False,
) -> None:
    """Look at a model's logged traffic: volume, errors, latency, quality, drift, live metric; 4 on an alarm."""
    from components.errors import BadInputError, GateRefusedError
    from components.types.monitoring import Status
    from pipelines.release.environments import load_environment
    from pipelines.watch.run import monitor as look

    if since is not None and window:
        raise BadInputError("--since and --window both say where the window begins; give one of them")
    moment = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    looked = look(load_environment(env), model, moment, window)
    if json:
        print_json(looked)
    else:
        _show(looked.report)
        say(f"report: {looked.written.page}")
        say(f"for Prometheus: {looked.written.metrics}")
    say_all(looked.problems)
    report = looked.report
    if report.state is Status.ALARM:
        alarms = [each for each in report.findings if each.status is Status.ALARM]
        raise GateRefusedError(f"{model} in {env}: {'; '.join(each.sentence for each in alarms)}")
    if looked.problems:
        raise typer.Exit(1)


def retraining(
    model: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be decided; change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a model again, as a challenger, if the last look found a cause and the policy allows it; say why."""
    from pipelines.cli.schedule import prefect_client
    from pipelines.retraining.act import act, would

    with prefect_client() as client:
        decided = (would if dry_run else act)(client, model)
    if json:
        print_json(decided)
        return
    if decided.causes:
        rows = [(each.kind.replace("_", " "), each.sentence) for each in decided.causes]
        print_table(("cause", "what was found"), rows)
    verb = verb_of(decided.decision, dry_run=dry_run)
    say(f"{model}: {verb}{f' until {decided.until}' if decided.until else ''}: {decided.reason}")
    if decided.flow_run:
        say(f"flow run {decided.flow_run} trains it; what passes its gates becomes the challenger, and nothing moves")
    elif dry_run:
        say("nothing was changed")


def verb_of(decision: str, *, dry_run: bool) -> str:
    """Return a decision as the verb of a sentence: ``retrain``, ``would do nothing``."""
    if not dry_run:
        return decision
    return f"would {'do nothing' if decision == 'nothing' else decision}"


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.command()(monitor)
    app.command()(retraining)


def _show(report: MonitoringReport) -> None:
    arms = [
        (
            each.version, each.role or "by number", f"{each.requests:,}", f"{each.rows:,}", f"{each.error_rate:.2%}",
            *(None if value is None else f"{value:.2f}" for value in (each.p50_ms, each.p95_ms, each.p99_ms)),
        )
        for each in report.traffic
    ]  # fmt: skip
    if arms:
        print_table(("version", "role", "requests", "rows", "failed", "p50 ms", "p95 ms", "p99 ms"), arms)
    else:
        say(f"NO DATA: nothing was logged from {report.since} to {report.until}")
    rows = [(each.status.value.upper(), each.kind.value.replace("_", " "), each.sentence) for each in report.findings]
    print_table(("status", "about", "what was found"), rows)
    say(f"{report.model} in {report.environment}: {report.state.value}")
