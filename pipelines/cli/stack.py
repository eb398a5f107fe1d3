"""Commands about the stack of real servers on one machine: up, down, status, env."""

from __future__ import annotations

from shlex import quote
from typing import Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say, say_all

stack_app = typer.Typer(
    help="Real servers on one machine: PostgreSQL, S3 stand-in, MLflow, Prefect, its worker, gateways, Prometheus.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@stack_app.command()
def up(
    gateway: Annotated[list[str], typer.Option(help="An environment that gets a gateway; may be repeated.")] = [  # noqa: B006 - typer reads it
        "staging",
        "production",
    ],
    json: JsonOption = False,
) -> None:
    """Start the stack, or what of it does not run; every command of this project uses it until `stack down`."""
    from pipelines.release.environments import load_environment
    from pipelines.services.stack import start_stack
    from pipelines.services.stack_checks import require_programs

    require_programs()
    environments = [load_environment(name).name for name in gateway]
    say("starting PostgreSQL, S3, MLflow, Prefect, its worker and watchdog, gateways and Prometheus on loopback ...")
    stack = start_stack(environments)
    say_all(stack.notes)
    if json:
        print_json(stack.services)
        return
    print_table(("server", "address", "pid", "log"), [(s.name, s.page, s.pid, s.log) for s in stack.services])
    say("this project's commands use these servers from now on; stop them with: towpath stack down")


@stack_app.command()
def down(
    keep: Annotated[bool, typer.Option("--keep", help="Keep what it holds for the next `stack up`.")] = False,
    json: JsonOption = False,
) -> None:
    """Stop the stack and delete what it kept: databases, artifacts, credentials, figures, logs."""
    from pipelines.services.stack import stop_stack

    stopped = stop_stack(keep=keep)
    if json:
        print_json(stopped)
    else:
        names = ", ".join(service.name for service in stopped) or "nothing was running"
        say(f"stopped: {names}; {'its data are kept in .towpath/stack' if keep else 'its data are deleted'}")


@stack_app.command()
def status(json: JsonOption = False) -> None:
    """Show the stack's servers and whether each answers; exit code 1 if one does not, or one is missing."""
    from pipelines.services.stack import absent_servers, stack_views, start_command

    views = stack_views()
    if json:
        print_json(views)
    else:
        rows = [(v.name, v.page, v.pid, "healthy" if v.healthy else "DOES NOT ANSWER") for v in views]
        print_table(("server", "address", "pid", "health"), rows)
    if missing := absent_servers(view.name for view in views):
        say(f"not running: {', '.join(missing)}; `{start_command(missing)}` starts it")
    if missing or not all(view.healthy for view in views):
        raise typer.Exit(1)


@stack_app.command()
def env(json: JsonOption = False) -> None:
    """Print the variables by which other programs find the stack: eval "$(towpath stack env)". Holds a password."""
    from components.errors import UnknownNameError
    from pipelines.services.stack_state import read_environment

    variables = read_environment()
    if not variables:
        raise UnknownNameError("the stack is not up; `towpath stack up` starts it")
    if json:
        print_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={quote(value)}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.add_typer(stack_app, name="stack")
