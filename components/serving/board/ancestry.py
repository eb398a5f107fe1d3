"""Which boards belong to one candidate's way through the revisions of a slot: their folders' names say it. Opens none.

A folder is named REVISION-KEY-VERSIONS; the versions are those that are judged there, canary and shadow.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

from components.serving.board.layout import LAYOUT
from components.types.record import canonical_json
from components.types.release import TrafficSplit

_NOBODY = "steady"


def candidates(split: TrafficSplit) -> frozenset[int]:
    """Return the versions that are judged."""
    return frozenset(version for version in (split.canary, split.shadow) if version is not None)


def name_of(split: TrafficSplit) -> str:
    """Return a name that another split never has, also where a ledger was restored and counts its revisions anew."""
    key = blake2b(canonical_json(split).encode(), digest_size=4).hexdigest()
    return f"{split.rev}-{LAYOUT}{key}-{'+'.join(map(str, sorted(candidates(split)))) or _NOBODY}"


def rev_of(path: Path) -> int:
    """Return a board's revision."""
    return int(path.name.split("-", 1)[0])


def boards_in(folder: Path) -> list[Path]:
    """Return the folders of all of a model's boards."""
    return list(folder.glob("[0-9]*-*"))


def ancestors(boards: Iterable[Path], split: TrafficSplit) -> list[Path]:
    """Return the boards on which this split's candidate was judged before, newest first.

    They go back to the first revision that had it not: a version that was taken out and released anew starts anew.
    """
    wanted, name = candidates(split), name_of(split)
    found: list[Path] = []
    earlier = sorted({path for path in boards if rev_of(path) <= split.rev and path.name != name}, key=rev_of)
    for _, together in groupby(reversed(earlier), key=rev_of):
        same = [path for path in together if not wanted.isdisjoint(_candidates_in(path))]
        if not same:
            break
        found += same
    return found


def _candidates_in(path: Path) -> frozenset[int]:
    return frozenset(int(version) for version in path.name.split("-")[-1].split("+") if version.isdecimal())
