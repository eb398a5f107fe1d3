"""The pictures of docs/judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.judge_plots import draw

pytestmark = pytest.mark.slow


def test_pictures_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        draw(tmp_path / folder, runs=20)
    for name in ("e-values.svg", "until-abort.svg"):
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        assert b"<dc:date>" not in content
