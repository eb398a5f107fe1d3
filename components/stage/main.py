"""Run a stage's function as a process: errors become one sentence, ``error.json`` and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from components.errors import BadInputError, StageCancelledError, StageFailedError, TowpathError, error_to_json
from components.stage.files import write_json
from components.stage.process import ERROR_FILE, LOG_FILE, call_file, own_group


def run_stage(name: str, arguments: Sequence[str], usage: str, body: Callable[..., None]) -> int:
    """Run `body` with the command's arguments, and return the exit code of the process.

    Args:
        name: The stage, for messages.
        arguments: What follows the module on the command line.
        usage: The arguments' names, separated by spaces; `body` takes as many.
        body: The step.
    """
    if log := call_file(LOG_FILE):
        _redirect_output(log)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        own_group()
        if len(arguments) != len(usage.split()):
            raise BadInputError(f"usage: python -m components.{name} {usage} (found {len(arguments)} arguments)")
        body(*arguments)
    except TowpathError as error:
        return _report(name, error)
    except KeyboardInterrupt:
        return _report(name, StageCancelledError(f"stage {name} was interrupted; run again to resume"))
    except MemoryError:
        traceback.print_exc()
        return _report(name, StageFailedError(f"stage {name} ran out of memory"))
    except Exception as error:
        traceback.print_exc()
        words = " ".join(str(error).split())[:300]
        return _report(name, StageFailedError(f"stage {name} failed with {type(error).__name__}: {words}"))
    return 0


def _redirect_output(log: Path) -> None:
    """Send all output of this process and its children to `log`, that of native libraries included."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _report(name: str, error: TowpathError) -> int:
    print(f"{name}: {error}", file=sys.stderr, flush=True)
    if path := call_file(ERROR_FILE):
        write_json(path, error_to_json(error))
    return error.exit_code
