"""Answer the release page's paths. Knows what a page shows, not how it looks: that is in the templates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import orjson

from components.serving.page.chart import make_chart
from components.serving.page.history import History
from components.serving.page.notices import Notice, Tone
from components.serving.page.panel import make_panel
from components.serving.page.source import PageSource
from components.serving.page.words import duration, parsed_time
from components.serving.reply import Reply
from components.types.judging import GatewayStatus
from components.types.record import load
from components.types.release import JudgeSettings
from components.types.release_view import ModelView, ReleaseView

VIEW_FILE = "release-view.json"
"""The ledger's projection, beside the router snapshot; written by whoever ticks rollouts."""
PREFIX = "/release"
REFRESH_S = 3
"""While something is on its way; `IDLE_REFRESH_S` otherwise, so that an open page notices when something starts."""
IDLE_REFRESH_S = 30
STALE_S = 180.0
"""A view this old while something is on its way: the tick does not run."""

HTML = b"text/html; charset=utf-8"
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class _Ledger:
    """The view as far as it can be had."""

    view: ReleaseView | None
    age_s: float | None
    notices: tuple[Notice, ...]

    @property
    def models(self) -> Mapping[str, ModelView]:
        """Return the models of the view by name."""
        return {} if self.view is None else {each.model: each for each in self.view.models}


def render(source: PageSource, path: str) -> Reply:
    """Return the page at ``/release`` or ``/release/{model}``; blocks for some milliseconds, so call it in a thread."""
    now = datetime.now(UTC)
    status = source.release_status()
    ledger = _read_ledger(source, now)
    names = sorted({*ledger.models, *status.reports, *(name for each in status.workers for name in each.revs)})
    asked = unquote(path).removeprefix(PREFIX).strip("/")
    if not asked:
        return _index(status, ledger, names, now)
    if asked not in names:
        return _page(404, "missing", ledger, now, title="No such model", asked=asked[:120], known=names, refresh_s=0)
    return _model(source, status, ledger, asked, now)


def _index(status: GatewayStatus, ledger: _Ledger, names: list[str], now: datetime) -> Reply:
    panels = [make_panel(name, ledger.models.get(name), status) for name in names]
    is_moving = any(panel.is_moving for panel in panels)
    return _page(
        200,
        "index",
        ledger,
        now,
        title=f"Releases: {len(panels)} models",
        notices=_staleness(ledger, is_moving),
        panels=panels,
        workers=status.workers,
        refresh_s=REFRESH_S if is_moving else IDLE_REFRESH_S,
    )


def _model(source: PageSource, status: GatewayStatus, ledger: _Ledger, name: str, now: datetime) -> Reply:
    panel = make_panel(name, ledger.models.get(name), status)
    threshold = panel.report.threshold if panel.report is not None else JudgeSettings().threshold
    return _page(
        200,
        "model",
        ledger,
        now,
        title=f"{name}: {panel.state}",
        notices=(*panel.notices, *_staleness(ledger, panel.is_moving)),
        panel=panel,
        chart=make_chart(History(source.state_dir).read(name), threshold),
        threshold=threshold,
        refresh_s=REFRESH_S if panel.is_moving else IDLE_REFRESH_S,
    )


def _page(status: int, template: str, ledger: _Ledger, now: datetime, **content: Any) -> Reply:
    from components.serving.page.templating import fill  # Jinja2 takes 15 MB, and often nobody looks

    view = ledger.view
    content.setdefault("notices", ())
    text = fill(
        template,
        env="" if view is None else view.env,
        written_at="" if view is None else view.written_at,
        age_s=ledger.age_s,
        now=now.isoformat(),
        **content,
    )
    return Reply(status, text.encode(), HTML, HEADERS)


def _read_ledger(source: PageSource, now: datetime) -> _Ledger:
    path = source.state_dir / VIEW_FILE
    try:
        view = load(ReleaseView, orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        text = "Nothing was promoted here yet, or the tick does not run. The live figures of the gateway are shown."
        return _Ledger(None, None, (Notice(Tone.WARNING, "There is no view of the ledger", text),))
    except (OSError, ValueError) as error:
        text = f"{os.fspath(path)}: {error}. The live figures of the gateway are shown."
        return _Ledger(None, None, (Notice(Tone.BAD, "The ledger's view cannot be read", text),))
    written = parsed_time(view.written_at)
    return _Ledger(view, None if written is None else (now - written).total_seconds(), ())


def _staleness(ledger: _Ledger, is_moving: bool) -> tuple[Notice, ...]:
    if ledger.view is None or not is_moving or (ledger.age_s is not None and ledger.age_s <= STALE_S):
        return ledger.notices
    age = "of an unknown time" if ledger.age_s is None else f"{duration(ledger.age_s)} old"
    text = (
        f"It is {age}, while a rollout is on its way: gates, approvals and events may have moved on. "
        "See that `towpath tick` runs."
    )
    return (*ledger.notices, Notice(Tone.WARNING, "The ledger's view is stale", text))
