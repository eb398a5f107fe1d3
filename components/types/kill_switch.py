"""What a kill switch says, and how it is written: a file per model beside the router snapshot. Knows no file system.

``kill/MODEL`` holds a revision, then version numbers: ``10 4 7`` gives the canary nothing up to revision 10, and
versions 4 and 7 nothing at any revision. Who writes it only ever adds, so that a switch lowers and never raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FOLDER = "kill"
EVERY_REV = 2**62

_MOST_DIGITS = 19


@dataclass(frozen=True)
class Killed:
    """For what a model's canary, or shadow, is to get nothing on one machine."""

    rev: int
    """Up to this revision, whichever version it is."""
    versions: frozenset[int] = frozenset()
    """At every revision."""

    def holds(self, rev: int, candidates: Iterable[int]) -> bool:
        """Return whether it concerns a revision that has these versions as canary or shadow."""
        return rev <= self.rev or not self.versions.isdisjoint(candidates)

    def joined(self, other: Killed) -> Killed:
        """Return one that holds wherever either does."""
        return Killed(max(self.rev, other.rev), self.versions | other.versions)

    @property
    def text(self) -> str:
        """What its file holds."""
        return " ".join(map(str, (self.rev, *sorted(self.versions)))) + "\n"


def parse_killed(text: str) -> Killed:
    """Return what a file says. One that cannot be understood holds always: whoever wrote it wanted a canary gone."""
    words = text.split()
    if not words or not all(word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS for word in words):
        return Killed(EVERY_REV)
    rev, *versions = map(int, words)
    return Killed(rev, frozenset(versions))
