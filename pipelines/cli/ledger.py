"""Commands about the release ledger itself: verify its chains, show them, export them."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.output import JsonOption, print_json, print_table, say

EnvOption = Annotated[str, typer.Option("--env", help="One environment; all by default.")]
ledger_app = typer.Typer(help="The release ledger: verify, show, export.", no_args_is_help=True, rich_markup_mode=None)


@ledger_app.command()
def verify(
    model: Annotated[str, typer.Argument(help="One model; all by default.")] = "",
    env: EnvOption = "",
    head: Annotated[Path | None, typer.Option(help="An export made earlier: finds what was cut off since.")] = None,
    json: JsonOption = False,
) -> None:
    """Check every chain of events against itself, the slots, the versions, and an export kept elsewhere."""
    from pipelines.release.audit import verify as check

    found = check(model or None, env or None, head)
    if json:
        print_json(found)
    elif not found:
        say("there is no chain to verify: no event, no slot; whether there was one, an export tells (--head)")
    else:
        rows = [
            (
                v.head.model,
                v.head.env,
                v.head.rev,
                v.head.hash[:16],
                _listed(v.unbacked),
                "\n".join(v.findings) or "intact",
            )
            for v in found
        ]
        print_table(("model", "environment", "rev", "head", "revs without a decision", "finding"), rows)
        say(f"{sum(v.intact for v in found)} of {len(found)} chains are intact")
    if not all(v.intact for v in found):
        raise typer.Exit(1)


@ledger_app.command()
def show(model: str, env: EnvOption = "", json: JsonOption = False) -> None:
    """Show a model's events, oldest first."""
    from pipelines.release.audit import events

    found = events(model, env or None)
    if json:
        print_json(found)
        return
    rows = [(e.env, e.rev, e.time[:19], e.target, e.version, e.actor, e.hash[:12], e.reason[:80]) for e in found]
    print_table(("environment", "rev", "time (UTC)", "to", "version", "who", "hash", "why"), rows)


@ledger_app.command()
def export(
    model: Annotated[str, typer.Argument(help="One model; all by default.")] = "",
    env: EnvOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output by default.")] = None,
) -> None:
    """Write heads and events, always as JSON; kept elsewhere, `verify --head` proves later that nothing was cut."""
    from components.stage.files import write_text
    from pipelines.release.audit import export as exported

    text = json_module.dumps(exported(model or None, env or None), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
        say(f"written: {output}")


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to the command line."""
    app.add_typer(ledger_app, name="ledger")


def _listed(revs: Sequence[int]) -> str | None:
    return ", ".join(map(str, revs)) or None
