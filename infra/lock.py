"""Renew or check the locks: universal, hashed, without torch and the CUDA packages. Standard library only.

``python infra/lock.py`` renews them (needs the network) and keeps what still fits; ``--upgrade`` takes the newest of
everything; ``--check`` says whether they are those of pyproject.toml.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "infra" / "locks"
BOOTSTRAP = {"uv": "uv>=0.9"}
NOT_LOCKED = re.compile(r"^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==", re.MULTILINE)


def inputs_digest() -> str:
    """Return the digest of everything in pyproject.toml that a lock depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {key: project[key] for key in ("dependencies", "optional-dependencies", "requires-python")}
    return hashlib.sha256(json.dumps([wanted, BOOTSTRAP], sort_keys=True).encode()).hexdigest()


def compile_lock(source: str, lock: Path, *options: str) -> str:
    """Return uv's resolution of `source` (a file, or ``-`` for `BOOTSTRAP`), preferring what `lock` has."""
    command = [sys.executable, "-m", "uv", "pip", "compile", source, "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", *options]
    text = "\n".join(BOOTSTRAP.values()) if source == "-" else None
    with TemporaryDirectory() as folder:
        output = Path(folder) / lock.name
        if lock.is_file() and "--upgrade" not in sys.argv[1:]:
            shutil.copy(lock, output)
        command += ["--output-file", str(output)]
        subprocess.run(command, cwd=ROOT, input=text, text=True, stdout=subprocess.DEVNULL, check=True)
        return output.read_text()


def main() -> int:
    """Renew the locks, or check them."""
    header = f"# Made by `make lock`; inputs {inputs_digest()}\n"
    targets = [LOCKS / "bootstrap.txt", LOCKS / "main.txt"]
    if "--check" in sys.argv[1:]:
        stale = [path.name for path in targets if not path.is_file() or not path.read_text().startswith(header)]
        if stale:
            print(f"{', '.join(stale)} in infra/locks is not made from this pyproject.toml; run `make lock`")
        return 1 if stale else 0
    everything = compile_lock("pyproject.toml", targets[1], "--all-extras")
    excluded = sorted({match.group(1) for match in NOT_LOCKED.finditer(everything)})
    options = [part for name in excluded for part in ("--no-emit-package", name)]
    locked = compile_lock("pyproject.toml", targets[1], "--all-extras", *options)
    locked = "".join(f"{line}\n" for line in locked.splitlines() if not line.startswith("# "))
    targets[0].write_text(header + compile_lock("-", targets[0]))
    targets[1].write_text(header + locked)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
