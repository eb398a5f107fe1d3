"""What the workers of one gateway share: counters in mapped files, one writer per row. Judges nothing."""

from components.serving.board.board import Board
from components.serving.board.kill_switch import KillSwitch

__all__ = ["Board", "KillSwitch"]
