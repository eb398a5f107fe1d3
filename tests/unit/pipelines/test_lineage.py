import subprocess
from pathlib import Path

import pytest

from components.errors import BadInputError, FaultError
from pipelines.lineage import LOCK_FILES, code_lineage


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name in (*LOCK_FILES, "code.py", "dvc.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def test_a_clean_tree_has_a_commit_and_no_patch(checkout: Path) -> None:
    lineage = code_lineage(checkout)
    assert lineage.commit == git(checkout, "rev-parse", "HEAD").strip() == lineage.code_digest
    assert lineage.patch == b""


def test_a_new_lock_of_dvc_does_not_make_the_tree_dirty(checkout: Path) -> None:
    (checkout / "dvc.lock").write_text("new\n")
    assert code_lineage(checkout).patch == b""


def test_the_patch_rebuilds_changed_added_deleted_and_binary_files(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "config", "diff.noprefix", "true")
    git(checkout, "config", "color.diff", "always")
    (checkout / "code.py").write_bytes("changed, in latin-1: \xe4\n".encode("latin-1"))
    (checkout / "new file.py").write_text("new\n")
    (checkout / "bytes.bin").write_bytes(bytes(range(256)))
    (checkout / LOCK_FILES[0]).unlink()
    (checkout / LOCK_FILES[0]).write_text("other lock\n")
    lineage = code_lineage(checkout)
    assert lineage.code_digest.startswith(f"{lineage.commit}+")
    patch = tmp_path / "patch"
    patch.write_bytes(lineage.patch)
    git(tmp_path, "clone", "--quiet", str(checkout), "rebuilt")
    git(tmp_path / "rebuilt", "apply", str(patch))
    for name in ("code.py", "new file.py", "bytes.bin", LOCK_FILES[0]):
        assert (tmp_path / "rebuilt" / name).read_bytes() == (checkout / name).read_bytes()


def test_a_folder_without_a_commit_is_a_fault(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(FaultError, match="lineage needs a git checkout with a commit"):
        code_lineage(tmp_path)


def test_a_large_untracked_file_is_refused_rather_than_stored(checkout: Path) -> None:
    (checkout / "trips.csv").write_bytes(bytes(6_000_000))
    with pytest.raises(BadInputError, match=r"trips.csv is not tracked .* name it in .gitignore"):
        code_lineage(checkout)
