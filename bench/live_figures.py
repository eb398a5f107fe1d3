"""Rows of a bench's table: a name, a value, its limit, and whether that holds. Measures nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

Figures = list[dict[str, Any]]


def least(name: str, value: float, limit: float) -> dict[str, Any]:
    """Return a figure that must not be below its limit."""
    return {"figure": f"{name}, at least", "value": round(value, 3), "limit": limit, "holds": value >= limit}


def most(name: str, value: float, limit: float) -> dict[str, Any]:
    """Return a figure that must not be above its limit."""
    return {"figure": f"{name}, at most", "value": round(value, 3), "limit": limit, "holds": value <= limit}


def stated(name: str, value: Any) -> dict[str, Any]:
    """Return a figure without a limit."""
    return {"figure": name, "value": str(value), "limit": "-", "holds": True}


def ms(seconds: np.ndarray, q: float) -> float:
    """Return a quantile of times in milliseconds."""
    return 1000 * float(np.quantile(seconds, q))
