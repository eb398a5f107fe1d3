"""One sentence for a component that died, which names it, the user's own line, and the log. Knows no TFX."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from components.errors import TrainingError

_LONGEST = 300


def component_failure(error: Exception, component: str, training: str, user_file: Path, log: Path) -> TrainingError:
    """Return the error for whatever a component raised.

    Args:
        error: What it raised.
        component: Its name in the pipeline.
        training: Whose pipeline.
        user_file: The architecture, relative to the project: a line of it is named if the error came from there.
        log: Where everything stands.
    """
    line = _user_line(error, user_file)
    where = f" in {user_file}, line {line}" if line else ""
    return TrainingError(
        f"training {training}: component {component} failed{where}: {type(error).__name__}: {_words(error)}; "
        f"the whole log is {log}"
    )


def _user_line(error: BaseException | None, user_file: Path) -> int | None:
    """Return the innermost line of the user's file: from the frames, or from the words of a traced function."""
    while error is not None:
        frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.endswith(str(user_file))]
        if frames:
            return frames[-1].lineno
        if found := re.findall(rf'File "[^"]*{re.escape(str(user_file))}", line (\d+)', str(error)):
            return int(found[-1])
        error = error.__cause__ or error.__context__
    return None


def _words(error: Exception) -> str:
    """Return what the error says; of a traced function's report, its last line alone."""
    text = str(error).strip()
    if text.startswith("in user code:"):
        text = re.sub(r"^\w+(Error|Exception): ", "", text.splitlines()[-1].strip())
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else words[:_LONGEST] + " …"
