"""The versions in memory: loads them in threads, keeps those that are named, forgets the others. Knows no traffic."""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import Callable, Iterable
from time import monotonic

from components.errors import TowpathError
from components.serving.bulkhead import Bulkhead, Task
from components.serving.measurements import Measurements
from components.serving.served_model import LoadStop, ServedModel, load_served
from components.types.release import ModelRef, PlacedModel

_LOADING = 2
"""Most versions being loaded at once: a large one does not keep a small one waiting."""
LOAD_S = 120.0
"""A version that takes longer to load and warm up hangs; it is reported, and tried again."""

log = logging.getLogger("towpath.gateway")


class VersionCache:
    """Every loaded version by model, number and digest; belongs to the event loop."""

    def __init__(self, stats: dict[str, Measurements], changed: Callable[[], None], retry_s: float) -> None:
        """Take whose load failures are counted, who hears that a load ended, and how soon one is tried again."""
        self._stats = stats
        self._changed = changed
        self._retry_s = retry_s
        self._loaded: dict[ModelRef, ServedModel] = {}
        self._loading: set[ModelRef] = set()
        self._failed: dict[ModelRef, tuple[PlacedModel, str, float]] = {}
        self.bulkhead = Bulkhead("load", _LOADING, waiting=10_000)
        self.has_let_go = False
        """Whether a version was forgotten since `give_memory_back`."""

    @property
    def is_loading(self) -> bool:
        """Whether something is on its way."""
        return bool(self._loading)

    def get(self, placed: PlacedModel) -> ServedModel | None:
        """Return a version if it is loaded and warm."""
        found = self._loaded.get(placed.ref)
        return found if found is not None and found.placed.runtime == placed.runtime else None

    def why_not(self, placed: PlacedModel) -> str | None:
        """Return why a version could not be loaded; None where it was not tried, or is on its way the first time."""
        failed = self._failed.get(placed.ref)
        return None if failed is None else failed[1]

    def want(self, placed: PlacedModel) -> None:
        """Load a version unless it is there, on its way, or failed a moment ago."""
        ref = placed.ref
        if self.get(placed) is not None or ref in self._loading:
            return
        failed = self._failed.get(ref)
        if failed is not None and failed[0] == placed and monotonic() < failed[2]:
            return
        loop = asyncio.get_running_loop()
        stats = self._stats.setdefault(ref.model, Measurements())

        def deliver(result: ServedModel | None, error: Exception | None) -> None:
            loop.call_soon_threadsafe(self._ended, placed, result, error)

        stop = LoadStop()
        if self.bulkhead.offer(Task(lambda _: load_served(placed, stats, stop), stop, deliver, LOAD_S)):
            self._loading.add(ref)
        else:
            self._note_failure(placed, "the gateway can have no thread for it at the moment")

    def keep(self, refs: Iterable[ModelRef]) -> None:
        """Forget every version but these: what still answers a request stays in memory until it has."""
        kept = set(refs)
        for ref in self._loaded.keys() - kept:
            del self._loaded[ref]
            self.has_let_go = True
            log.info("%s version %d is let go of", ref.model, ref.version)
        for ref in self._failed.keys() - kept:
            del self._failed[ref]

    def give_memory_back(self) -> None:
        """Return the memory of forgotten versions to the system, which the C library would keep; takes milliseconds."""
        self.has_let_go = False
        if (trim := getattr(_c_library(), "malloc_trim", None)) is not None:
            trim(0)

    def _ended(self, placed: PlacedModel, model: ServedModel | None, error: Exception | None) -> None:
        ref = placed.ref
        self._loading.discard(ref)
        if model is not None:
            self._loaded[ref] = model
            self._failed.pop(ref, None)
            log.info("%s version %d is loaded", ref.model, ref.version)
        else:
            self._note_failure(placed, _why(error))
        self._changed()

    def _note_failure(self, placed: PlacedModel, words: str) -> None:
        ref = placed.ref
        self._failed[ref] = (placed, words, monotonic() + self._retry_s)
        self._stats[ref.model].load_failures += 1
        log.error("%s version %d was not loaded: %s", ref.model, ref.version, words)


def _why(error: Exception | None) -> str:
    match error:
        case TowpathError():
            return str(error)
        case MemoryError():
            return "there is not enough memory for it beside what is served; it is tried again"
        case _:
            return f"{type(error).__name__}: {error}"


def _c_library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # no such thing on Windows
        return None
