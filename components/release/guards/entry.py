"""What a version must have shown before it enters an environment, from stored evidence. Knows no traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from components.release.guards.evidence import (
    CONTRACT,
    GATES,
    LOAD,
    REPLAY,
    SANDBOX,
    ContractEvidence,
    GatesEvidence,
    LoadEvidence,
    ReplayEvidence,
    SandboxEvidence,
    StoredEvidence,
)
from components.release.guards.findings import Finding, at_least, at_most, none_of, number, verdict
from components.release.plan import EntryStep, ReleasePlan
from components.release.records import Slot
from components.release.rollout import RolloutEvidence
from components.types.evaluation import Verdict
from components.types.record import load
from components.types.release import Environment

E = TypeVar("E", bound=StoredEvidence)

ABSOLUTE = "absolute"
"""The registration's gate that holds the thresholds; without it there was none."""
OPTIONAL = ("champion", "slices")
"""Gates that a model's configuration may leave out; said aloud where it does."""


def entry_verdicts(plan: ReleasePlan, env: Environment, slot: Slot, evidence: RolloutEvidence) -> tuple[Verdict, ...]:
    """Return what the entry guards of an environment say of the version."""
    looks = _LOOKS.get(env)
    if looks is None:
        return (Verdict("entry", False, (f"{env} has no rollout: what passes its gates there is stable at once",)),)
    return tuple(verdict(gate, look(plan.entry, slot, evidence)) for gate, look in looks.items())


def separation(plan: ReleasePlan, env: Environment, *, actor: str | None, author: str) -> Verdict:
    """Return whether somebody may propose a version: into production not its author, where approvals are asked for."""
    if env is not Environment.PRODUCTION:
        return Verdict("proposer", True, (f"anybody with the right may propose for {env}, the author, too",))
    if plan.approvals.stable == 0:
        said = f"the plan asks for no approval, so that {author or 'the author'} may propose their own version"
        return Verdict("proposer", True, (said,))
    passed = bool(actor) and bool(author) and actor != author
    said = f"proposed by {actor or 'nobody known'}, made by {author or 'nobody known'}; they must differ"
    return Verdict("proposer", passed, (said,))


def _gates(_entry: EntryStep, _slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    record = _read(GatesEvidence, GATES, evidence)
    if isinstance(record, Finding):
        yield record
        return
    names = [each.gate for each in record.verdicts]
    yield Finding(
        ABSOLUTE in names, f"gates judged at registration: {', '.join(names) or 'none'}; one threshold needed"
    )
    for each in record.verdicts:
        said = " ".join(each.reasons)
        yield Finding(each.passed is True and bool(said), f"{each.gate}: {said or 'gave no reason'}")
    for name in OPTIONAL:
        if name not in names:
            yield Finding(True, f"the gate {name} is off in the model's configuration")
    digest = record.gate_config_digest
    yield Finding(bool(digest), f"judged under gate configuration {digest[:12] or 'unknown'}")
    yield Finding(record.suite_passed is True, f"expectation suite {'passed' if record.suite_passed else 'not passed'}")


def _clean_tree(_entry: EntryStep, _slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    record = _read(GatesEvidence, GATES, evidence)
    if isinstance(record, Finding):
        yield record
    elif record.clean is True and not record.patch_digest:
        yield Finding(True, "the version was made from a clean tree")
    else:
        patch = f" (patch {record.patch_digest[:12]})" if record.patch_digest else ""
        yield Finding(False, f"the version was made with uncommitted changes{patch}; commit them and run again")


def _sandbox(entry: EntryStep, _slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    record = _read(SandboxEvidence, SANDBOX, evidence)
    if isinstance(record, Finding):
        yield record
        return
    yield at_least("requests to a sandboxed server", record.requests, entry.sandbox_requests)
    yield none_of("failed of them", record.failed, record.requests)
    yield at_most("95th percentile", record.p95_ms, entry.latency_p95_ms, " ms")


def _contract(_entry: EntryStep, slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    record = _read(ContractEvidence, CONTRACT, evidence)
    if isinstance(record, Finding):
        yield record
        return
    said = " ".join(record.reasons)
    yield Finding(record.compatible is True and bool(said), said or "the comparison of the two APIs gave no reason")
    against, stable = (_version(each) for each in (record.against_version, slot.stable))
    yield Finding(record.against_version == slot.stable, f"compared with {against}; {stable} is stable")


def _replay(entry: EntryStep, _slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    record = _read(ReplayEvidence, REPLAY, evidence)
    if isinstance(record, Finding):
        yield record
        return
    yield at_least("replayed requests", record.requests, entry.requests)
    distinct = at_least("distinct rows among them", record.distinct, 1)
    yield Finding(distinct.passed and record.distinct <= record.requests, distinct.reason)
    yield none_of("answers unlike the offline prediction", record.unequal, record.requests)
    yield at_most("largest difference", record.largest_difference, entry.tolerance)
    yield at_most("tolerance they were compared under", record.tolerance, entry.tolerance)
    yield at_least("rows kept to ask the servers for", len(record.golden), 1)


def _load(entry: EntryStep, _slot: Slot, evidence: RolloutEvidence) -> Iterator[Finding]:
    record = _read(LoadEvidence, LOAD, evidence)
    if isinstance(record, Finding):
        yield record
        return
    yield at_least("load sustained", record.requests_per_s, entry.load_requests_per_s, " requests/s")
    yield at_least("load lasted", record.seconds, entry.load_s, " s")
    failed = at_most("failed under load", record.failed, 0)
    yield Finding(failed.passed, failed.reason)
    slowest = at_least("99th percentile under load", record.p99_ms, 0, " ms")
    yield Finding(slowest.passed, f"99th percentile under load: {number(record.p99_ms)} ms, stated only")


Look = Callable[[EntryStep, Slot, RolloutEvidence], Iterator[Finding]]

_LOOKS: Mapping[Environment, Mapping[str, Look]] = {
    Environment.STAGING: {"gates": _gates, "clean_tree": _clean_tree, "sandbox": _sandbox},
    Environment.PRODUCTION: {
        "gates": _gates,
        "clean_tree": _clean_tree,
        "contract": _contract,
        "replay": _replay,
        "load": _load,
    },
}


def _read(kind: type[E], name: str, evidence: RolloutEvidence) -> E | Finding:
    """Return a stored record that is about the version's bytes, or why there is none."""
    content = evidence.stored.get(name)
    if content is None:
        return Finding(False, f"no evidence of kind {name} was brought; `towpath promote` gathers it")
    try:
        record = load(kind, content)
    except (TypeError, ValueError) as error:
        return Finding(False, f"the evidence of kind {name} cannot be read: {error}")
    wanted = evidence.subject.digest
    if not wanted or record.product_digest != wanted:
        found = record.product_digest[:12] or "nothing"
        return Finding(
            False, f"the evidence of kind {name} is of product {found}, not of {wanted[:12] or 'a known one'}"
        )
    return record


def _version(number_or_none: int | None) -> str:
    return "nothing" if number_or_none is None else f"version {number_or_none}"
