"""What counts as a whole backup."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from components.errors import BadInputError
from components.stage.files import file_digest, write_json
from pipelines.cli import backup as commands
from pipelines.services import backup as service
from pipelines.services.backup import MANIFEST, Manifest, _sealed, read_backup


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    (tmp_path / "ledger.dump").write_bytes(b"rows")
    files = {"ledger.dump": file_digest(tmp_path / "ledger.dump")}
    write_json(tmp_path / MANIFEST, _sealed(Manifest(1, "2026-11-21T00:00:00", (), files, {"bucket": {}})))
    return tmp_path


def test_a_whole_backup_is_read(backup: Path) -> None:
    assert set(read_backup(backup).files) == {"ledger.dump"}


@pytest.mark.parametrize(
    ("wreck", "words"),
    [
        (lambda folder: (folder / "ledger.dump").write_bytes(b"others"), "not the file that was written"),
        (lambda folder: (folder / "ledger.dump").unlink(), "missing"),
        (
            lambda folder: (folder / "more.dump").write_bytes(b""),
            "a file `more.dump` that its manifest.json does not list",
        ),
        (lambda folder: (folder / MANIFEST).unlink(), "is not a backup: there is no manifest.json"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "is not a backup"),
    ],
)
def test_a_backup_that_is_not_whole_is_refused(backup: Path, wreck, words: str) -> None:
    wreck(backup)
    with pytest.raises(BadInputError, match=words):
        read_backup(backup)


def test_a_manifest_that_was_changed_is_refused(backup: Path) -> None:
    manifest = json.loads((backup / MANIFEST).read_text())
    (backup / "ledger.dump").write_bytes(b"others")
    manifest["files"]["ledger.dump"] = file_digest(backup / "ledger.dump")
    (backup / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match="not as it was written"):
        read_backup(backup)


def test_a_backup_of_another_format_is_refused(backup: Path) -> None:
    write_json(backup / MANIFEST, _sealed(replace(read_backup(backup), format=2)))
    with pytest.raises(BadInputError, match="not as it was written"):
        read_backup(backup)


def restored(*arguments: str):
    """Run the command `restore` and return what came of it."""
    app = typer.Typer()
    commands.add_commands(app)
    return CliRunner().invoke(app, ["restore", *arguments])


def test_a_folder_that_is_no_backup_is_refused_before_anything_is_announced(tmp_path: Path) -> None:
    done = restored(str(tmp_path / "nowhere"))
    assert isinstance(done.exception, BadInputError)
    assert "Errno" not in str(done.exception)
    assert done.output == ""


def test_after_a_restore_the_gateways_are_to_be_compared(backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "restore", lambda folder, *_, **__: read_backup(folder))
    assert "next: `towpath reconcile --dry-run`" in restored(str(backup)).output
    assert "reconcile" not in restored(str(backup), "--dry-run").output
