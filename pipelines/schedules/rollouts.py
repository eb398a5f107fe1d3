"""The tick of every minute, stopped before the next one is due. Its tasks retry by themselves."""

from __future__ import annotations

from pipelines.rollouts import rollouts_flow
from pipelines.schedules.presence import note_process

scheduled_rollouts = rollouts_flow.with_options(timeout_seconds=55, on_running=[note_process])
