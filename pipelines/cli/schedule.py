"""Commands about runs that nobody starts by hand: schedule deploy, list, next, pause, resume, trigger, watch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import BadInputError, InfrastructureError, TowpathError
from pipelines.cli.output import JsonOption, finish, print_json, print_json_line, print_table, say, say_all

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from pipelines.schedules.watching import Watched

NameArgument = Annotated[str, typer.Argument(help="A schedule; none with --all.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every schedule.")]
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What runs when, and whether it did.")


@app.command()
def deploy(json: JsonOption = False) -> None:
    """Hand infra/prefect.yaml to the server: work pool, flow deployments, schedules. What is paused there stays so."""
    from pipelines.schedules.deployments import listed
    from pipelines.schedules.handover import PREFECT_FILE
    from pipelines.schedules.handover import deploy as hand_over

    with prefect_client() as client:
        count, stopped = hand_over(str(client.api_url))
        rows = listed(client)
    paused = f", {stopped} of them paused" if stopped else ""
    finish(json, rows, f"{count} flow deployments of {PREFECT_FILE} are on the server{paused}")


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """Show every schedule: when, whether it is paused, what happens to overlaps and missed runs, how it went last."""
    from pipelines.schedules.deployments import listed

    with prefect_client() as client:
        rows = listed(client)
    if json:
        print_json(rows)
        return
    print_table(
        ("schedule", "when", "state", "overlap", "catch-up", "next", "last", "last run"),
        [
            (s.name, "\n".join(s.schedules), "active" if s.active else "PAUSED", s.overlap, s.policy.catch_up.value,
             s.next_at, s.last_at, s.last_state)
            for s in rows
        ],
    )  # fmt: skip
    say_all(f"{s.name}: its last run did not succeed: {s.last_problem}" for s in rows if s.last_problem)


@app.command("next")
def next_(
    name: Annotated[str, typer.Argument(help="One schedule; all by default.")] = "",
    count: Annotated[int, typer.Option(min=1, max=100, help="How many times of each.")] = 3,
    json: JsonOption = False,
) -> None:
    """Show the times at which runs are due next; a paused schedule has none."""
    from pipelines.schedules.deployments import deployment, deployments, is_active, next_times

    with prefect_client() as client:
        chosen = [deployment(client, name)] if name else [each for each, _ in deployments(client)]
        times = {each.name: [at.isoformat() for at in next_times(each, count)] for each in chosen}
    if json:
        print_json(times)
        return
    none = {each.name: "-" if is_active(each) else "PAUSED" for each in chosen}
    print_table(("schedule", "due"), [(each, "\n".join(due) or none[each]) for each, due in times.items()])


@app.command()
def pause(name: NameArgument = "", all_: AllOption = False, json: JsonOption = False) -> None:
    """Let no new run of a schedule begin; one that goes on is left alone."""
    _set_active(name, all_, active=False, json=json)


@app.command()
def resume(name: NameArgument = "", all_: AllOption = False, json: JsonOption = False) -> None:
    """Let a paused schedule go on from now; what was due meanwhile is not made up for."""
    _set_active(name, all_, active=True, json=json)


@app.command()
def trigger(
    name: str,
    at: Annotated[str, typer.Option(help="The time it stands for, with its zone; this minute by default.")] = "",
    json: JsonOption = False,
) -> None:
    """Run a schedule for a time; triggering the same time again gives the same run."""
    from pipelines.schedules.deployments import trigger as create

    try:
        when = datetime.fromisoformat(at) if at else None
    except ValueError as error:
        raise BadInputError(f"--at {at}: no time; write 2026-01-31T02:10:00+00:00") from error
    with prefect_client() as client:
        run = create(client, name, when)
    found = {"flow_run_id": str(run.id), "name": run.name, "state": run.state_name, "log": _log(run)}
    words = f"run {run.name} of {name} is {run.state_name}, its id is {run.id}; a worker of the pool takes it"
    finish(json, found, f"{words}, and writes {found['log']}" if found["log"] else words)


@app.command()
def watch(
    every: Annotated[float, typer.Option(min=0, help="Go on until interrupted, so many seconds apart; 0 is once.")] = 0,
    json: JsonOption = False,
) -> None:
    """Find killed, stranded, failed and missing runs; free slots, resume once, tell people. Code 1: there were."""
    from pipelines.schedules.watchdog import Limits
    from pipelines.schedules.watching import watch as look

    if not every:
        with prefect_client() as client:
            found = look(client, Limits(), Path())
        _show(found, json)
        if found.notices or found.problems:
            raise typer.Exit(1)
        return
    heard_since: float | None = None
    while True:  # whatever went wrong may be over at the next look, and nothing starts this one again
        try:
            with prefect_client() as client:
                heard_since = heard_since or time.time()
                found = look(client, Limits(), Path(), heard_since)
        except Exception as error:
            heard_since = None
            with _written_or_not():
                say(_problem(error))
        else:
            with _written_or_not():
                _show(found, json, in_a_row=True)
        time.sleep(every)


def add_commands(to: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    to.add_typer(app, name="schedule")


def _set_active(name: str, every: bool, *, active: bool, json: bool) -> None:
    from pipelines.schedules.deployments import deployments, is_active, set_active

    if bool(name) == every:
        raise BadInputError("name one schedule, or give --all; `towpath schedule list` shows them")
    with prefect_client() as client:
        names = [each.name for each, _ in deployments(client)] if every else [name]
        rows = [{"name": each, "active": is_active(set_active(client, each, active=active))} for each in names]
    words = f"{', '.join(names) or 'no schedule'}: {'active' if active else 'paused'}"
    finish(json, rows if every else rows[0], words)


@contextlib.contextmanager
def _written_or_not() -> Iterator[None]:
    """Go on where a line cannot be written, for the disk may be full; but not where nobody reads any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


