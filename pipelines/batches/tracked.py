"""The batch store under DVC: ``data/<model>/batches.dvc``. Knows no batch."""

from __future__ import annotations

from pathlib import Path

import yaml

from components.data.batch_store import batches_dir


def tracked_file(model: str, root: Path = Path()) -> Path:
    """Return DVC's file about a model's batch store; only incremental sources have one."""
    folder = batches_dir(model, root)
    return folder.with_name(f"{folder.name}.dvc")


def track_batches(model: str, root: Path = Path()) -> None:
    """Let DVC keep what the store holds; names in it are digests, so equal names are equal bytes.

    Raises:
        InfrastructureError: DVC could not.
    """
    folder, path = batches_dir(model, root), tracked_file(model, root)
    if path.is_file() and folder.is_dir():
        (out,) = yaml.safe_load(path.read_text(encoding="utf-8"))["outs"]
        sizes = [each.stat().st_size for each in folder.iterdir()]
        if (out.get("nfiles"), out.get("size")) == (len(sizes), sum(sizes)):
            return
    from pipelines.stages import track_folder

    track_folder(folder, root)
