"""What a version was made from, beside its data: commit, patch and locks. Asks git; changes nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.errors import BadInputError, FaultError
from components.stage.files import file_digest, record_digest

LOCKS_DIR = Path("infra/locks")
LOCK_FILES = ("infra/locks/main.txt", "infra/locks/torch.txt")
"""The locks of the environment that runs the pipeline; beside them lie those of other environments."""
NOT_CODE = (
    ":(exclude)dvc.lock",
    ":(exclude,glob)data/*/source.json",
    ":(exclude,glob)data/*/batches.dvc",
    ":(exclude,glob)data/*/batches.json",
)
"""Which data a version is made of: written by runs and by decisions about batches, and no change of the code."""
LARGEST_UNTRACKED_BYTES = 5_000_000
"""An untracked file above it is data, or a mistake; neither belongs into a patch."""
DIFF = (
    "diff",
    "--binary",
    "--full-index",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
"""The same patch whatever the user's git configuration says."""


@dataclass(frozen=True)
class CodeLineage:
    """The state of the working tree."""

    commit: str
    patch: bytes
    """What is not committed, untracked files included, as ``git apply`` takes it; empty for a clean tree."""
    locks: dict[str, str]
    """Digest by lock file."""

    @property
    def code_digest(self) -> str:
        """The commit, and where the tree is dirty the patch's digest after a ``+``."""
        return code_digest(self.commit, self.patch_digest)

    @property
    def patch_digest(self) -> str:
        """The patch's SHA-256; empty for a clean tree."""
        return hashlib.sha256(self.patch).hexdigest() if self.patch else ""

    @property
    def lock_digest(self) -> str:
        """One digest over all locks."""
        return record_digest(self.locks)


def code_digest(commit: str, patch_digest: str) -> str:
    """Return what names the code of a version: its commit, and the patch's digest after a ``+`` where there was one."""
    return f"{commit}+{patch_digest[:16]}" if patch_digest else commit


def code_lineage(root: Path = Path()) -> CodeLineage:
    """Return the commit, the uncommitted changes and the locks' digests.

    Raises:
        FaultError: this is no git checkout, or it has no commit.
        BadInputError: an untracked file is too large to be code.
    """
    commit = _git(root, "rev-parse", "HEAD").decode().strip()
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".", *NOT_CODE).split(b"\0")
    parts = [_git(root, *DIFF, "HEAD", "--", ".", *NOT_CODE)]
    parts += [_added(root, os.fsdecode(name)) for name in untracked if name]
    others = {path.relative_to(root).as_posix() for path in (root / LOCKS_DIR).glob("*.txt")}
    locks = {name: file_digest(root / name) for name in (*LOCK_FILES, *sorted(others.difference(LOCK_FILES)))}
    return CodeLineage(commit, b"".join(parts), locks)


def _added(root: Path, name: str) -> bytes:
    """Return an untracked file as a patch that adds it; ``git diff --no-index`` exits 1 when files differ."""
    if (size_bytes := (root / name).lstat().st_size) > LARGEST_UNTRACKED_BYTES:
        raise BadInputError(
            f"{name} is not tracked by git and has {size_bytes:,} bytes; commit it, or name it in .gitignore"
        )
    return _git(root, *DIFF, "--no-index", "--", "/dev/null", name, expected=(0, 1))


def _git(root: Path, *arguments: str, expected: tuple[int, ...] = (0,)) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S607 - found on PATH
    if done.returncode not in expected:
        words = " ".join(done.stderr.decode(errors="replace").split())
        raise FaultError(f"git {arguments[0]} failed: {words}; lineage needs a git checkout with a commit")
    return done.stdout
