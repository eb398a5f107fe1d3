"""``python -m components.training MODEL TRAINING``: the train stage."""

import sys

from components.stage.main import run_stage

if __name__ == "__main__":
    from components.training.core.stage import train

    raise SystemExit(run_stage("training", sys.argv[1:], "MODEL TRAINING", train))
