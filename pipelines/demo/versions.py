"""Two good versions of a model, made by the pipeline itself in the copy: the champion, and one that may replace it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from components.errors import FaultError
from pipelines.demo.project_copy import commit_all

MODEL = "breast_cancer"
_TRAINING = "breast_cancer-sklearn"
_CONFIG = Path("pipelines/configs/breast_cancer.yaml")
_BEFORE, _AFTER = "architecture: linear}", "architecture: linear, weight_decay: 0.003}"
PLANS = Path("pipelines/configs/plans")
STAGING_PLAN = "demo-staging"
_STAGING_PLAN = """\
plan:
  entry: {requests: 100, sandbox_requests: 100, latency_p95_ms: 200, load_requests_per_s: 20, load_s: 1}
  shadow: null
  canary: []
  bake: {seconds: 1}
  approvals: {stable: 0}
"""


def prepare_copy(root: Path) -> None:
    """Add the plan by which the demo passes through staging, and commit it."""
    (root / PLANS / f"{STAGING_PLAN}.yaml").write_text(_STAGING_PLAN)
    commit_all(root, "a plan for the demo's staging")


def make_champion(root: Path) -> int:
    """Run the pipeline as it stands, and return the version that it registers."""
    return _run(root)


def make_challenger(root: Path) -> int:
    """Train with more regularisation, and return the version that the pipeline registers."""
    config = root / _CONFIG
    text = config.read_text()
    if _BEFORE not in text:
        raise FaultError(f"{_CONFIG} has no training with `{_BEFORE}`, which the demo changes")
    config.write_text(text.replace(_BEFORE, _AFTER, 1))
    commit_all(root, "more regularisation")
    return _run(root)


def _run(root: Path) -> int:
    command = [sys.executable, "-m", "pipelines.cli", "run", MODEL, "--only", _TRAINING, "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FaultError(f"`towpath run {MODEL}` ended with code {done.returncode}: {done.stderr[-800:]}")
    version: int = json.loads(done.stdout)["version"]
    return version
