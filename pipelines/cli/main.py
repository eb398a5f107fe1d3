"""The command `towpath`: its groups, and what an error looks like. Knows no command's work."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from components.errors import TowpathError
from pipelines.cli import (
    approval_form,
    backup,
    batches,
    ledger,
    models,
    monitoring,
    operations,
    pipeline,
    promotion,
    releases,
    schedule,
    services,
    setup,
    skew,
    stack,
    upkeep,
    waivers,
)
from pipelines.cli.output import say
from pipelines.services.stack_state import adopt_stack
from pipelines.state import STATE, quiet

app = typer.Typer(
    name="towpath",
    help="From raw data to a served champion, and from there to production: gated, released, watched, undone.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (
    pipeline,
    models,
    promotion,
    operations,
    approval_form,
    waivers,
    releases,
    upkeep,
    monitoring,
    schedule,
    ledger,
    skew,
    services,
    stack,
    backup,
    batches,
    setup,
):
    group.add_commands(app)


def main() -> int:
    """Run the command and return its exit code: 0 done, 1 fault, 2 bad input, 3 conflict, 4 refused by a gate."""
    try:
        adopt_stack()
        quiet()
        app()
    except TowpathError as error:
        say(f"towpath: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("towpath: interrupted; run the same command again to go on")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        say(f"towpath: {_unexpected(error)}")
        return 1
    return 0


def _unexpected(error: Exception) -> str:
    """Keep the traceback for the report of a fault, and return one sentence for the user."""
    STATE.mkdir(exist_ok=True)
    log = STATE / "fault.log"
    log.write_text("".join(traceback.format_exception(error)))
    words = " ".join(str(error).split())[:300]
    return f"a fault of ours, {type(error).__name__}: {words}; the details are in {log}: please report them"
