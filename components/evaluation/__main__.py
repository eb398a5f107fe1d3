"""``python -m components.evaluation MODEL TRAINING``: the evaluate stage as a process."""

from __future__ import annotations

import sys

from components.evaluation.record.stage import run
from components.stage.main import run_stage

if __name__ == "__main__":
    raise SystemExit(run_stage("evaluation", sys.argv[1:], "MODEL TRAINING", run))
