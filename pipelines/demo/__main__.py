"""The demo as a program: ``python -m pipelines.demo`` plays in a copy of the project and leaves one picture behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from components.errors import TowpathError
from pipelines.demo.project_copy import own_environment, project_copy

PICTURE = Path("reports/demo-release.svg")


def play(root: Path = Path()) -> int:
    """Play the demo, and return its exit code: 0 when all went as it must, 4 when something was not as expected.

    Raises:
        BadInputError: the project is no git repository.
    """
    picture = (root / PICTURE).resolve()
    with project_copy(root) as copy:
        command = [sys.executable, "-m", "pipelines.demo.story", str(picture)]
        return subprocess.run(command, cwd=copy, env=own_environment(TOWPATH_ACTOR="ada"), check=False).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the copy and its servers go in any case
    try:
        raise SystemExit(play())
    except TowpathError as error:
        sys.stderr.write(f"towpath: {error}\n")
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
