"""The `retraining` section of a model's configuration: off where it is absent. Reads no report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.monitoring.config import Window
from components.stage.config import Section

Trigger = Literal["feature_drift", "prediction_drift", "live_metric"]
"""The alarms of monitoring that may start a training; their bounds are those of the `monitoring` section."""


class RetrainingSection(Section):
    """When an alarm of monitoring starts a training; without this section it never does."""

    on: Annotated[tuple[Trigger, ...], Field(min_length=1)] = ("feature_drift", "prediction_drift", "live_metric")
    """Which alarms count."""
    environment: Literal["local", "staging", "production"] = "production"
    """Whose traffic is looked at."""
    min_columns: int = Field(default=1, ge=1)
    """So many inputs must have drifted for `feature_drift` to count."""
    max_age: Window = "3h"
    """An older report says nothing about now; monitoring looks every hour."""
    cool_down: Window = "7d"
    """How long after one retraining was asked for the next one may be, whatever came of it."""
    budget: int = Field(default=2, ge=1)
    """At most so many retrainings in a `period`, failed ones included."""
    period: Window = "30d"
    """What the budget is for."""
    wait_for_rollouts: bool = True
    """Whether it waits while a version of the model is on its way somewhere, or a challenger for a person."""
