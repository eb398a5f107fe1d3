"""Two good versions of a model, made by the pipeline itself in the copy: the champion, and one that may replace it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from components.errors import FaultError
from components.release.plan import PLANS_DIR
from pipelines.demo.project_copy import commit_all
from pipelines.release.environments import ENVIRONMENTS_DIR

MODEL = "breast_cancer"
_TRAINING = "breast_cancer-sklearn"
_CONFIG = Path("pipelines/configs/breast_cancer.yaml")
_BEFORE, _AFTER = "architecture: linear}", "architecture: linear, weight_decay: 0.003}"
STAGING_PLAN = "demo-staging"
_STAGING_PLAN = """\
plan:
  entry: {requests: 100, sandbox_requests: 100, latency_p95_ms: 200, load_requests_per_s: 20, load_s: 1}
  shadow: null
  canary: []
  bake: {seconds: 1}
  approvals: {stable: 0}
"""


_ENVIRONMENTS = {
    "local": "environment: {plan: laptop}\n",
    "staging": "environment: {after: local, plan: demo-staging}\n",
    "production": "environment: {after: staging, plan: demo, target: {workers: 2}}\n",
}
_DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    autostage = false
    remote = local
['remote "local"']
    url = ../.towpath/dvc-remote
    verify = true
"""


def prepare_copy(root: Path) -> None:
    """Cut the copy off from the world, whatever the project is configured to reach, and commit that.

    Its environments have no ledger, registry, publisher or actor of their own, and its data stays in its own folder.
    """
    for name, text in _ENVIRONMENTS.items():
        (root / ENVIRONMENTS_DIR / f"{name}.yaml").write_text(text)
    (root / PLANS_DIR / f"{STAGING_PLAN}.yaml").write_text(_STAGING_PLAN)
    (root / ".dvc" / "config").write_text(_DVC_CONFIG)
    commit_all(root, "a project that plays by itself")


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
