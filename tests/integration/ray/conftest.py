"""A real Ray cluster of two nodes on loopback, and projects to train on it."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray's switch for systems with firewalls: a node's address stays 127.0.0.1, and it listens nowhere else."""


@dataclass
class TwoNodes:
    """The cluster, and what nodes are told."""

    address: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        return {**LOOPBACK, "RAY_ADDRESS": self.address}

    def tell(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline())["done"] == line

    def files(self, node: str) -> Path:
        """Return where our files lie on a node."""
        return next((self.folder / node).glob("towpath-*"))


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    import os

    folder = Path(tempfile.mkdtemp(prefix="towpath-ray-", dir="/tmp"))  # sockets' paths must be short
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("two_nodes.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **LOOPBACK},
        )
    try:
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        yield TwoNodes(json.loads(line)["address"], folder, process)
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def trainer_projects() -> ModuleType:
    """Return the module that makes small projects for the trainers' contract."""
    path = ROOT / "tests/contract/trainers/conftest.py"
    spec = importlib.util.spec_from_file_location("trainer_projects", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
