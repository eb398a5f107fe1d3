"""Memory stays bounded by the columns of one batch, not by the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.stage.files import file_digest, write_json
from components.types.dataset import MANIFEST_FILE, TABLE_FILE, Column, ColumnType, DatasetManifest
from components.validation.propose import propose_suite

ROOT = Path(__file__).resolve().parents[3]
ROWS, NUMBERS, CHUNK = 4_000_000, 18, 500_000
MEASURE = """
from pathlib import Path
from components.validation.stage import validate
validate("wide", Path())
# not ru_maxrss, which begins at the caller's own peak
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


def _write(root: Path) -> None:
    folder = root / "data" / "wide" / "dataset"
    folder.mkdir(parents=True)
    rng, writer = np.random.default_rng(0), None
    for start in range(0, ROWS, CHUNK):
        label = rng.integers(0, 2, CHUNK)
        columns = {"row_id": pa.array([f"row-{number:010d}" for number in range(start, start + CHUNK)])}
        columns |= {f"x_{place}": pa.array(rng.normal(label if not place else 0, 1, CHUNK)) for place in range(NUMBERS)}
        table = pa.table({**columns, "label": pa.array(label)})
        writer = writer or pq.ParquetWriter(folder / TABLE_FILE, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    types = {"row_id": ColumnType.STRING, **{f"x_{place}": ColumnType.FLOAT64 for place in range(NUMBERS)}}
    types["label"] = ColumnType.INT64
    manifest = DatasetManifest(
        model="wide",
        digest=file_digest(folder / TABLE_FILE),
        rows=ROWS,
        columns=tuple(Column(name, type_, 0) for name, type_ in types.items()),
        id_column="row_id",
        label_column="label",
        label_inputs=(),
        source_digest="0" * 64,
    )
    write_json(folder / MANIFEST_FILE, manifest)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from /proc, which is Linux's")
@pytest.mark.parametrize("refused", [False, True] if os.environ.get("TOWPATH_FULL") == "1" else [True])
def test_a_table_of_four_million_rows_and_twenty_columns_takes_less_than_1500_mb(tmp_path: Path, refused: bool) -> None:
    _write(tmp_path)
    propose_suite("wide", tmp_path)
    if refused:
        suite = tmp_path / "data" / "wide" / "expectations.json"
        content = json.loads(suite.read_text())
        for each in content["expectations"]:
            if each["type"] == "expect_column_values_to_be_between":
                each["severity"] = "warning"
                each["kwargs"].update(min_value=100, max_value=200)
        suite.write_text(json.dumps(content))
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 1500
