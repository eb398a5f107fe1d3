"""What one broken copy came to. Knows no break."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from components.types.evaluation import Verdict

CONTROL = "control"


@dataclass(frozen=True)
class Proof:
    """Whether one broken copy was refused by the gate that is there for it, and for the right reason."""

    name: str
    """The break, or `CONTROL` for the copy that was left whole and has to pass."""
    broken: str
    """What was done to the copy."""
    refused: bool
    gate: str
    """Who refused it; empty when nobody did."""
    reason: str
    """Why, or why this says nothing."""

    @property
    def as_expected(self) -> bool:
        """Whether the gates did what they are for."""
        return self.refused is (self.name != CONTROL)


@dataclass(frozen=True)
class Expectation:
    """Who has to refuse a break, and a phrase that only the right reason has."""

    gates: tuple[str, ...]
    phrase: str = ""


def from_verdicts(name: str, broken: str, verdicts: Iterable[Verdict], expected: Expectation) -> Proof:
    """Return whether one of the expected gates refused for the expected reason; other refusals prove nothing."""
    found = {each.gate: each for each in verdicts}
    for gate in expected.gates:
        if gate in found and not found[gate].passed:
            for reason in found[gate].reasons:
                if expected.phrase in reason:
                    return Proof(name, broken, refused=True, gate=gate, reason=reason)
    if missing := [gate for gate in expected.gates if gate not in found]:
        return Proof(name, broken, False, "", f"the gate {missing[0]} is off in the configuration")
    return Proof(name, broken, False, "", f"no gate refused it; {', '.join(expected.gates)} should have")


def control(verdicts: Iterable[Verdict]) -> Proof:
    """Return whether the whole copy passed every gate; where it does not, a refusal of a broken one says little."""
    found = list(verdicts)
    against = [each for each in found if not each.passed]
    gates, reason = ", ".join(each.gate for each in found), f"all {len(found)} gates passed"
    if against or not found:
        gates, reason = against[0].gate if against else "", against[0].reasons[0] if against else "nothing was judged"
    refused = bool(against) or not found
    return Proof(CONTROL, "nothing: the candidate as it is", refused, gates if refused else "", reason)
