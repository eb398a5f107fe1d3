"""A model's run inside a checkout: ``python -m pipelines.schedules.inside REQUEST ANSWER``. Knows no schedule.

A process of its own, because the checkout's code runs in it and not that of whoever started it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from components.errors import TowpathError, error_to_json
from components.stage.files import write_json
from components.types import record
from pipelines.state import quiet


def main(request: Path, answer: Path) -> int:
    """Run what `request` asks for, write the outcome or the error to `answer`, and return the exit code."""
    quiet()
    from pipelines.console import LineView
    from pipelines.run import RunRequest, run_pipeline
    from pipelines.schedules.checkout import from_project

    try:
        outcome = run_pipeline(record.read(RunRequest, request), LineView())
    except TowpathError as error:
        write_json(answer, {"error": error_to_json(type(error)(from_project(str(error))))})
        return error.exit_code
    write_json(answer, {"outcome": outcome})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
