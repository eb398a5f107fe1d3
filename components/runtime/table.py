"""Find a runtime by its kind: one readable table, and one entry-point group for those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from components.errors import FaultError, UnknownNameError
from components.runtime.protocol import ModelRuntime

ENTRY_POINT_GROUP = "towpath.runtimes"

RUNTIMES: Mapping[str, str] = {
    "onnx": "components.runtime.onnx_runtime:OnnxRuntime",
    "savedmodel": "components.runtime.savedmodel.runtime:SavedModelRuntime",
}


def find_runtime(kind: str) -> Callable[..., ModelRuntime]:
    """Return the class of the runtime called `kind`; built-in names come first and cannot be taken over.

    Raises:
        UnknownNameError: there is no such kind.
        FaultError: it is configured and cannot be loaded.
    """
    known = dict(RUNTIMES)
    if kind not in known:
        known |= _plugins()
    if kind not in known:
        raise UnknownNameError(f"no runtime `{kind}`; there are: {', '.join(sorted(known))}")
    module, _, name = known[kind].partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FaultError(f"runtime `{kind}` ({known[kind]}) cannot be loaded: {error}") from error
    return found


def _plugins() -> dict[str, str]:
    from importlib.metadata import entry_points  # reads every distribution's metadata: only when it is needed

    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
