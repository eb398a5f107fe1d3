"""Commands about the local servers: up, down, status."""

from __future__ import annotations

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say


def up(json: JsonOption = False) -> None:
    """Start the local MLflow and Prefect servers; runs use them until `towpath down`."""
    from pipelines.services.local import start_servers

    say("starting MLflow and Prefect on loopback (the first time takes about 20 s) ...")
    running = start_servers()
    if json:
        print_json(running)
        return
    print_table(("server", "open in a browser", "pid", "log"), [(s.name, s.page, s.pid, s.log) for s in running])


def down(json: JsonOption = False) -> None:
    """Stop the servers that `towpath up` and `towpath serve --detach` started."""
    from pipelines.services.local import stop_servers

    stopped = stop_servers()
    if json:
        print_json(stopped)
    else:
        say(f"stopped: {', '.join(service.name for service in stopped) or 'nothing was running'}")


def status(json: JsonOption = False) -> None:
    """Show the servers that run, and for every model what is stale and which version is stable."""
    from pipelines.overview import overview

    view = overview()
    if json:
        print_json(view)
        return
    print_table(("server", "open in a browser", "pid"), [(s.name, s.page, s.pid) for s in view.services])
    rows = [(m.model, m.stable_version, m.stale_stages, m.problem) for m in view.models]
    print_table(("model", "stable version (local)", "stale stages", "problem"), rows)


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    for command in (up, down, status):
        app.command()(command)
