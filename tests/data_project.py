"""A project folder for tests of ingest: write sources into it, probe them, ingest them, read what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from components.data.config import DataSection
from components.data.ingest import ingest
from components.data.manifest import dataset_dir
from components.data.probe import write_probe
from components.types.dataset import TABLE_FILE, DatasetManifest

MODEL = "trips"


@dataclass
class DataProject:
    """One model, `MODEL`, whose source may change."""

    root: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a source file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def files(self, path: str, *, label: Any = "y", csv: dict[str, Any] | None = None, **section: Any) -> None:
        """Configure files as the source."""
        self.configure({"kind": "files", "path": path, "csv": csv or {}}, label=label, **section)

    def configure(self, source: dict[str, Any], **section: Any) -> None:
        """Configure the source and the rest of the section."""
        self.settings = {"source": source, **section}

    @property
    def section(self) -> DataSection:
        """The configuration, checked."""
        return DataSection.model_validate(self.settings)

    def probe(self) -> bool:
        """Probe the source; True when it has changed."""
        return write_probe(MODEL, self.section, self.root)

    def ingest(self) -> DatasetManifest:
        """Ingest what was probed."""
        return ingest(MODEL, self.section, self.root)

    def run(self) -> DatasetManifest:
        """Probe and ingest."""
        self.probe()
        return self.ingest()

    def csv(self, content: str | bytes, **options: Any) -> DatasetManifest:
        """Write a CSV file, probe it and ingest it."""
        self.write("trips.csv", content)
        self.files("trips.csv", **options)
        return self.run()

    @property
    def dataset(self) -> Path:
        """The folder that ingest writes."""
        return dataset_dir(MODEL, self.root)

    def table(self) -> pl.DataFrame:
        """The ingested table."""
        return pl.read_parquet(self.dataset / TABLE_FILE)

    def column(self, name: str) -> list[Any]:
        """The values of one column of the ingested table."""
        return self.table()[name].to_list()
