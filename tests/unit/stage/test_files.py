import os
from pathlib import Path

import pytest

from components.errors import DigestMismatchError
from components.stage.files import file_digest, require_digest, tree_digest, whole_directory, write_json, write_text


def test_a_tree_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_text("1")
    first = tree_digest(tmp_path)
    (tmp_path / "a/one").rename(tmp_path / "a/two")
    second = tree_digest(tmp_path)
    (tmp_path / "a/two").write_text("2")
    assert len({first, second, tree_digest(tmp_path)}) == 3


def test_a_tree_with_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(DigestMismatchError, match="not a plain file"):
        tree_digest(tmp_path)


def test_changed_and_missing_bytes_are_refused_at_the_point_of_use(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"abc")
    digest = file_digest(path)
    require_digest(path, digest)
    path.write_bytes(b"abd")
    with pytest.raises(DigestMismatchError, match="was promised"):
        require_digest(path, digest)
    path.unlink()
    with pytest.raises(DigestMismatchError, match="is missing"):
        require_digest(path, digest)


def test_a_failed_write_leaves_the_old_text_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with whole_directory(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), whole_directory(target) as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
