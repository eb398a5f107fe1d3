"""What the judges and workers know, as Prometheus families. Knows no gateway; imported only when scraped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from components.types.judging import JudgeReport, WorkerStatus
from components.types.release import Role

AVERAGE = "average"
"""The kind under which the e-value that decides is shown."""


def worker_families(workers: Sequence[WorkerStatus]) -> Iterator[Metric]:
    """Yield what each worker serves, and what it takes of the machine."""
    revs = _gauge("served_rev", "The slot's revision that is served completely", "model", "worker")
    heard = _gauge("worker_heard_seconds", "Since the worker last said that it lives", "worker")
    memory = _gauge("worker_memory_bytes", "Resident memory", "worker")
    processor = CounterMetricFamily("towpath_gateway_worker_cpu_seconds", "Processor time used", labels=["worker"])
    for each in workers:
        worker = str(each.worker)
        for model, rev in sorted(each.revs.items()):
            revs.add_metric([model, worker], rev)
        heard.add_metric([worker], each.alive_s)
        try:
            process = psutil.Process(each.pid)
            times = process.cpu_times()
            memory.add_metric([worker], process.memory_info().rss)
            processor.add_metric([worker], times.user + times.system)
        except psutil.Error:  # it is gone
            continue
    yield from (revs, heard, memory, processor)


def rollout_families(reports: Mapping[str, JudgeReport]) -> Iterator[Metric]:
    """Yield what the judges know of every rollout."""
    yield from _verdicts(reports)
    yield from _arms(reports)
    yield from _shadows(reports)


def _verdicts(reports: Mapping[str, JudgeReport]) -> Iterator[Metric]:
    weight = _gauge("canary_weight", "The canary's share of the users in effect, in percent", "model", "version")
    evidence = _gauge("e_value", "Evidence against the canary or shadow; aborted at 100", "model", "version", "kind")
    stopped = _gauge("rollout_stopped", "1 where it spoke: alarm, breaker, or a person", "model", "by")
    drift = _gauge("prediction_psi", "How far its predictions are from stable's", "model", "version")
    split = _gauge("split_p_value", "How likely the observed split of users is", "model", "version")
    for model, report in sorted(reports.items()):
        for by, spoke in (("alarm", report.alarm), ("breaker", report.breaker), ("person", report.killed)):
            stopped.add_metric([model, by], float(bool(spoke)))
        challenger = report.canary or report.shadow
        if challenger is None:
            continue
        labels = [model, str(challenger.version)]
        if report.canary is not None:
            weight.add_metric(labels, report.weight)
        for kind, value in sorted({**report.e_values, AVERAGE: report.e_value}.items()):
            evidence.add_metric([*labels, kind], value)
        if report.drift.psi is not None:
            drift.add_metric(labels, report.drift.psi)
        if report.split_p is not None:
            split.add_metric(labels, report.split_p)
    yield from (weight, evidence, stopped, drift, split)


def _arms(reports: Mapping[str, JudgeReport]) -> Iterator[Metric]:
    bad = _gauge("bad_events", "At most one per user and kind, in this revision", "model", "version", "role", "kind")
    users = _gauge("users", "Distinct users, in this revision", "model", "version", "role")
    for model, report in sorted(reports.items()):
        for role, arm in ((Role.STABLE, report.stable), (Role.CANARY, report.canary), (Role.SHADOW, report.shadow)):
            if arm is not None:
                for kind, count in sorted(arm.bad.items()):
                    bad.add_metric([model, str(arm.version), role.value, kind], count)
        for role, answering in ((Role.STABLE, report.stable), (Role.CANARY, report.canary)):
            if answering is not None:
                users.add_metric([model, str(answering.version), role.value], answering.users)
    yield from (bad, users)


def _shadows(reports: Mapping[str, JudgeReport]) -> Iterator[Metric]:
    mirrored = _gauge("mirrored_requests", "Requests that the shadow answered too", "model", "version")
    dropped = _gauge("mirror_dropped_requests", "Requests not mirrored: it was busy", "model", "version")
    differing = _gauge("mirror_differing_requests", "Requests with another prediction", "model", "version")
    for model, report in sorted(reports.items()):
        if (shadow := report.shadow) is not None:
            labels = [model, str(shadow.version)]
            mirrored.add_metric(labels, shadow.mirrored)
            dropped.add_metric(labels, shadow.dropped)
            differing.add_metric(labels, shadow.differing)
    yield from (mirrored, dropped, differing)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"towpath_gateway_{name}", text, labels=labels)
