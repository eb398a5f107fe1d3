"""Run the validate stage: ``python -m components.validation MODEL``."""

import sys

from components.stage.main import run_stage
from components.validation.stage import validate

if __name__ == "__main__":
    raise SystemExit(run_stage("validation", sys.argv[1:], "MODEL", validate))
