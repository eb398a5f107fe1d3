"""The stage ``ingest``: ``python -m components.data MODEL``."""

from __future__ import annotations

import sys

from components.data.config import DataSection
from components.stage.config import config_path, read_section
from components.stage.main import run_stage


def _body(model: str) -> None:
    section = read_section(config_path(model), f"models.{model}.data", DataSection)
    from components.data.ingest import ingest

    manifest = ingest(model, section)
    left_out = f" ({manifest.unlabelled_rows} without a label left out)" if manifest.unlabelled_rows else ""
    print(f"data: {manifest.rows} rows{left_out}, {len(manifest.columns)} columns, digest {manifest.digest[:12]}")


if __name__ == "__main__":
    raise SystemExit(run_stage("data", sys.argv[1:], "MODEL", _body))
