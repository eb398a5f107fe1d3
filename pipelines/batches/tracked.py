"""The batch store under DVC: ``data/<model>/batches.dvc``. Knows no batch."""

from __future__ import annotations

from pathlib import Path

from components.data.batch_store import batches_dir


def tracked_file(model: str, root: Path = Path()) -> Path:
    """Return DVC's file about a model's batch store; only incremental sources have one."""
    folder = batches_dir(model, root)
    return folder.with_name(f"{folder.name}.dvc")


def track_batches(model: str, root: Path = Path()) -> None:
    """Let DVC keep what the store holds now.

    Raises:
        InfrastructureError: DVC could not.
    """
    from pipelines.stages import track_folder

    track_folder(batches_dir(model, root), root)
