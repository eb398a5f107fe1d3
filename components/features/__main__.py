"""The prepare stage: ``python -m components.features MODEL``."""

import sys

from components.stage.main import run_stage


def _body(model: str) -> None:
    from components.features.prepare import prepare

    for note in prepare(model).notes:
        print(note, flush=True)


if __name__ == "__main__":
    raise SystemExit(run_stage("features", sys.argv[1:], "MODEL", _body))
