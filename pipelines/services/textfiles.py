"""Serve Prometheus text files as one page: ``python -m pipelines.services.textfiles FOLDER... --port N``.

What is no server of its own (a monitoring flow) leaves its figures in files; this lets Prometheus read them.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


class TextFiles:
    """A collector of every ``*.prom`` file below some folders; one that cannot be read is counted."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Remember the folders; they need not exist yet."""
        self._folders = folders

    def collect(self) -> Iterator[Any]:
        """Yield each family of metrics once, with the samples that all files have of it."""
        from prometheus_client.core import GaugeMetricFamily
        from prometheus_client.parser import text_string_to_metric_families

        families: dict[str, Any] = {}
        unreadable = 0
        for path in sorted(path for folder in self._folders for path in folder.rglob("*.prom")):
            try:
                found = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                unreadable += 1
                continue
            _merge(found, families)
        yield from families.values()
        yield GaugeMetricFamily("towpath_textfiles_unreadable", "Files that hold no metrics.", value=unreadable)


def _merge(found: Iterable[Any], families: dict[str, Any]) -> None:
    for family in found:
        families.setdefault(family.name, family)
        if families[family.name] is not family:
            families[family.name].samples.extend(family.samples)


def main() -> None:
    """Serve until this process is stopped."""
    from prometheus_client import CollectorRegistry, start_http_server

    parser = argparse.ArgumentParser(description="Serve Prometheus text files as one page.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    registry = CollectorRegistry()
    registry.register(TextFiles(arguments.folders))
    start_http_server(arguments.port, addr="127.0.0.1", registry=registry)
    threading.Event().wait()


if __name__ == "__main__":
    main()
