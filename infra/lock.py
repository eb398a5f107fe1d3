"""Renew or check the locks: universal, hashed, without torch and the CUDA packages. Standard library only.

``python infra/lock.py`` renews them (needs the network) and keeps what still fits; ``--upgrade`` takes the newest of
everything; ``--check`` says whether they are those of pyproject.toml, and those of the kinds with an environment of
their own (``components/training/<kind>/environment.json``: a lock is made of the ``.in`` file beside it, and its digest
is written there, so that DVC trains again when the lock is another).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "infra" / "locks"
BOOTSTRAP = {"uv": "uv>=0.9"}
NOT_LOCKED = re.compile(r"^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==", re.MULTILINE)


@dataclass(frozen=True)
class KindLock:
    """A lock of a kind's own environment, and where it is declared."""

    declaration: Path
    choice: dict[str, Any]
    python: str

    @property
    def path(self) -> Path:
        """Return the lock."""
        return ROOT / self.choice["lock"]

    @property
    def wanted(self) -> Path:
        """Return the file that says what it is made of."""
        return self.path.with_suffix(".in")

    @property
    def header(self) -> str:
        """Return the lock's first line."""
        lines = [line.partition("#")[0].strip() for line in self.wanted.read_text().splitlines()]
        wanted = [self.python, *(line for line in lines if line)]
        digest = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
        return f"# Made by `make lock` from {self.wanted.name}; inputs {digest}\n"

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the lock as it is."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def kind_locks() -> Iterator[KindLock]:
    """Find the locks of the kinds' own environments."""
    for path in sorted((ROOT / "components/training").glob("*/environment.json")):
        content = json.loads(path.read_text())
        for choice in content["choices"]:
            yield KindLock(path, choice, content["python"])


def inputs_digest() -> str:
    """Return the digest of everything in pyproject.toml that a lock depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {key: project[key] for key in ("dependencies", "optional-dependencies", "requires-python")}
    return hashlib.sha256(json.dumps([wanted, BOOTSTRAP], sort_keys=True).encode()).hexdigest()


def compile_lock(source: str, lock: Path, *options: str, python: str = "3.11") -> str:
    """Return uv's resolution of `source` (a file, or ``-`` for `BOOTSTRAP`), preferring what `lock` has."""
    command = [sys.executable, "-m", "uv", "pip", "compile", source, "--universal", "--python-version", python]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", *options]
    text = "\n".join(BOOTSTRAP.values()) if source == "-" else None
    with TemporaryDirectory() as folder:
        output = Path(folder) / lock.name
        if lock.is_file() and "--upgrade" not in sys.argv[1:]:
            shutil.copy(lock, output)
        command += ["--output-file", str(output)]
        subprocess.run(command, cwd=ROOT, input=text, text=True, stdout=subprocess.DEVNULL, check=True)
        return output.read_text()


def findings(header: str) -> Iterator[str]:
    """Say of each lock that is not what it should be why, in a sentence."""
    for path in (LOCKS / "bootstrap.txt", LOCKS / "main.txt"):
        if not path.is_file() or not path.read_text().startswith(header):
            yield f"{path.name} in infra/locks is not made from this pyproject.toml; run `make lock`"
    for lock in kind_locks():
        if not lock.path.is_file() or not lock.path.read_text().startswith(lock.header):
            yield f"{lock.path.name} in infra/locks is not made from this {lock.wanted.name}; run `make lock`"
        elif lock.choice["lock_sha256"] != lock.digest:
            yield f"{lock.declaration.relative_to(ROOT)} has another digest of {lock.path.name}; run `make lock`"


def renew_main(header: str) -> None:
    """Write the locks of the main environment."""
    bootstrap, main_lock = LOCKS / "bootstrap.txt", LOCKS / "main.txt"
    everything = compile_lock("pyproject.toml", main_lock, "--all-extras")
    excluded = sorted({match.group(1) for match in NOT_LOCKED.finditer(everything)})
    options = [part for name in excluded for part in ("--no-emit-package", name)]
    locked = compile_lock("pyproject.toml", main_lock, "--all-extras", *options)
    bootstrap.write_text(header + compile_lock("-", bootstrap))
    main_lock.write_text(header + _without_comments(locked))


def renew_kind(lock: KindLock) -> None:
    """Write one lock of a kind's own environment, and its digest where the environment is declared."""
    locked = compile_lock(str(lock.wanted), lock.path, python=lock.python)
    lock.path.write_text(lock.header + _without_comments(locked))
    content = json.loads(lock.declaration.read_text())
    for choice in content["choices"]:
        if choice["lock"] == lock.choice["lock"]:
            choice["lock_sha256"] = lock.digest
    lock.declaration.write_text(json.dumps(content, indent=2) + "\n")


def _without_comments(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("# "))


def main() -> int:
    """Renew the locks, or check them."""
    header = f"# Made by `make lock`; inputs {inputs_digest()}\n"
    if "--check" in sys.argv[1:]:
        stale = list(findings(header))
        print("\n".join(stale), end="\n" if stale else "")
        return 1 if stale else 0
    renew_main(header)
    for lock in kind_locks():
        renew_kind(lock)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
