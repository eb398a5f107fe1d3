"""What the workers of one gateway share: counters in mapped files, one writer per row. Judges nothing."""

from components.serving.board.board import Board

__all__ = ["Board"]
