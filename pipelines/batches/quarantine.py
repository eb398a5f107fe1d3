"""What was decided of single batches, per model: held, released or dropped. Judges nothing.

What runs found stands in the state folder and belongs to the machine: where it is lost, a bad batch is judged again and
found bad again. What people decided stands in ``data/<model>/batches.json``, in git: it holds in every checkout.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from components.data.batch_plan import Decide
from components.data.snapshot import source_file
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


def decisions_file(model: str, root: Path = Path()) -> Path:
    """Return where it stands what people decided of a model's batches."""
    return source_file(model, root).with_name("batches.json")


def read_quarantine(model: str, root: Path = Path()) -> Quarantine:
    """Return what runs found and people decided of a model's batches.

    Raises:
        FaultError: a record is damaged.
    """
    found, decided = _found(model, root), _decided(decisions_file(model, root))
    return Quarantine((*(each for each in found.entries if _stands(each, decided)), *_standing(found, decided)))


def change_quarantine(model: str, change: Callable[[Quarantine], Quarantine], root: Path = Path()) -> Quarantine:
    """Change what runs found while nobody else does, and return it with what people decided.

    Raises:
        FaultError: a record is damaged.
    """
    with _locked(model, root):
        before = _found(model, root)
        after = change(before)
        if after != before:
            write_json(_path(model, root), after)
        return read_quarantine(model, root)


def put_decision(model: str, entry: Entry, root: Path = Path()) -> None:
    """Note what a person decided, instead of what was found or decided of the same batch before.

    Raises:
        FaultError: a record is damaged.
    """
    with _locked(model, root):
        found, path = _found(model, root), decisions_file(model, root)
        write_json(path, _decided(path).put(entry))
        kept = tuple(e for e in found.entries if (e.name, e.version) != (entry.name, entry.version))
        if kept != found.entries:
            write_json(_path(model, root), Quarantine(kept))


def add_decisions(model: str, source: Path, target: Path) -> None:
    """Lay what people decided in one checkout over what they decided in another; of one batch the newest word holds.

    Raises:
        FaultError: a record is damaged.
    """
    theirs, path = _decided(decisions_file(model, source)), decisions_file(model, target)
    ours = _decided(path)
    before = {(each.name, each.version): each.at for each in ours.entries}
    newer = [each for each in theirs.entries if each.at > before.get((each.name, each.version), "")]
    if newer:
        write_json(path, ours.put(*newer))


def _stands(found: Entry, decided: Quarantine) -> bool:
    """Whether a finding holds beside what people say: a drop is final, and a release until a run knows better."""
    word = decided.find(found.name, found.version)
    return word is None or (word.decision is Decision.RELEASED and found.at >= word.at)


def _standing(found: Quarantine, decided: Quarantine) -> Iterator[Entry]:
    for each in decided.entries:
        finding = found.find(each.name, each.version)
        if finding is None or not _stands(finding, decided):
            yield each


def _found(model: str, root: Path) -> Quarantine:
    path = _path(model, root)
    try:
        return read(Quarantine, path)
    except FileNotFoundError:
        return Quarantine()
    except ValueError as error:
        raise FaultError(f"{path} is damaged ({error}); delete it: what is bad will be found bad again") from error


def _decided(path: Path) -> Quarantine:
    try:
        return read(Quarantine, path)
    except FileNotFoundError:
        return Quarantine()
    except ValueError as error:
        raise FaultError(f"{path} is damaged ({error}); people's decisions are in it: restore it from git") from error


@contextmanager
def _locked(model: str, root: Path) -> Iterator[None]:
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(root / LOCKS / f"quarantine-{model}.lock"):
        yield


def _path(model: str, root: Path) -> Path:
    return root / QUARANTINE / f"{model}.json"
