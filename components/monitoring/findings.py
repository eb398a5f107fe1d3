"""What traffic, quality and the live metric mean: figures against the configuration's bounds. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.monitoring.config import MonitoringSection
from components.monitoring.log_files import SHADOW
from components.types.evaluation import Direction
from components.types.monitoring import Finding, FindingKind, LiveMetric, ServedQuality, Status, VersionTraffic

LEAST_REQUESTS = 100
"""Of fewer requests a 95th percentile is chance."""
_STABLE = "stable"
_CRITICAL = "critical"
_NAMED = 3


def volume_finding(
    traffic: Sequence[VersionTraffic], section: MonitoringSection, since: str, *, is_served: bool = True
) -> Finding:
    """Return whether there was any traffic to speak of; no data is never in order.

    Args:
        traffic: What each version answered in each role.
        section: The bounds.
        since: The first moment that was looked at.
        is_served: Whether a gateway serves there, or ever did; where none did, silence is no alarm.
    """
    asked = sum(each.requests for each in traffic if each.role != SHADOW)
    words = f"{asked:,} requests were logged since {since}"
    if not asked and not is_served:
        advice = (
            "no gateway has run there yet; `towpath serve --detach` starts one, and silence is an alarm from then on"
        )
        return Finding(FindingKind.VOLUME, Status.INSUFFICIENT, f"{words}: {advice}")
    if asked < section.min_requests:
        expected = f"at least {section.min_requests:,} are expected"
        advice = "is the gateway up, does traffic reach it, and is `log_rate` above 0?"
        unseen = "what is younger than a file of the log (`target.log_file_s` of the environment) is not seen yet"
        return Finding(FindingKind.VOLUME, Status.ALARM, f"{words}, {expected}: {advice} ({unseen})")
    if not asked:
        return Finding(FindingKind.VOLUME, Status.INSUFFICIENT, f"{words}: nobody knows how the model does")
    return Finding(FindingKind.VOLUME, Status.OK, words)


def error_findings(traffic: Sequence[VersionTraffic], section: MonitoringSection) -> Iterator[Finding]:
    """Yield one finding per version and role that users met; none where no bound is set."""
    bound = section.max_error_rate
    for each in _met_by_users(traffic) if bound is not None else ():
        assert bound is not None
        status = Status.OK
        if each.error_rate > bound:
            status = Status.ALARM if each.error_low > bound else Status.WARN
        words = (
            f"{_name(each)} failed {each.errors:,} of {each.requests:,} requests ({each.error_rate:.2%}, 95 % interval "
            f"{each.error_low:.2%} to {each.error_high:.2%}); at most {bound:.2%} is allowed"
        )
        yield Finding(FindingKind.ERRORS, status, words, each.version)


def latency_findings(traffic: Sequence[VersionTraffic], section: MonitoringSection) -> Iterator[Finding]:
    """Yield one finding per version and role that users met; none where no bound is set."""
    bound = section.max_p95_ms
    for each in _met_by_users(traffic) if bound is not None else ():
        assert bound is not None
        if each.requests < LEAST_REQUESTS or each.p95_ms is None:
            if each.role == _STABLE:
                words = f"{each.requests} requests of {_name(each)}; latency is judged from 100 on"
                yield Finding(FindingKind.LATENCY, Status.INSUFFICIENT, words, each.version)
            continue
        status = Status.OK if each.p95_ms <= bound else Status.ALARM
        words = f"{_name(each)}: 95 % of the requests took at most {each.p95_ms:.1f} ms; {bound:g} ms are allowed"
        yield Finding(FindingKind.LATENCY, status, words, each.version)


def quality_finding(quality: ServedQuality, section: MonitoringSection) -> Finding:
    """Return whether served rows meet the suite of the training data, as far as it is about them."""
    kind, version = FindingKind.QUALITY, quality.version
    if quality.rows < section.min_rows:
        words = f"{quality.rows:,} rows of version {version}; quality is judged from {section.min_rows} on"
        return Finding(kind, Status.INSUFFICIENT, words, version)
    if not quality.applied:
        words = f"no expectation of the suite is about the columns that version {version} is asked"
        return Finding(kind, Status.INSUFFICIENT, words, version)
    checked = f"{quality.rows:,} rows of version {version}: {quality.applied} expectations"
    if not quality.missed:
        return Finding(kind, Status.OK, f"{checked}, all met", version)
    status = Status.ALARM if any(each.severity == _CRITICAL for each in quality.missed) else Status.WARN
    named = "; ".join(f"{each.type}({', '.join(each.columns)}): {each.reason}" for each in quality.missed[:_NAMED])
    more = f"; and {len(quality.missed) - _NAMED} more" if len(quality.missed) > _NAMED else ""
    return Finding(kind, status, f"{checked}, {len(quality.missed)} not met: {named}{more}", version)


def live_finding(live: LiveMetric, allowed: float | None, section: MonitoringSection) -> Finding:
    """Return whether a live metric is what the test split promised.

    Args:
        live: The metric.
        allowed: By how much it may be worse, in its own units; None where the promise is not known.
        section: The bounds.
    """
    kind, version = FindingKind.LIVE_METRIC, live.version
    if live.value is None or live.low is None or live.high is None:
        words = f"{live.labels} labels of version {version}, or of one class only"
        advice = f"{live.metric} is judged from {section.min_labels} labels on"
        return Finding(kind, Status.INSUFFICIENT, f"{words}; {advice}", version)
    interval = f"{live.value:.4g} ({live.low:.4g} to {live.high:.4g})"
    measured = f"{live.metric} of version {version} on {live.labels:,} labels is {interval}"
    if live.reference is None or allowed is None:
        return Finding(kind, Status.INSUFFICIENT, f"{measured}; its value on the test split is unknown", version)
    is_higher = live.direction is Direction.HIGHER
    sign = 1.0 if is_higher else -1.0
    at_best = live.high if is_higher else live.low
    status = Status.OK
    if sign * (live.value - live.reference) < -allowed:
        status = Status.ALARM if sign * (at_best - live.reference) < -allowed else Status.WARN
    words = f"{measured}; {live.reference:.4g} on the test split, and {allowed:.4g} worse is allowed"
    return Finding(kind, status, words, version)


def _met_by_users(traffic: Sequence[VersionTraffic]) -> list[VersionTraffic]:
    return [each for each in traffic if each.role != SHADOW and each.requests]


def _name(found: VersionTraffic) -> str:
    return f"version {found.version} as {found.role}" if found.role else f"version {found.version}, asked by number,"
