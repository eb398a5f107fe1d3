"""The demo as a user runs it: its story comes out as it must, its picture is written, the project is not touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_the_demo_tells_its_whole_story(project: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.demo"],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "NOT AS IT MUST BE" not in said
    for words in ("wrong labels", "slow", "crashing", "going back"):
        assert words in said
    picture = project.root / "reports" / "demo-release.svg"
    assert picture.stat().st_size > 10_000
    changed = {Path(line[3:]).parts[0] for line in project.git("status", "--porcelain").splitlines()}
    assert changed == set()
    assert not (project.root / ".towpath" / "ledger.db").exists()
