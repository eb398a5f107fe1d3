"""What of the project goes to the nodes: its components' code and its locks; no data and no configuration."""

from __future__ import annotations

import shutil
from pathlib import Path

import components
from components.cluster.packages import LOCKS

_ENDINGS = {".py", ".json"}


def copy_code(target: Path, root: Path = Path()) -> None:
    """Copy what the nodes run into the empty folder `target`; the project's own code, or what is installed."""
    own = root / "components"
    source = own if (own / "__init__.py").is_file() else Path(components.__file__).parent
    for path in sorted(source.rglob("*")):
        if path.suffix in _ENDINGS and path.is_file() and "__pycache__" not in path.parts:
            copy = target / "components" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for lock in sorted((root / LOCKS[0].parent).glob("*.txt")):
        copy = target / LOCKS[0].parent / lock.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(lock, copy)
