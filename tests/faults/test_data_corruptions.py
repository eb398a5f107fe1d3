"""Data that was damaged in the workspace or in DVC's cache: whatever was done to it, nothing is trained on it.

Two stages as a project has them, run as a project runs them; the second one stands for a training, and uses every byte.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from components.errors import DigestMismatchError
from pipelines.stages import StageRunner, changed_stages

DAMAGES = 500 if os.environ.get("TOWPATH_FULL") == "1" else 20
STAGES = """
stages:
  prepare:
    cmd: rm -rf prepared && cp -r source prepared
    deps: [source]
    outs: [prepared]
  train:
    cmd: cat prepared/train.npy prepared/test.npy > product
    deps: [prepared]
    outs: [product]
"""
STAGE_NAMES = ("prepare", "train")
Damage = Callable[[Path, Random], None]


class Project:
    """A folder with two stages, both run and in DVC's cache."""

    def __init__(self, root: Path) -> None:
        from dvc.repo import Repo

        self.root = root
        Repo.init(str(root), no_scm=True).close()
        (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        (root / "dvc.yaml").write_text(STAGES)
        (root / "source").mkdir()
        for number, name in enumerate(["train.npy", "test.npy"]):
            (root / "source" / name).write_bytes(Random(number).randbytes(5_000))
        self.run()
        self.product, self.lock = self.read()

    def run(self) -> None:
        changed_stages(STAGE_NAMES, self.root)
        runner = StageRunner(self.root)
        for stage in STAGE_NAMES:
            runner.run(stage)

    def read(self) -> tuple[bytes, str]:
        return (self.root / "product").read_bytes(), (self.root / "dvc.lock").read_text()

    def prepared(self) -> bytes:
        return b"".join((self.root / "prepared" / name).read_bytes() for name in ("train.npy", "test.npy"))


def changed(file: Path, chance: Random, *, quietly: bool = False) -> None:
    """Flip a bit or cut the end off; quietly, as a disk does, it keeps its time and its size."""
    before = file.stat()
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    if quietly or chance.random() < 0.7:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    else:
        del content[chance.randrange(len(content)) :]
    file.write_bytes(content)
    if quietly:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    file.chmod(before.st_mode)


def workspace(root: Path, chance: Random) -> None:
    changed(chance.choice(sorted((root / "prepared").iterdir())), chance)


def workspace_quietly(root: Path, chance: Random) -> None:
    changed(chance.choice(sorted((root / "prepared").iterdir())), chance, quietly=True)


def cache(root: Path, chance: Random) -> None:
    changed(_cached(root, chance), chance)
    _check_out_anew(root)


def cache_quietly(root: Path, chance: Random) -> None:
    changed(_cached(root, chance), chance, quietly=True)
    _check_out_anew(root)


def cached_list(root: Path, chance: Random) -> None:
    """Damage what says which files a folder has: DVC trusts this checkout's run cache no more afterwards."""
    changed(_cached(root, chance, "*.dir"), chance, quietly=True)
    _check_out_anew(root)


def _cached(root: Path, chance: Random, pattern: str = "*[!r]") -> Path:
    files = root / ".dvc" / "cache" / "files"
    return chance.choice(sorted(path for path in files.rglob(pattern) if path.is_file()))


def _check_out_anew(root: Path) -> None:
    """Let everything come out of the cache, as in another checkout."""
    shutil.rmtree(root / "prepared")
    (root / "product").unlink()


KINDS: tuple[Damage, ...] = (workspace, workspace_quietly, cache, cache_quietly, cached_list)


def test_nothing_is_trained_on_damaged_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    chance, refused, used = Random(5), Counter[str](), []
    for number in range(DAMAGES):
        damage = KINDS[number % len(KINDS)]
        if number % len(KINDS) == 0:
            (tmp_path / f"{number}").mkdir()
            monkeypatch.chdir(tmp_path / f"{number}")
            project = Project(tmp_path / f"{number}")
        damage(project.root, chance)
        for _ in range(3):  # told of once for each stage whose bytes are damaged; then it is fetched or made again
            try:
                project.run()
                break
            except DigestMismatchError:
                refused[damage.__name__] += 1
        if project.read() != (project.product, project.lock) or project.prepared() != project.product:
            used.append(f"{damage.__name__} ({number})")
    assert used == []
    assert min(refused[each.__name__] for each in (workspace_quietly, cache, cache_quietly)) >= DAMAGES // len(KINDS)
    print(f"{DAMAGES} times damaged data, 0 used; refused, the others made again by DVC: {dict(refused)}")
