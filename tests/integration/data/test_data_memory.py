"""Ingest streams: its memory does not grow with the number of rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data_project import DataProject
from tests.tables import write_wide

ROOT = Path(__file__).resolve().parents[3]
ROWS = 2_000_000
CODE = """
import sys
from pathlib import Path
from tests.data_project import DataProject
project = DataProject(Path(sys.argv[1]))
project.files(sys.argv[2], label="label")
assert project.run().rows == int(sys.argv[3])
# not ru_maxrss, which begins at the caller's own peak
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


def _peak_mb(project: DataProject, name: str, rows: int) -> int:
    write_wide(project.root / name, rows)
    command = [sys.executable, "-c", CODE, str(project.root), name, str(rows)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (project.root / name).unlink()
    return int(done.stdout)


NO_PROC = not Path("/proc/self/status").is_file()


@pytest.mark.slow
@pytest.mark.skipif(NO_PROC, reason="peak memory is read from /proc, which is Linux's")
@pytest.mark.parametrize("name", ["wide.parquet", "wide.csv"])
def test_four_times_the_rows_take_hardly_more_memory(project: DataProject, name: str) -> None:
    quarter, whole = _peak_mb(project, name, ROWS // 4), _peak_mb(project, name, ROWS)
    assert whole < quarter + 150, f"{quarter} MB for {ROWS // 4} rows, {whole} MB for {ROWS}"
    assert whole < 1_000
