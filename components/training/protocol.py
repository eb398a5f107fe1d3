"""The boundary between the pipeline and a framework; the words are in `components.training.core.protocol`."""

from components.training.core.protocol import Export, Trainer

__all__ = ["Export", "Trainer"]
