"""The hourly look at what the gateways logged, stopped long before the next one is due; its tasks retry themselves."""

from __future__ import annotations

from pipelines.monitoring import monitoring_flow
from pipelines.schedules.presence import note_process

scheduled_monitoring = monitoring_flow.with_options(timeout_seconds=1800, on_running=[note_process])
