"""Repositories that servers poll: whole, fenced, the same when repeated, and never with damaged bytes."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from components.errors import (
    BadInputError,
    ConflictError,
    DigestMismatchError,
    FaultError,
    InfrastructureError,
    StaleRevisionError,
)
from components.release.publishers import fence as fence_module
from components.release.publishers.whole_folders import appear, copy_checked
from tests.publications import KINDS, Kind, served, tree

pytestmark = pytest.mark.slow


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    return KINDS[request.param](tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_the_stable_version_and_the_canary_are_served_by_their_labels(kind: Kind, root: Path) -> None:
    repository = kind.open(root)
    repository.publish(kind.publication(3, stable=1, canary=2, shadow=3, previous=3, weight=5))
    assert served(root) == {"taxi": {"stable": 1, "canary": 2}}
    assert repository.published("taxi") == 3


def test_publishing_the_same_again_touches_nothing(kind: Kind, root: Path) -> None:
    publication = kind.publication(3, stable=1, canary=2, weight=5)
    kind.open(root).publish(publication)
    before = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
    kind.open(root).publish(publication)
    assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")] if path in before} == before | {
        root: root.stat().st_mtime_ns
    }


def test_a_new_revision_with_the_same_versions_touches_no_model(kind: Kind, root: Path) -> None:
    kind.open(root).publish(kind.publication(3, stable=1, canary=2, weight=5))
    before = {path: path.stat().st_mtime_ns for path in root.glob("[!.]*/**/*")}
    kind.open(root).publish(kind.publication(4, stable=1, canary=2, weight=25))
    assert {path: path.stat().st_mtime_ns for path in root.glob("[!.]*/**/*")} == before


def test_a_release_goes_through_and_leaves_nothing_behind(kind: Kind, root: Path, tmp_path: Path) -> None:
    repository = kind.open(root)
    for rev, named in enumerate(
        [{"stable": 1}, {"stable": 1, "canary": 2}, {"stable": 2, "previous": 1}, {"stable": 1}, {"stable": 3}], 1
    ):
        repository.publish(kind.publication(rev, **named))
        labels = {role: version for role, version in named.items() if role != "previous"}
        assert served(root) == {"taxi": labels}
    fresh = kind.open(tmp_path / "fresh")
    fresh.publish(kind.publication(5, stable=3))
    assert set(tree(root)) == set(tree(tmp_path / "fresh"))


def test_models_stand_beside_each_other(kind: Kind, root: Path) -> None:
    kind.open(root).publish(kind.publication(9, stable=1, canary=2, weight=5))
    kind.open(root).publish(kind.publication(1, model="adult", stable=3))
    assert served(root) == {"taxi": {"stable": 1, "canary": 2}, "adult": {"stable": 3}}
    kind.open(root).publish(kind.publication(10, stable=1))
    assert served(root) == {"taxi": {"stable": 1}, "adult": {"stable": 3}}


def test_a_model_that_lost_its_stable_version_is_not_served(kind: Kind, root: Path) -> None:
    kind.open(root).publish(kind.publication(1, stable=1))
    kind.open(root).publish(kind.publication(2))
    assert served(root) == {}
    assert kind.open(root).published("taxi") == 2


def test_a_late_revision_and_another_split_at_the_same_one_are_refused(kind: Kind, root: Path) -> None:
    kind.open(root).publish(kind.publication(5, stable=1))
    before = tree(root)
    for late in (kind.publication(4, stable=2), kind.publication(5, stable=2)):
        with pytest.raises(StaleRevisionError, match="taxi is published in .* at revision 5"):
            kind.open(root).publish(late)
    assert tree(root) == before


def test_a_version_that_was_not_placed_is_a_conflict_before_anything_is_written(kind: Kind, root: Path) -> None:
    publication = replace(kind.publication(1, stable=1), placed={})
    with pytest.raises(ConflictError, match="version 1 of taxi was not placed"):
        kind.open(root).publish(publication)
    another = replace(kind.publication(1, stable=1), placed={1: kind.placed[2]})
    with pytest.raises(ConflictError):
        kind.open(root).publish(another)
    with pytest.raises(BadInputError):
        kind.open(root).publish(kind.publication(1, model="../taxi", stable=1))
    assert not root.exists()


def test_bytes_that_were_flipped_in_the_store_are_never_published(kind: Kind, root: Path) -> None:
    kind.open(root).publish(kind.publication(1, stable=1))
    before = tree(root)
    for file in sorted(path for path in kind.placed[2].directory.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        for offset in {0, len(whole) // 2, len(whole) - 1}:
            flipped = bytearray(whole)
            flipped[offset] ^= 1
            file.write_bytes(flipped)
            with pytest.raises(DigestMismatchError):
                kind.open(root).publish(kind.publication(2, stable=2))
        file.write_bytes(whole[:-1])
        with pytest.raises(DigestMismatchError):
            kind.open(root).publish(kind.publication(2, stable=2))
        file.write_bytes(whole)
        assert tree(root) == before
    kind.open(root).publish(kind.publication(2, stable=2))
    assert served(root) == {"taxi": {"stable": 2}}


def test_bytes_that_change_while_they_are_copied_do_not_appear(root: Path, tmp_path: Path) -> None:
    (tmp_path / "product").mkdir()
    (tmp_path / "product" / "file").write_text("changed since")
    root.mkdir()
    with pytest.raises(DigestMismatchError):
        appear(root, root / "1", lambda new: copy_checked(tmp_path / "product", new, "a" * 64))
    assert list(root.iterdir()) == []


def test_smuggled_files_and_links_are_never_published(kind: Kind, root: Path, tmp_path: Path) -> None:
    extra = kind.placed[1].directory / "extra"
    extra.write_text("")
    with pytest.raises(DigestMismatchError):
        kind.open(root).publish(kind.publication(1, stable=1))
    extra.unlink()
    extra.symlink_to("/etc/passwd")
    with pytest.raises(DigestMismatchError, match="not a plain file"):
        kind.open(root).publish(kind.publication(1, stable=1))
    assert not root.exists()


def test_bytes_that_were_flipped_in_the_repository_are_put_right(kind: Kind, root: Path) -> None:
    publication = kind.publication(1, stable=1)
    kind.open(root).publish(publication)
    before = tree(root)
    for path in sorted((root / "taxi" / "1").rglob("*")):
        if path.is_file():
            path.write_bytes(b"damaged")
    kind.open(root).publish(publication)
    assert tree(root) == before


def test_whoever_runs_the_server_may_read_what_is_published(kind: Kind, root: Path) -> None:
    for path in kind.placed[1].directory.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)
    kind.open(root).publish(kind.publication(1, stable=1))
    for path in root.glob("taxi/**/*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_a_damaged_fence_is_named(kind: Kind, root: Path) -> None:
    kind.open(root).publish(kind.publication(1, stable=1))
    (root / ".taxi.towpath-rev").write_text("{")
    with pytest.raises(FaultError, match=r"\.taxi\.towpath-rev is not what a publisher wrote .* delete it"):
        kind.open(root).publish(kind.publication(2, stable=2))
    with pytest.raises(FaultError):
        kind.open(root).published("taxi")
    assert served(root) == {"taxi": {"stable": 1}}


def test_another_publisher_at_work_is_waited_for_and_given_up(
    kind: Kind, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.mkdir()
    monkeypatch.setattr(fence_module, "_LOCK_WAIT_S", 0.05)
    with FileLock(root / ".towpath.lock"), pytest.raises(InfrastructureError, match="another process has been"):
        kind.open(root).publish(kind.publication(1, stable=1))
    kind.open(root).publish(kind.publication(1, stable=1))


def test_a_root_that_cannot_be_written_is_an_infrastructure_error(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="cannot be written"):
        kind.open(tmp_path / "file" / "repository").publish(kind.publication(1, stable=1))


def test_of_concurrent_publishers_the_newest_revision_stays(kind: Kind, root: Path) -> None:
    problems: list[Exception] = []

    def publish(rev: int) -> None:
        try:
            kind.open(root).publish(kind.publication(rev, stable=1 + rev % 3))
        except StaleRevisionError:
            pass
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=publish, args=(rev,)) for rev in (3, 1, 6, 2, 5, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert served(root) == {"taxi": {"stable": 1}}
    assert kind.open(root).published("taxi") == 6
