"""The watermark against the listing: what is new, late, corrected, held, dropped, gone, and what was read before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.batch_listing import partition_values
from components.data.batch_plan import BatchPlan, Listed, plan_batches
from components.data.config import DataSection, FilesSource, lookback_s
from components.data.snapshot import FileEntry
from components.types.batches import Batch, BatchedSource, Decision, StoredFile, Unit

ROOT = Path(__file__).resolve().parents[3]


def batch(name: str, version: str = "1") -> Batch:
    return Batch(name, version, (), rows=1)


def listed(*names: str, version: str = "1") -> list[Listed]:
    return [Listed(name, version, ()) for name in names]


def plan(
    good: list[Batch],
    there: list[Listed],
    pending: list[Batch] = [],  # noqa: B006 - never changed
    decided: Mapping[str, Decision] = {},
) -> BatchPlan:
    return plan_batches(good, pending, there, lambda name, version: decided.get(f"{name}@{version}"))


def test_what_the_dataset_holds_is_kept_and_what_is_behind_it_is_new() -> None:
    found = plan([batch("a"), batch("b")], listed("a", "b", "c"))
    assert [each.name for each in found.kept] == ["a", "b"]
    assert [(each.listed.name, each.late, each.corrects) for each in found.candidates] == [("c", False, None)]


def test_what_stands_before_the_newest_is_late_and_a_first_look_has_nothing_late() -> None:
    assert [each.late for each in plan([batch("b")], listed("a", "b", "c")).candidates] == [True, False]
    assert not any(each.late for each in plan([], listed("a", "b")).candidates)


def test_the_same_name_with_another_version_is_a_correction_and_the_old_one_stays_until_it_is_read() -> None:
    found = plan([batch("a")], listed("a", version="2"))
    assert [(each.corrects, each.late) for each in found.candidates] == [("1", False)]
    assert [each.version for each in found.kept] == ["1"]


def test_what_is_held_is_left_out_until_its_version_changes() -> None:
    decided = {"b@1": Decision.HELD}
    found = plan([batch("a")], listed("a", "b"), decided=decided)
    assert ([each.name for each in found.held], found.candidates) == (["b"], ())
    assert [each.listed.name for each in plan([batch("a")], listed("b", version="2"), decided=decided).candidates] == [
        "b"
    ]


def test_a_bad_correction_is_held_and_the_good_version_stays() -> None:
    found = plan([batch("a")], listed("a", version="2"), decided={"a@2": Decision.HELD})
    assert ([each.version for each in found.kept], len(found.held)) == (["1"], 1)


def test_what_is_dropped_leaves_the_dataset_and_is_not_read() -> None:
    decided = {"a@1": Decision.DROPPED, "b@1": Decision.DROPPED}
    found = plan([batch("a")], listed("a", "b"), decided=decided)
    assert (found.kept, found.candidates, found.dropped) == ((), (), ("a", "b"))


def test_what_is_released_is_read_without_the_suite() -> None:
    (found,) = plan([], listed("a"), decided={"a@1": Decision.RELEASED}).candidates
    assert found.released


def test_what_is_gone_from_the_source_stays() -> None:
    found = plan([batch("a"), batch("b")], listed("b"))
    assert ([each.name for each in found.kept], found.gone) == (["a", "b"], ("a",))


def test_what_was_read_and_never_validated_is_read_again_or_kept_when_it_cannot_be() -> None:
    found = plan([batch("a")], listed("a", "b"), pending=[batch("b"), batch("c")])
    assert [each.name for each in found.kept] == ["a", "c"]
    assert [each.listed.name for each in found.candidates] == ["b"]


@pytest.mark.parametrize(
    ("decision", "kept", "waiting"),
    [(None, ["c"], []), (Decision.RELEASED, ["c"], []), (Decision.HELD, [], ["c"]), (Decision.DROPPED, [], [])],
)
def test_what_was_read_and_is_gone_is_kept_or_waits_in_quarantine_and_only_a_drop_loses_it(
    decision: Decision | None, kept: list[str], waiting: list[str]
) -> None:
    found = plan([], [], pending=[batch("c")], decided={"c@1": decision} if decision else {})
    assert ([each.name for each in found.kept], [each.name for each in found.waiting]) == (kept, waiting)
    assert [each.name for each in found.held] == waiting, "its entry in the quarantine is erased"


def test_what_waits_waits_also_while_it_is_listed_and_another_version_takes_its_place() -> None:
    decided = {"c@1": Decision.HELD}
    listed_too = plan([], listed("c"), pending=[batch("c")], decided=decided)
    assert ([each.name for each in listed_too.waiting], len(listed_too.held)) == (["c"], 1)
    corrected = plan([], listed("c", version="2"), pending=[batch("c")], decided=decided)
    assert (corrected.waiting, corrected.held, len(corrected.candidates)) == ((), (), 1)


@pytest.mark.parametrize("was_good", [True, False])
@pytest.mark.parametrize(
    ("left", "is_kept"), [({"x": "1"}, True), ({"x": "2"}, False), ({"x": "1", "z": "3"}, False), ({"x": None}, False)]
)
def test_a_folder_whose_files_expire_one_by_one_stays_as_it_was_taken(
    left: dict[str, str | None], is_kept: bool, was_good: bool
) -> None:
    taken = Batch("a", "1", (StoredFile("x", "1", 1), StoredFile("y", "2", 1)), rows=2)
    now = Listed("a", "2", tuple(FileEntry(path, 1, digest) for path, digest in left.items()))
    found = plan([taken] if was_good else [], [now], pending=[] if was_good else [taken])
    assert (found.candidates == ()) is is_kept
    assert (taken in found.kept) is (is_kept or was_good)
    assert found.gone == ()


names = st.sets(st.sampled_from("abcdef"))
decisions = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(Decision))


@given(good=names, pending=names, there=names, decided=decisions)
def test_every_batch_is_in_one_place_at_most_and_none_is_lost_but_by_a_drop(
    good: set[str], pending: set[str], there: set[str], decided: dict[str, Decision]
) -> None:
    found = plan(
        [batch(name) for name in sorted(good)],
        listed(*sorted(there)),
        pending=[batch(name) for name in sorted(pending - good)],
        decided={f"{name}@1": decision for name, decision in decided.items()},
    )
    kept, read = [each.name for each in found.kept], [each.listed.name for each in found.candidates]
    assert kept == sorted(set(kept))
    assert not set(kept) & set(read)
    held, waiting = [each.name for each in found.held], [each.name for each in found.waiting]
    dropped = {name for name, decision in decided.items() if decision is Decision.DROPPED}
    assert (good | pending | there) - dropped == set(kept) | set(read) | set(held)
    assert not dropped & {*kept, *read, *held}
    assert set(waiting) == (pending - good) & set(held), "bytes that were read are pruned"
    assert len(held) == len(set(held))


def test_the_watermark_is_what_was_not_new_and_what_was_replaced() -> None:
    source = BatchedSource(
        "files", "*.csv", Unit.FILE, (batch("a"), batch("b", "2"), batch("c")), ("b", "c"), (batch("b", "1"),)
    )
    assert [(each.name, each.version) for each in source.good] == [("a", "1"), ("b", "1")]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("lake/day=2026-01-31/hour=07/a.parquet", {"day": "2026-01-31", "hour": "07"}),
        ("s3://bucket/city=S%C3%A3o%20Paulo/a.csv", {"city": "São Paulo"}),
        ("lake/day=__HIVE_DEFAULT_PARTITION__/a.csv", {"day": None}),
        ("lake/plain/a=b.csv", {}),
    ],
)
def test_partitions_say_columns_as_hive_writes_them(path: str, values: dict[str, str | None]) -> None:
    assert partition_values(path) == values


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("2d", 172_800), ("2 days", None), ("2", None)]
)
def test_a_lookback_is_a_time_with_its_unit(text: str, seconds: float | None) -> None:
    assert lookback_s(text) == seconds


FILES = {"kind": "files", "path": "a/*.csv", "batches": "file"}
SQL = {"kind": "sql", "url": "sqlite:///a.db", "query": "SELECT 1", "batches": "watermark", "watermark": "t"}


@pytest.mark.parametrize(
    ("source", "id_column", "words"),
    [
        ({**FILES, "path": "a.csv"}, "id", "`batches` needs a pattern in `path`"),
        ({**FILES, "path": "https://example.org/*.csv"}, "id", "a web server lists none"),
        ({**FILES, "batches": "day"}, "id", "'file' or 'partition'"),
        (FILES, None, "`source.batches` needs `id`"),
        ({**SQL, "watermark": None}, "id", "needs `watermark`"),
        ({**SQL, "lookback": "2 days"}, "id", "such as 90s, 15m, 36h, 2d"),
        ({**SQL, "lookback": -1}, "id", "such as 90s, 15m, 36h, 2d"),
        ({**SQL, "batches": None, "lookback": 3}, "id", "`lookback` needs `batches: watermark`"),
    ],
)
def test_mistakes_in_the_configuration_are_said_in_a_sentence(
    source: dict[str, object], id_column: str | None, words: str
) -> None:
    with pytest.raises(ValueError, match="1 validation error") as error:
        DataSection.model_validate({"source": source, "id": id_column, "label": "y"})
    assert words in str(error.value)


def test_a_run_of_a_source_without_batches_imports_nothing_for_them() -> None:
    code = (
        "import sys, pipelines.run, pipelines.batches.telling\n"
        "print(sorted({'polars', 'pyarrow', 'numpy', 'great_expectations', 'sqlalchemy', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_source_without_batches_is_read_as_a_whole() -> None:
    section = DataSection.model_validate({"source": {"kind": "files", "path": "a.csv"}, "label": "y"})
    assert section.unit is None
    assert isinstance(section.source, FilesSource)
