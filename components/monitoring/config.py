"""The `monitoring` section of a model's configuration: every bound has a default, null switches one off."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from components.stage.config import HIDDEN_INPUT, Section

LEAST_ROWS = 300
"""Of fewer rows a stability index of 10 bins says little: two samples of the same rows have 0.06."""
_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}

_WINDOW = r"^[1-9][0-9]{0,4}[mhd]$"

Window = Annotated[str, Field(pattern=_WINDOW)]
"""A length of time: ``30m``, ``1h``, ``7d``."""


def is_window(text: str) -> bool:
    """Return whether a text is a length of time."""
    return re.fullmatch(_WINDOW, text) is not None


def length_of(window: str) -> timedelta:
    """Return how long a window is."""
    return timedelta(seconds=int(window[:-1]) * _UNITS_S[window[-1]])


class MonitoringSection(Section):
    """What is looked at in a model's traffic, and from where on it is alarming."""

    window: Window = "24h"
    """How far back a look goes, unless it is asked otherwise: 30m, 1h, 7d."""
    min_requests: int = Field(default=1, ge=0)
    """Fewer requests in the window are an alarm; 0 for a model that may be silent."""
    max_error_rate: float | None = Field(default=0.01, ge=0, lt=1)
    """The largest share of requests that a version may fail."""
    max_p95_ms: float | None = Field(default=100.0, gt=0, allow_inf_nan=False)
    """The 95th percentile of the time that a request may take in the gateway, in milliseconds."""
    min_rows: int = Field(default=LEAST_ROWS, ge=LEAST_ROWS)
    """With fewer rows nothing is said about drift."""
    psi_warning: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """From this stability index on, a column is worth a look."""
    psi_alarm: float = Field(default=0.2, gt=0, allow_inf_nan=False)
    """From this stability index on, a column has drifted."""
    quality_rows: int = Field(default=50_000, ge=LEAST_ROWS, le=1_000_000)
    """So many rows, evenly spread, meet the expectation suite."""
    labels: str | None = None
    """A CSV, Parquet or JSON-lines file with the columns `id` (a response's x-request-id) and `label`, beside those
    that the gateway is sent."""
    label_window: Window = "30d"
    """How far back predictions are joined with labels, which come late."""
    min_labels: int = Field(default=100, ge=30)
    """With fewer labels nothing is said about the live metric."""
    metric_drop: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """How much worse than on the test split the live metric may be, in the unit of a gate's margin."""

    @model_validator(mode="after")
    def _is_in_order(self) -> MonitoringSection:
        if self.psi_warning > self.psi_alarm:
            words = f"psi_warning is {self.psi_warning:g}, above psi_alarm ({self.psi_alarm:g}); warn before the alarm"
            raise PydanticCustomError(HIDDEN_INPUT, "{words}", {"words": words})
        return self
