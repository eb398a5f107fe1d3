"""Import a framework without the optional packages that it would load at once, and without its greetings.

Keras loads jax, scikit-learn, pandas and matplotlib, and Lightning scipy and matplotlib, merely to find out whether
they are there: half of a training process's start. Standard library only.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder, PackageNotFoundError
from typing import Any


@contextmanager
def light_import(*absent: str) -> Iterator[None]:
    """While the block imports, let optional packages look not installed, and hold back the error stream.

    What was held back is printed if the import fails.

    Args:
        absent: Top-level packages, as `without` takes them.
    """
    with without(*absent), _held_back_stderr():
        yield


@contextmanager
def without(*absent: str) -> Iterator[None]:
    """Inside the block, let optional packages look not installed; afterwards they can be imported as ever.

    Args:
        absent: Top-level packages; one that is imported already stays.
    """
    hidden = [name for name in absent if name not in sys.modules]
    finder = _Nothing(hidden)
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "not there", see the import system
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in hidden:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)


class _Absent(Distribution):
    """A package whose version cannot be asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, *_: Any) -> str | None:
        raise PackageNotFoundError(self._name)

    def locate_file(self, *_: Any) -> Any:
        raise PackageNotFoundError(self._name)


class _Nothing(DistributionFinder):
    """Answers for the hidden packages before anybody else does."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, *_: Any) -> ModuleSpec | None:
        """Leave the import of modules to the others."""
        return None

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Return a package without a version for a hidden name."""
        name = context.name if context else None
        return [_Absent(name)] if name in self._names and name else []


@contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Keep what C++ code writes to the error stream, before its logging can be configured, out of the log."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(shown, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
