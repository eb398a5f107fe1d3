"""How people hear of runs that went wrong: a signed webhook, and a file for Prometheus. Finds nothing itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from components.errors import ConfigError, InfrastructureError
from components.release.publishers.webhook import Webhook
from components.stage.files import write_json, write_text
from components.types.record import canonical_json
from pipelines.state import STATE

URL_VARIABLE, SECRET_VARIABLE = "TOWPATH_NOTICE_URL", "TOWPATH_NOTICE_SECRET"
METRICS = STATE / "schedules" / "schedules.prom"
_TOLD = STATE / "schedules" / "told.json"
_REMEMBER_S = 30 * 86_400.0


@dataclass(frozen=True)
class Notice:
    """Something that people should know."""

    key: str
    """The same for the same thing, however often it is seen."""
    kind: str
    """``failed``, ``absent``, ``killed``, ``stranded`` or ``resumed``."""
    deployment: str
    sentence: str
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


@dataclass(frozen=True)
class Standing:
    """How one flow deployment stands, in numbers."""

    deployment: str
    active: bool
    absent: bool
    last_start: float | None
    last_failed: bool


def tell(notices: Iterable[Notice], root: Path = Path()) -> tuple[list[Notice], list[str]]:
    """Send those notices that were not sent before, and return them, and what went wrong with sending.

    A notice that the receiver did not take is sent again the next time.

    Raises:
        ConfigError: the address or the secret cannot be one.
    """
    webhook = _webhook()
    path = root / _TOLD
    told: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    fresh, problems = [], []
    for notice in notices:
        if notice.key in told:
            continue
        fresh.append(notice)
        try:
            if webhook:
                webhook.send(notice.key.replace(" ", "-"), _body(notice))
        except InfrastructureError as error:
            problems.append(str(error))
        else:
            told[notice.key] = time.time()
    if fresh:
        oldest = time.time() - _REMEMBER_S
        write_json(path, {key: at for key, at in told.items() if at > oldest})
    return fresh, problems


def write_metrics(standings: Iterable[Standing], counts: Mapping[str, int], root: Path = Path()) -> Path:
    """Write the file that Prometheus' node exporter reads; its own age tells whether the watchdog is alive."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=registry)

    looked = gauge("towpath_schedule_watchdog_last_look_timestamp_seconds", "When the watchdog looked last.")
    looked.set(time.time())
    active = gauge("towpath_schedule_active", "1 while runs are due.", "deployment")
    absent = gauge("towpath_schedule_absent", "1 while a run that was due has not begun.", "deployment")
    failed = gauge("towpath_schedule_last_run_failed", "1 when the run that began last failed.", "deployment")
    start = gauge("towpath_schedule_last_start_timestamp_seconds", "When a run began last.", "deployment")
    for each in standings:
        active.labels(each.deployment).set(each.active)
        absent.labels(each.deployment).set(each.absent)
        failed.labels(each.deployment).set(each.last_failed)
        if each.last_start is not None:
            start.labels(each.deployment).set(each.last_start)
    found = gauge("towpath_schedule_found", "What the last look found, by kind.", "kind")
    for kind, count in counts.items():
        found.labels(kind).set(count)
    write_text(root / METRICS, generate_latest(registry).decode())
    return root / METRICS


def _webhook() -> Webhook | None:
    url, secret = os.environ.get(URL_VARIABLE), os.environ.get(SECRET_VARIABLE)
    if not url:
        return None
    if not secret:
        raise ConfigError(f"{URL_VARIABLE} is set and {SECRET_VARIABLE} is not; notices are signed with it")
    return Webhook(url, secret)


def _body(notice: Notice) -> bytes:
    data = {"deployment": notice.deployment, "sentence": notice.sentence, "key": notice.key}
    return canonical_json({"type": f"schedule.{notice.kind}", "timestamp": notice.at, "data": data}).encode()
