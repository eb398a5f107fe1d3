"""What was decided of single batches, per model, in the state folder: held, released or dropped. Judges nothing.

It belongs to the machine, not to the data: where it is lost, a bad batch is judged again and found bad again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from components.data.batch_plan import Decide
from components.errors import FaultError
from components.stage.files import write_json
from components.types.batches import Decision
from components.types.record import read
from pipelines.state import LOCKS, STATE

QUARANTINE = STATE / "batches"


@dataclass(frozen=True)
class Entry:
    """What was decided of one version of one batch."""

    name: str
    version: str
    decision: Decision
    reasons: tuple[str, ...] = ()
    """Why it is held, or why somebody decided otherwise."""
    judged_by: str = ""
    """Digest of the suite and the configuration that it did not meet; another one judges anew."""
    by: str = ""
    """Who decided; empty for a run."""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class Quarantine:
    """All that was decided of a model's batches."""

    entries: tuple[Entry, ...] = ()

    def find(self, name: str, version: str | None = None) -> Entry | None:
        """Return what was decided of a batch, of one version or of any."""
        found = [each for each in self.entries if each.name == name and version in (None, each.version)]
        return found[-1] if found else None

    def decides(self, judged_by: str) -> Decide:
        """Return what says what to do with a batch; what was held by other rules is judged again."""

        def decide(name: str, version: str) -> Decision | None:
            entry = self.find(name, version)
            if entry is None or (entry.decision is Decision.HELD and entry.judged_by != judged_by):
                return None
            return entry.decision

        return decide

    def put(self, *entries: Entry) -> Quarantine:
        """Return it with these entries, each instead of an earlier one of the same batch."""
        replaced = {(each.name, each.version) for each in entries}
        kept = [each for each in self.entries if (each.name, each.version) not in replaced]
        return Quarantine((*kept, *entries))

    def only_held(self, batches: Collection[tuple[str, str]]) -> Quarantine:
        """Return it with these batches held and no others; what people decided stays."""
        return Quarantine(
            tuple(e for e in self.entries if e.decision is not Decision.HELD or (e.name, e.version) in batches)
        )

    @property
    def held(self) -> Mapping[str, Entry]:
        """What is held, by the batch's name."""
        return {each.name: each for each in self.entries if each.decision is Decision.HELD}


def read_quarantine(model: str, root: Path = Path()) -> Quarantine:
    """Return what was decided of a model's batches.

    Raises:
        FaultError: the record is damaged.
    """
    path = _path(model, root)
    try:
        return read(Quarantine, path)
    except FileNotFoundError:
        return Quarantine()
    except ValueError as error:
        raise FaultError(f"{path} is damaged ({error}); delete it: what is bad will be found bad again") from error


def change_quarantine(model: str, change: Callable[[Quarantine], Quarantine], root: Path = Path()) -> Quarantine:
    """Change the record while nobody else does, and return it.

    Raises:
        FaultError: the record is damaged.
    """
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCKS / f"quarantine-{model}.lock"):
        before = read_quarantine(model, root)
        after = change(before)
        if after != before:
            write_json(_path(model, root), after)
    return after


def _path(model: str, root: Path) -> Path:
    return root / QUARANTINE / f"{model}.json"
