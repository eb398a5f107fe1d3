"""What a version was made from, beside its data: commit, patch and locks. Asks git; changes nothing."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.errors import FaultError
from components.stage.files import file_digest, text_digest

LOCK_FILES = ("infra/locks/main.txt", "infra/locks/torch.txt")
NOT_CODE = (":(exclude)dvc.lock",)
"""`dvc.lock` is an artifact of every version, so a new one does not make the tree dirty."""


@dataclass(frozen=True)
class CodeLineage:
    """The state of the working tree."""

    commit: str
    patch: str
    """What is not committed, untracked files included, as ``git apply`` takes it; empty for a clean tree."""
    locks: dict[str, str]
    """Digest by lock file."""

    @property
    def code_digest(self) -> str:
        """The commit, and where the tree is dirty the patch's digest after a ``+``."""
        return f"{self.commit}+{text_digest(self.patch)[:16]}" if self.patch else self.commit

    @property
    def lock_digest(self) -> str:
        """One digest over all locks."""
        return text_digest("\n".join(f"{name} {digest}" for name, digest in sorted(self.locks.items())))


def code_lineage(root: Path = Path()) -> CodeLineage:
    """Return the commit, the uncommitted changes and the locks' digests.

    Raises:
        FaultError: this is no git checkout, or it has no commit.
    """
    commit = _git(root, "rev-parse", "HEAD").strip()
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".", *NOT_CODE).split("\0")
    parts = [_git(root, "diff", "--binary", "HEAD", "--", ".", *NOT_CODE)]
    parts += [_added(root, name) for name in untracked if name]
    return CodeLineage(commit, "".join(parts), {name: file_digest(root / name) for name in LOCK_FILES})


def _added(root: Path, name: str) -> str:
    """Return an untracked file as a patch that adds it; ``git diff --no-index`` exits 1 when files differ."""
    return _git(root, "diff", "--binary", "--no-index", "--", "/dev/null", name, expected=(0, 1))


def _git(root: Path, *arguments: str, expected: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S607 - found on PATH
    if done.returncode not in expected:
        words = " ".join(done.stderr.decode(errors="replace").split())
        raise FaultError(f"git {arguments[0]} failed: {words}; lineage needs a git checkout with a commit")
    return done.stdout.decode(errors="surrogateescape")
