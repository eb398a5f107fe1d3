"""What a process writes to its streams, by Python or not, goes to the log, and no further."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
from pathlib import Path
from components.training.tfx.log import written_to
with written_to(Path(sys.argv[1])):
    print("from Python")
    os.write(2, b"from C++\\n")
    if sys.argv[2] == "fail":
        1 / 0
print("after")
"""


@pytest.fixture
def run(tmp_path):
    """Return the output of a process, and its log."""

    def start(how):
        log = tmp_path / "reports/t.log"
        done = subprocess.run([sys.executable, "-c", SCRIPT, str(log), how], capture_output=True, text=True)
        return done, log.read_text()

    return start


def test_everything_inside_the_block_is_in_the_log_alone(run):
    done, log = run("well")

    assert sorted(log.splitlines()) == ["from C++", "from Python"]
    assert (done.stdout, done.stderr) == ("after\n", "")


def test_error_that_leaves_the_block_leaves_its_trace_in_the_log(run):
    done, log = run("fail")

    assert "ZeroDivisionError: division by zero" in log
    assert "from C++" in log
    assert done.stderr.count("Traceback") == 1  # of the process itself, after the block
