"""The stack's PostgreSQL: found, made, started, stopped, and each database dumped and restored. Knows no table."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import urlsplit

from components.errors import InfrastructureError
from pipelines.services.process import HOST, Launch, Service, group_of
from pipelines.services.stack_state import DATABASES, OWNER, STACK, StackSettings, write_private

POSTGRESQL = "stack-postgresql"
_DEBIAN = Path("/usr/lib/postgresql")
_PROGRAMS = ("initdb", "postgres", "pg_dump", "pg_restore")
_NOBODY = "nobody"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, on the path or where Debian keeps them; None where there is none."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(_DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return next((each for each in folders if all((each / name).is_file() for name in _PROGRAMS)), None)


def make_folder(root: Path) -> Path:
    """Return an empty folder for PostgreSQL's data, which its user can reach.

    As root that user is another one, because PostgreSQL refuses to run as root; where they could not pass through the
    folders above the project, the folder stands among the temporary ones.
    """
    folder = (root / STACK / "postgresql").resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    user = _user()
    if user and not all(above.stat().st_mode & 0o001 for above in folder.parents):
        folder = Path(mkdtemp(prefix="towpath-stack-"))
    folder.mkdir(mode=0o700, exist_ok=True)
    if user:
        shutil.chown(folder, user, group_of(user))
    return folder


def initialise(settings: StackSettings) -> None:
    """Make an empty database cluster whose only way in is a password on loopback, unless it is there.

    Raises:
        InfrastructureError: initdb failed.
    """
    folder, user = Path(settings.database_folder), _user()
    if (folder / "data").exists():
        return
    secret = folder / "password"
    write_private(secret, settings.passwords[OWNER])
    if user:
        shutil.chown(secret, user)
    try:
        access = ("-U", OWNER, "-A", "scram-sha-256", "--pwfile", str(secret))
        _run("initdb", "-D", str(folder / "data"), *access, "-E", "UTF8", "--locale=C", user=user, cwd=folder)
    finally:
        secret.unlink()


def postgresql_launch(settings: StackSettings) -> Launch:
    """Return how PostgreSQL starts: on loopback only, without a socket in the file system."""
    command = (
        *(str(_program("postgres")), "-D", f"{settings.database_folder}/data", "-p", "{port}"),
        *("-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="),
    )

    def is_ready(port: int) -> bool:
        return _answers(settings, port)

    return Launch(
        POSTGRESQL, command, 5432, "", "", {}, is_bare=True, scheme="postgresql", is_ready=is_ready, user=_user()
    )


def is_healthy(settings: StackSettings, service: Service) -> bool:
    """Return whether PostgreSQL lets us in."""
    return _answers(settings, _port(service))


def stop_postgresql(service: Service) -> None:
    """Ask PostgreSQL to end without waiting for clients, as its own ``pg_ctl stop`` does."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(service.pid)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(20)


def database_url(settings: StackSettings, service: Service, name: str, driver: str = "postgresql") -> str:
    """Return a database's URL for its owner; it holds a password."""
    return f"{driver}://{name}:{settings.passwords[name]}@{HOST}:{urlsplit(service.url).port}/{name}"


def make_databases(settings: StackSettings, service: Service) -> bool:
    """Make each database and its owner, unless they are there; return whether any was made."""
    from psycopg2 import sql  # type: ignore[import-untyped]

    made = False
    with _connection(settings, _port(service)) as connection, connection.cursor() as cursor:
        for name in DATABASES:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
            if cursor.fetchone():
                continue
            role = sql.Identifier(name)
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(role), (settings.passwords[name],))
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
            made = True
    return made


def dump_database(settings: StackSettings, service: Service, name: str, target: Path) -> None:
    """Write a database to a file, in PostgreSQL's own archive format.

    Raises:
        InfrastructureError: pg_dump failed.
    """
    _run(
        *("pg_dump", "--format", "custom", "--no-owner", "--file", str(target)),
        *("--host", HOST, "--port", str(_port(service)), "--username", OWNER, name),
        password=settings.passwords[OWNER],
    )


def restore_database(settings: StackSettings, service: Service, name: str, source: Path) -> None:
    """Put a database that `dump_database` wrote in the place of the one that is there; connections to it end.

    Raises:
        InfrastructureError: pg_restore failed; the database is empty then.
    """
    from psycopg2 import sql

    with _connection(settings, _port(service)) as connection, connection.cursor() as cursor:
        role = sql.Identifier(name)
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(role))
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
    _run(
        *("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--role", name),
        *("--host", HOST, "--port", str(_port(service)), "--username", OWNER, "--dbname", name, str(source)),
        password=settings.passwords[OWNER],
    )


@contextlib.contextmanager
def _connection(settings: StackSettings, port: int) -> Iterator[Any]:
    """Give the superuser's connection, on which every statement is a transaction of its own."""
    import psycopg2

    connection = psycopg2.connect(
        host=HOST, port=port, user=OWNER, password=settings.passwords[OWNER], dbname="postgres", connect_timeout=2
    )
    try:
        connection.autocommit = True
        yield connection
    finally:
        connection.close()


def _answers(settings: StackSettings, port: int) -> bool:
    import psycopg2

    with contextlib.suppress(psycopg2.OperationalError), _connection(settings, port):
        return True
    return False


def _port(service: Service) -> int:
    return urlsplit(service.url).port or 0


def _user() -> str | None:
    return _NOBODY if os.geteuid() == 0 else None


def _program(name: str) -> Path:
    folder = programs()
    if folder is None:
        raise InfrastructureError("PostgreSQL's programs are gone; install PostgreSQL again")
    return folder / name


def _run(name: str, *arguments: str, user: str | None = None, cwd: Path | None = None, password: str = "") -> None:
    done = subprocess.run(
        [str(_program(name)), *arguments],
        cwd=cwd,
        env={**os.environ, **({"PGPASSWORD": password} if password else {})},
        user=user,
        group=group_of(user),
        extra_groups=[] if user else None,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InfrastructureError(f"PostgreSQL's {name} failed: {' '.join(done.stderr.split())[:300]}")
