"""What a node keeps is what was sent, for as long as it is kept."""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from components.cluster.folders import chunks
from components.cluster.node import UNUSED_S, Node
from components.stage.files import tree_digest


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"towpath-{os.getuid()}"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "from"
    (made / "deep").mkdir(parents=True)
    (made / "deep/train.parquet").write_bytes(b"one")
    (made / "schema.json").write_bytes(b"two")
    return made


def send(node, folder):
    for chunk in chunks(folder):
        node.receive("prepared", tree_digest(folder), chunk)
    node.finish("prepared", tree_digest(folder))
    return tree_digest(folder)


def cut(kept):
    (kept / "schema.json").unlink()


def alter(kept):
    (kept / "deep/train.parquet").write_bytes(b"owe")


def swap(kept):
    (kept / "schema.json").unlink()
    (kept / "schema.json").symlink_to("/etc/hostname")


def test_folder_that_was_sent_is_there_for_all(base, folder):
    digest = send(Node(), folder)
    assert Node().has("prepared", digest)
    assert not Node().has("prepared", "0" * 64)


@pytest.mark.parametrize("damage", [cut, alter, swap])
def test_damaged_folder_is_not_there_and_can_be_sent_again(base, folder, damage):
    node = Node()
    digest = send(node, folder)
    damage(base / "prepared" / digest)

    assert not node.has("prepared", digest)
    assert list((base / "prepared").iterdir()) == []

    send(node, folder)
    assert node.has("prepared", digest)


def test_damage_that_several_find_at_once_is_mended_by_all(base, folder):
    digest = send(Node(), folder)
    alter(base / "prepared" / digest)
    failed = []

    def mend():
        try:
            node = Node()
            if not node.has("prepared", digest):
                send(node, folder)
        except Exception as error:  # whatever it is: a thread's error is seen nowhere else
            failed.append(error)

    threads = [threading.Thread(target=mend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [path.name for path in (base / "prepared").iterdir()] == [digest]
    assert Node().has("prepared", digest)


def test_what_nobody_used_for_long_is_forgotten_whoever_else_forgets_it(base, folder, monkeypatch):
    digest = send(Node(), folder)
    other = base / "prepared" / ("0" * 64)
    other.mkdir()
    old = time.time() - UNUSED_S - 60
    for path in (other, base / "prepared" / digest):
        os.utime(path, (old, old))
    glob = Path.glob

    def found_by_another_as_well(self, pattern):
        found = list(glob(self, pattern))
        shutil.rmtree(other, ignore_errors=True)
        return found

    monkeypatch.setattr(Path, "glob", found_by_another_as_well)
    Node()
    assert list((base / "prepared").iterdir()) == []
