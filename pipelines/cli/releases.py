"""Commands that show releases: a table of all environments, live or once, and why a release stands where it stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.output import (
    JsonOption,
    make_table,
    print_json,
    print_json_line,
    print_table,
    print_verdicts,
    say,
    say_all,
)

if TYPE_CHECKING:
    from components.types.release_view import ModelView
    from pipelines.release.environments import EnvironmentConfig
    from pipelines.release.view_asking import Asker

EnvOption = Annotated[str, typer.Option("--env", help="The environment: local, staging or production.")]
_HEADINGS = ("environment", "rev", "stable", "on its way", "share", "previous", "what comes next")
_REFRESH_S = 1.0


def releases(
    model: str,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay and show changes as they happen; with --json, one line for each.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show where a model's versions stand in every environment, and what comes next."""
    from components.types.release import Environment
    from pipelines.release.environments import load_environment
    from pipelines.release.view_asking import Asker

    environments = [load_environment(each.value) for each in Environment]
    askers = [Asker(env, model) for env in environments]
    if not watch:
        views = _asked_views(askers)
        print_json(views) if json else print_table(_HEADINGS, [_row(view) for view in views], title=model)
    elif json:
        _watch_as_json(environments, model)
    else:
        _watch_as_table(askers, model)


def explain_release(model: str, env: EnvOption = "production", json: JsonOption = False) -> None:
    """Say why a release stands where it stands: gates with their reasons, the judge's numbers, approvals, events."""
    from pipelines.release.environments import load_environment
    from pipelines.release.view import explain

    found = explain(load_environment(env), model)
    if json:
        print_json(found)
        return
    _show_view(found.view)
    if found.seen and found.seen.problem:
        say(f"the servers could not be asked: {found.seen.problem}")
    elif found.seen and (report := found.seen.report):
        arms = [("stable", report.stable), ("canary", report.canary)]
        print_table(
            ("arm", "version", "requests", "users", "bad events", "p95 ms"),
            [(name, a.version, a.requests, a.users, _counts(a.bad), a.p95_ms) for name, a in arms if a],
            title=f"the judge at revision {report.rev}: e-value {report.e_value:.3g}, weight {report.weight} %",
        )
        say_all([each for each in (report.alarm, report.breaker) if each])
    say(f"next: {found.view.next_step}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.command()(releases)
    app.command("explain-release")(explain_release)


def _asked_views(askers: list[Asker]) -> list[ModelView]:
    from pipelines.release.view import asked_model_view

    return [asked_model_view(asker) for asker in askers]


def _watch_as_json(environments: list[EnvironmentConfig], model: str) -> None:
    """Print one line of JSON now, and one whenever the ledger says something else; figures change with each request."""
    from pipelines.release.view import known_model_view

    said: list[ModelView] = []
    while True:
        views = [known_model_view(env, model) for env in environments]
        if views != said:
            print_json_line(views)
            said = views
        time.sleep(_REFRESH_S)


def _watch_as_table(askers: list[Asker], model: str) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            views = _asked_views(askers)
            live.update(make_table(_HEADINGS, [_row(view) for view in views], model), refresh=True)
            time.sleep(_REFRESH_S)


def _row(view: ModelView) -> tuple[Any, ...]:
    ways = [
        f"{role} {number}"
        for role, number in (("candidate", view.candidate), ("shadow", view.shadow), ("canary", view.canary))
        if number is not None
    ]
    way = ", ".join(ways) + (" (paused)" if view.paused else "")
    share = f"{view.weight} %" if view.canary is not None else None
    return view.env, view.rev or None, view.stable, way or None, share, view.previous, view.next_step


def _show_view(view: ModelView) -> None:
    versions = [(v.version, v.state, v.digest[:12], v.author) for v in view.versions]
    heading = f"{view.model} in {view.env}, revision {view.rev}"
    print_table(("version", "state", "product", "author"), versions, title=heading)
    print_verdicts(view.verdicts)
    if view.approvals:
        rows = [
            (a.actor, a.decision, a.target, a.version, "yes" if a.counts else "no", a.reason) for a in view.approvals
        ]
        print_table(("who", "says", "to", "version", "counts", "reason"), rows)
    events = [(e.rev, e.time[:19], e.target, e.version, e.actor, e.reason[:90]) for e in view.events[:12]]
    print_table(("rev", "time (UTC)", "to", "version", "who", "why"), events)


def _counts(bad: Any) -> str:
    return ", ".join(f"{name} {count}" for name, count in bad.items() if count) or "none"