def _problem(error: Exception) -> str:
    if isinstance(error, TowpathError):
        return str(error)
    return f"this look failed, {type(error).__name__}: {' '.join(str(error).split())}; the next one follows"


def _show(found: Watched, json: bool, *, in_a_row: bool = False) -> None:
    if json:
        if not in_a_row or found.notices or found.problems:
            print_json_line(found) if in_a_row else print_json(found)
        return
    for notice in found.notices:
        say(f"{notice.kind}: {notice.sentence}")
    for problem in found.problems:
        say(problem)
    if not in_a_row and not found.notices:
        say("nothing new is wrong")


def _log(run: FlowRun) -> str | None:
    """Return where a training's run writes its log; other runs have theirs at the server alone."""
    model: Any = run.parameters.get("model")
    if not model:
        return None
    from pipelines.schedules.training import LOGS

    return str(LOGS / f"{model}.log")


@contextlib.contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """Give a client of the server; none is started for it, for a temporary one would know of no schedule.

    Raises:
        InfrastructureError: no server answers.
    """
    address = prefect_address()
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        with temporary_settings({PREFECT_API_URL: address}), get_client(sync_client=True) as client:
            yield client
    except httpx.HTTPError as error:
        words = str(error) or type(error).__name__
        raise InfrastructureError(f"Prefect at {address} does not answer as it should: {words}") from error


def prefect_address() -> str:
    """Return where the server's API is: the one that the user named, or our own that runs here.

    Raises:
        InfrastructureError: there is none.
    """
    from pipelines.services.local import PREFECT
    from pipelines.services.process import find_service

    if address := os.environ.get("PREFECT_API_URL"):
        return address
    if service := find_service(PREFECT):
        return f"{service.url}/api"
    from prefect.settings import PREFECT_API_URL

    if address := PREFECT_API_URL.value():  # a profile, or a file of settings, may name one
        return str(address)
    raise InfrastructureError(
        "no Prefect server answers: PREFECT_API_URL names none, and none of ours runs here; "
        "`towpath up` or `towpath stack up` starts one"
    )
