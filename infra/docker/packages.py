"""What each slim image installs: a few packages and what they need, at the versions of the lock. Standard library only.

``packages.py list`` writes ``packages/<image>.txt`` anew, from what is installed here (do it after `make lock`);
``packages.py pick FILE LOCK`` prints the lock's entries of the packages that a file names, for pip in a Dockerfile.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "packages"
IMAGES: Mapping[str, tuple[str, ...]] = {
    "gateway": (
        *("click", "cloudpickle", "filelock", "httptools", "jinja2", "numpy", "onnxruntime", "orjson"),
        *("prometheus-client", "psutil", "pyarrow", "pydantic", "pyyaml", "uvicorn", "uvloop"),
    ),
    "mlflow": ("boto3", "mlflow", "psycopg2-binary"),
    "prefect": ("asyncpg", "prefect"),
}
_ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)


def plain(name: str) -> str:
    """Return a package's name as the lock spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(packages: Iterable[str]) -> list[str]:
    """Return packages and whatever they need, on Linux, as installed here."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [Requirement(each) for each in packages]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if (key := f"{plain(wanted.name)}{sorted(wanted.extras)}") in seen:
            continue
        seen.add(key)
        found.add(plain(wanted.name))
        for text in requires(wanted.name) or ():
            other = Requirement(text)
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                waiting.append(other)
    return sorted(found)


def pick(names: Iterable[str], lock: str) -> str:
    """Return the lock's entries of some packages.

    Raises:
        SystemExit: the lock has not all of them.
    """
    starts = [*_ENTRY.finditer(lock)]
    ends = [each.start() for each in starts[1:]] + [len(lock)]
    entries: dict[str, str] = {}
    for each, end in zip(starts, ends, strict=True):  # one package has several where Pythons need different versions
        entries[each[1]] = entries.get(each[1], "") + lock[each.start() : end]
    if missing := sorted(set(names) - entries.keys()):
        raise SystemExit(f"the lock has no {', '.join(missing)}; run `python infra/docker/packages.py list`")
    return "".join(entries[name] for name in names)


def main(arguments: list[str]) -> None:
    """List or pick."""
    if arguments == ["list"]:
        for image, packages in IMAGES.items():
            (FOLDER / f"{image}.txt").write_text("".join(f"{each}\n" for each in needed(packages)))
    elif len(arguments) == 3 and arguments[0] == "pick":
        names, lock = (Path(each).read_text() for each in arguments[1:])
        print(pick(names.split(), lock), end="")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
