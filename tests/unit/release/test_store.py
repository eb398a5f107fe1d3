"""The store of products: whole or nothing, never changed, checked whenever it hands something out."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from components.errors import DigestMismatchError, InfrastructureError, UnknownNameError
from components.release.store import Store
from components.stage.files import tree_digest


@pytest.fixture
def product(tmp_path: Path) -> Path:
    folder = tmp_path / "product"
    (folder / "part").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(os.urandom(200_000))
    (folder / "part" / "signature.json").write_text("{}")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_was_put_is_found_by_its_digest(store: Store, product: Path) -> None:
    digest = store.put(product)
    assert digest == tree_digest(product)
    assert digest in store
    assert store.path(digest) == store.root / digest
    assert [path.name for path in store.root.iterdir()] == [digest]


def test_files_are_read_only(store: Store, product: Path) -> None:
    stored = store.path(store.put(product))
    files = [path for path in stored.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.stat().st_mode & 0o222 == 0 for path in files)


def test_putting_again_changes_nothing(store: Store, product: Path) -> None:
    inode = store.path(store.put(product)).stat().st_ino
    assert store.path(store.put(product)).stat().st_ino == inode


def test_what_was_damaged_is_never_handed_out_and_is_mended_by_putting_again(store: Store, product: Path) -> None:
    digest = store.put(product)
    damage(store.root / digest)
    with pytest.raises(DigestMismatchError):
        store.path(digest)
    store.put(product)
    assert tree_digest(store.path(digest)) == digest


@pytest.mark.parametrize("name", ["0" * 64, "../outside", "", "ABC", "0" * 63 + "g"])
def test_a_name_that_is_not_there_or_no_digest_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UnknownNameError):
        store.path(name)


def test_links_are_refused_and_leave_nothing(store: Store, product: Path) -> None:
    (product / "link").symlink_to("/etc/passwd")
    with pytest.raises(DigestMismatchError, match="plain file"):
        store.put(product)
    assert list(store.root.iterdir()) == []


def test_a_folder_that_is_not_there_is_said_to_be_missing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be put into the store"):
        store.put(tmp_path / "nothing")
    assert list(store.root.iterdir()) == []


def test_many_may_put_the_same_at_once(store: Store, product: Path) -> None:
    context = get_context("fork")
    barrier = context.Barrier(6)
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                barrier.wait()
                code = 0 if store.put(product) == tree_digest(product) else 2
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert [path.name for path in store.root.iterdir()] == [tree_digest(product)]
    assert store.path(tree_digest(product)).is_dir()


def test_what_killed_writers_left_long_ago_is_swept_and_what_others_are_writing_now_is_not(
    store: Store, product: Path
) -> None:
    store.root.mkdir()
    left, fresh = store.root / ".put-left", store.root / ".put-fresh"
    for unfinished in (left, fresh):
        (unfinished / "copy").mkdir(parents=True)
        (unfinished / "copy" / "model.onnx").write_bytes(b"half")
        (unfinished / "copy" / "model.onnx").chmod(0o444)
    os.utime(left, (time.time() - 7 * 3600,) * 2)
    digest = store.put(product)
    assert sorted(path.name for path in store.root.iterdir()) == [fresh.name, digest]


def test_a_killed_writers_copy_keeps_the_time_at_which_it_was_begun(store: Store, product: Path) -> None:
    old = time.time() - 7 * 3600
    for path in [*product.rglob("*"), product]:
        os.utime(path, (old, old))
    child = os.fork()
    if child == 0:
        put_and_die(store, product, 20)
    os.waitpid(child, 0)
    (unfinished,) = store.root.iterdir()
    assert (unfinished / "copy").is_dir()
    assert time.time() - unfinished.stat().st_mtime < 3600
    store.put(product)
    assert unfinished.is_dir(), "its writer might still be at it"


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


def test_a_product_is_copied_from_one_store_to_another_once(store: Store, other: Store, product: Path) -> None:
    digest = other.put(product)
    here = store.copy_from(other, digest)
    assert here == store.path(digest)
    inode = here.stat().st_ino
    shutil.rmtree(other.root)
    assert store.copy_from(other, digest).stat().st_ino == inode, "what is here is not fetched again"


def test_what_is_damaged_here_is_fetched_again(store: Store, other: Store, product: Path) -> None:
    digest = other.put(product)
    damage(store.copy_from(other, digest))
    assert tree_digest(store.copy_from(other, digest)) == digest


def test_damaged_bytes_are_not_copied(store: Store, other: Store, product: Path) -> None:
    digest = other.put(product)
    damage(other.path(digest))
    with pytest.raises(DigestMismatchError):
        store.copy_from(other, digest)
    assert digest not in store
    assert not store.root.exists()


def test_bytes_that_change_while_they_are_copied_are_seen_by_nobody(store: Store, other: Store, product: Path) -> None:
    class Changing(Store):
        def path(self, digest: str) -> Path:
            checked = super().path(digest)
            damage(checked)
            return checked

    digest = other.put(product)
    with pytest.raises(DigestMismatchError, match="was promised; it changed while it was copied"):
        store.copy_from(Changing(other.root), digest)
    assert list(store.root.iterdir()) == []


def test_a_product_that_the_other_store_has_not_is_named(store: Store, other: Store) -> None:
    with pytest.raises(UnknownNameError, match="has no product 000000000000"):
        store.copy_from(other, "0" * 64)


def damage(stored: Path) -> None:
    graph = stored / "model.onnx"
    graph.chmod(0o644)
    content = graph.read_bytes()
    graph.write_bytes(bytes([content[0] ^ 0xFF]) + content[1:])
    graph.chmod(0o444)


def test_a_writer_killed_before_any_of_its_file_operations_leaves_all_or_nothing(store: Store, product: Path) -> None:
    digest, operations = tree_digest(product), 0
    while (child := os.fork()) or put_and_die(store, product, operations):
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if digest in store:
            assert tree_digest(store.path(digest)) == digest, f"torn before operation {operations}"
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if digest in store:
            shutil.rmtree(store.root / digest)
        operations += 1
    assert operations > 10, "the writer was killed in fewer places than it has"
    assert store.put(product) == digest


def put_and_die(store: Store, product: Path, operation: int) -> bool:
    """Put a product, killed before the given one of its file operations, as Python's own audit events tell them."""
    left = iter(range(operation, -1, -1))

    def die(event: str, _arguments: object) -> None:
        if event in {"open", "os.mkdir", "os.rename", "os.chmod", "os.rmdir", "os.remove"} and next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    store.put(product)
    os._exit(0)
