"""Judge evidence: the order of the gates, and which are on. Pure; what is missing is refused.

A gate that is set to null in the configuration is absent from the result: the table never shows a green line for
something that nobody checked. So is the gate on an analysis where the training is of a kind that makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from components.evaluation.gates.analysis import analysis
from components.evaluation.gates.config import GatesSection, SlicesGate
from components.evaluation.gates.evidence import GateEvidence, NotAnalysed
from components.evaluation.gates.findings import Finding, verdict
from components.evaluation.gates.measurements import bound_evidence, latency, parity, size
from components.evaluation.gates.quality import absolute, baseline, slices
from components.evaluation.gates.versus_champion import champion
from components.types.evaluation import Verdict

Look = Callable[[], Iterable[Finding]]


def judge(evidence: GateEvidence, gates: GatesSection) -> tuple[Verdict, ...]:
    """Return one verdict per gate that is on; the model passes when all of them do."""
    looks: dict[str, Look] = {
        "evidence": partial(bound_evidence, evidence),
        "absolute": partial(absolute, evidence, gates.absolute),
    }
    if gates.baseline:
        looks["baseline"] = partial(baseline, evidence, gates.baseline)
    if gates.champion:
        looks["champion"] = partial(champion, evidence, gates.champion)
    if gates.slices or evidence.slice_columns:
        looks["slices"] = partial(slices, evidence, gates.slices or SlicesGate())
    if gates.parity:
        looks["parity"] = partial(parity, evidence, gates.parity)
    if gates.size:
        looks["size"] = partial(size, evidence, gates.size)
    if gates.latency:
        looks["latency"] = partial(latency, evidence, gates.latency)
    if not isinstance(evidence.analysis, NotAnalysed):
        looks["analysis"] = partial(analysis, evidence)
    return tuple(verdict(name, look) for name, look in looks.items())


def passed(verdicts: Iterable[Verdict]) -> bool:
    """Return whether every verdict passed; no verdicts are no pass."""
    found = list(verdicts)
    return bool(found) and all(each.passed for each in found)
