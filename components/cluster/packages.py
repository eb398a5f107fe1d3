"""Whether two machines have the same environment: interpreter, processor, and the locked packages' versions."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from components.errors import BadInputError

LOCKS = (Path("infra/locks/main.txt"), Path("infra/locks/torch.txt"))
NEEDED = ("numpy", "onnx", "onnxruntime", "psutil", "pyarrow", "pydantic", "pyyaml", "ray")
"""Packages that a node cannot do without, whatever it does; those of a trainer are asked for by its kind."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def installed_here(root: Path = Path()) -> dict[str, str]:
    """Return the version of Python, the processor, and the version of every locked package that is installed here."""
    pinned: set[str] = set()
    for lock in LOCKS:
        if (root / lock).is_file():
            pinned |= {_normal(name) for name in _PIN.findall((root / lock).read_text(encoding="utf-8"))}
    pinned.update(NEEDED)
    found = {_normal(each.name): each.version for each in distributions() if each.name}
    locked = {name: version for name, version in sorted(found.items()) if name in pinned}
    return {"python": platform.python_version(), "processor": platform.machine(), **locked}


def require_same(here: Mapping[str, str], there: Mapping[str, str], node: str) -> None:
    """Check that a node would compute what this machine would.

    What only one of the two has installed is no difference, except for what every node needs.

    Raises:
        BadInputError: a version differs, or something is missing on the node.
    """
    cure = "install the locks of this project there as here (`make setup`)"
    if missing := [name for name in NEEDED if name not in there]:
        raise BadInputError(f"node {node} of the cluster lacks {', '.join(missing)}; {cure}")
    different = [name for name in here if name in there and here[name] != there[name]]
    if different:
        first = different[0]
        more = f" ({len(different) - 1} more differ)" if different[1:] else ""
        raise BadInputError(
            f"node {node} of the cluster has {first} {there[first]} where this machine has {here[first]}{more}; {cure}"
        )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
