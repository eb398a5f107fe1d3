"""What a trainer's process is at, in a file: so that its parent can say where it died without a word."""

from __future__ import annotations

from pathlib import Path

DOING_FILE = "doing"


def say_doing(folder: Path, text: str) -> None:
    """Leave `text` for the parent, for example ``in component Transform, whose log is reports/taxi/tfx.log``."""
    (folder / DOING_FILE).write_text(text, encoding="utf-8")


def was_doing(folder: Path) -> str:
    """Return `` (text)``, or nothing where nothing was said."""
    path = folder / DOING_FILE
    return f" ({path.read_text(encoding='utf-8')})" if path.is_file() else ""
