"""A folder that was carried in pieces is the same folder, or it is not there."""

import os
import random

import pytest

from components.cluster import folders
from components.cluster.folders import Arrival, Chunk, chunks, subset_digest, write_chunk
from components.errors import DigestMismatchError
from components.stage.files import tree_digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CHUNK_BYTES", 100)
    made = tmp_path / "from"
    (made / "deep/empty").mkdir(parents=True)
    (made / "deep/large").write_bytes(os.urandom(1234))
    (made / "exact").write_bytes(os.urandom(200))
    (made / "nothing").touch()
    (made / "test.parquet").write_bytes(b"never seen")
    return made


def test_pieces_in_any_order_make_the_same_folder(folder, tmp_path):
    pieces = list(chunks(folder))
    assert max(len(piece.data) for piece in pieces) == 100
    random.Random(1).shuffle(pieces)
    arrival = Arrival(tmp_path / "to")
    for piece in pieces:
        arrival.write(piece)

    assert not (tmp_path / "to").exists()
    arrival.finish(tree_digest(folder))
    assert tree_digest(tmp_path / "to") == tree_digest(folder)
    assert (tmp_path / "to/deep/empty").is_dir()


def test_part_of_a_folder_has_the_digest_of_what_arrives(folder, tmp_path):
    def wanted(name):
        return not name.startswith("test.")

    arrival = Arrival(tmp_path / "to")
    for piece in chunks(folder, wanted):
        arrival.write(piece)
    arrival.finish(subset_digest(folder, wanted))
    assert not (tmp_path / "to/test.parquet").exists()
    assert subset_digest(folder, lambda _: True) == tree_digest(folder)


def test_other_bytes_than_were_sent_never_appear(folder, tmp_path):
    arrival = Arrival(tmp_path / "to")
    for piece in list(chunks(folder))[:-1]:
        arrival.write(piece)
    with pytest.raises(DigestMismatchError, match="arrived with digest"):
        arrival.finish(tree_digest(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


def test_whoever_comes_second_changes_nothing(folder, tmp_path):
    for _ in range(2):
        arrival = Arrival(tmp_path / "to")
        for piece in chunks(folder):
            arrival.write(piece)
        arrival.finish(tree_digest(folder))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["from", "to"]


@pytest.mark.parametrize("path", ["../beside", "/etc/hosts.new", "a/../../beside", "../beside/"])
def test_piece_cannot_leave_its_folder(path, tmp_path):
    (tmp_path / "to").mkdir()
    with pytest.raises(DigestMismatchError, match="leads out"):
        write_chunk(tmp_path / "to", Chunk(path, 0, b"x"))
    assert [each.name for each in tmp_path.rglob("*")] == ["to"]


def test_link_is_not_carried(folder):
    (folder / "link").symlink_to("exact")
    with pytest.raises(DigestMismatchError, match="plain files only"):
        list(chunks(folder))
