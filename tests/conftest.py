"""Servers that tests of more than one folder use; each is started by the first test that asks for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that gives a port on 127.0.0.1 that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture(scope="session")
def postgresql_port(free_port: Callable[[], int]) -> Iterator[int]:
    """Run a PostgreSQL server with a superuser ``towpath`` and no password."""
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on the path")
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="towpath-pg-"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("running as root, and there is no runuser to start PostgreSQL as somebody else")
        as_user = ["runuser", "-u", "nobody", "--"]
        shutil.chown(folder, "nobody")
    port, data = free_port(), folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            [*as_user, *command], check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    try:
        run("initdb", "-D", str(data), "-U", "towpath", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield port
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_port: int) -> str:
    """Return the URL of a fresh, empty database."""
    psycopg2 = pytest.importorskip("psycopg2")
    name = f"test_{uuid4().hex}"
    connection = psycopg2.connect(host="127.0.0.1", port=postgresql_port, user="towpath", dbname="postgres")
    try:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
    finally:
        connection.close()
    return f"postgresql://towpath@127.0.0.1:{postgresql_port}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a ledger that does not exist yet, in each database that can hold one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
