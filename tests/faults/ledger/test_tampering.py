"""Every single edit, deletion, swap and truncation of the audit is found; and an older ledger that was restored."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Boolean, Integer, Table, select

from components.release import chain, tables
from components.release.ledger import Ledger
from components.release.records import Approval, Decision, Digests, Evidence, Placement, RecordedVersion, Transition
from components.types.record import canonical_json
from components.types.release import Environment

MODEL, ENV, OTHER = "taxi", Environment.PRODUCTION, Environment.STAGING
EVENTS = 6 if os.environ.get("TOWPATH_FULL") == "1" else 3
NOON = "2026-01-05T12:00:00.000000+00:00"


class Audited:
    """A ledger with a chain of promotions, each with evidence, an approval and a decision."""

    def __init__(self, url: str) -> None:
        self.url, self.ledger = url, Ledger(url)
        self.ledger.slots()
        self.connection = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).connect()
        for number in range(1, EVENTS + 2):
            for model in (MODEL, "bus"):
                self.ledger.record_version(
                    RecordedVersion(model, number, f"{number:064x}", f"{100 + number:064x}", "onnx", "ada")
                )
        for number in range(1, EVENTS + 1):
            self.promote(number)
        self.kept = self._rows()

    def promote(self, number: int) -> None:
        slot, digest = self.ledger.slot(MODEL, ENV), f"{number:064x}"
        gates = Evidence(MODEL, ENV, number, digest, "gates", slot.rev, canonical_json({"n": number}), NOON, "ada")
        word = Approval(
            MODEL, ENV, number, digest, "stable", slot.rev, "grace", Decision.APPROVE, "well", NOON, "2026-01-06"
        )
        content = {
            "target": "stable",
            "evidence": [gates.digest],
            "approvals": [word],
            "version": self.ledger.version(MODEL, number),
        }
        decision = replace(gates, kind="decision", content=canonical_json(content))
        self.ledger.add_evidence(gates)
        self.ledger.add_approval(word)
        self.ledger.add_evidence(decision)
        digests = Digests(digest, f"{100 + number:064x}", "0c0ffee", "1" * 64, "2" * 64, decision.digest)
        to = Placement(stable=number, previous=slot.stable)
        self.ledger.commit(Transition(MODEL, ENV, slot.rev, number, "stable", to, digests, "grace", "approved"))

    @property
    def findings(self) -> tuple[str, ...]:
        return self.ledger.verify(MODEL, ENV).findings

    def tamper(self, *statements: Any) -> None:
        with self.connection.begin():
            for statement in statements:
                self.connection.execute(statement)

    def mend(self) -> None:
        """Put every row back as it was, and check that nothing is found any more."""
        with self.connection.begin():
            for table in (tables.slot, tables.event, tables.approval, tables.evidence, tables.version):
                self.connection.execute(table.delete())
            for table in (tables.version, tables.evidence, tables.approval, tables.event, tables.slot):
                self.connection.execute(table.insert(), self.kept[table.name])
        assert self.findings == ()

    def put_back(self, table: Table, row: dict[str, Any], **edited: Any) -> None:
        """Put one row back as it was."""
        self.tamper(table.delete().where(key(table, {**row, **edited})), table.insert().values(**row))

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        named = (tables.version, tables.evidence, tables.approval, tables.event, tables.slot)
        with self.connection.begin():
            return {table.name: [row._asdict() for row in self.connection.execute(select(table))] for table in named}


@pytest.fixture
def audited(ledger_url: str) -> Iterator[Audited]:
    audited = Audited(ledger_url)
    assert audited.findings == ()
    assert audited.ledger.verify(MODEL, ENV).unbacked == ()
    with audited.connection:
        yield audited


def key(table: Table, row: dict[str, Any]) -> Any:
    return sqlalchemy.and_(*(column == row[column.name] for column in table.primary_key.columns))


def others(column: Any, value: Any, row: dict[str, Any]) -> Iterator[Any]:
    """Give values that a forger might put in place of one; those that the database itself would refuse are no edit."""
    name = column.name
    if name == "model":
        yield "bus"
    elif name == "env":
        yield OTHER.value
    elif name in {"version", "stable", "previous", "canary", "shadow", "candidate"}:
        yield EVENTS + 1
    elif isinstance(column.type, Boolean):
        yield not value
    elif isinstance(column.type, Integer):
        yield value + 50
    elif name in {"from_slot", "to_slot"}:
        yield canonical_json(replace(chain.placement_of(value), stable=EVENTS + 1))
        yield "no placement"
        yield json.dumps(json.loads(value))
    elif name == "content":
        yield "{}"
    elif name == "decision":
        yield "reject"
    elif name == "state":
        yield from ("rejected", "quarantined")
    else:
        yield "f" * min(64, len(value) or 1)


UNPROVED = {"id"}
"""The number of a row says only in which order it came."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "table", [tables.event, tables.slot, tables.evidence, tables.approval, tables.version], ids=str
)
def test_every_edit_of_every_column_of_every_row_is_found(audited: Audited, table: Table) -> None:
    missed, edits = [], 0
    rows = [row for row in audited.kept[table.name] if row["model"] == MODEL and row.get("version") != EVENTS + 1]
    for row in rows:
        for column in (each for each in table.columns if each.name not in UNPROVED):
            if table is tables.version and column.name in {"model", "version"}:
                continue  # every event refers to it: only a database without foreign keys would let it be edited
            for value in others(column, row[column.name], row):
                edits += 1
                audited.tamper(table.update().where(key(table, row)).values({column.name: value}))
                if not audited.findings:
                    missed.append(f"{table.name}.{column.name} of {row} set to {value}")
                audited.put_back(table, row, **{column.name: value})
        assert audited.findings == (), "put back as it was, nothing is found"
    assert missed == []
    assert edits >= len(rows) * (len(table.columns) - 3)
    print(f"{edits} edits of {table.name}, every one found")


def test_every_single_deletion_is_found(audited: Audited) -> None:
    for table in (tables.event, tables.slot, tables.approval, tables.evidence):
        for row in audited.kept[table.name]:
            audited.tamper(table.delete().where(key(table, row)))
            assert audited.findings, f"{table.name} {row} was deleted"
            audited.put_back(table, row)
    assert audited.findings == ()


def test_every_swap_of_neighbours_is_found(audited: Audited) -> None:
    table = tables.event
    for rev in range(1, EVENTS):
        audited.tamper(*(table.update().where(table.c.rev == old).values(rev=new) for old, new in swapped(rev)))
        assert any("does not follow the event stored before it" in finding for finding in audited.findings)
        audited.mend()


def swapped(rev: int) -> list[tuple[int, int]]:
    return [(rev, 900), (rev + 1, rev), (900, rev + 1)]


def test_every_truncation_is_found_by_the_slot_and_with_its_slot_by_an_exported_head(audited: Audited) -> None:
    table, exported = tables.event, audited.ledger.export(MODEL, ENV)
    for kept in range(EVENTS):
        audited.tamper(table.delete().where(table.c.rev > kept))
        assert any(f"its newest event is {kept}" in finding for finding in audited.findings)
        left = chain.placement_of(exported.events[kept - 1].to_slot) if kept else Placement()
        audited.tamper(tables.slot.update().values(rev=kept, **vars(left)))
        assert audited.findings == (), "with care, nothing inside the ledger tells of it"
        anchored = audited.ledger.verify(MODEL, ENV, exported.head)
        assert any("which an exported head names, is missing" in finding for finding in anchored.findings)
        audited.mend()
        assert audited.ledger.verify(MODEL, ENV, exported.head).intact


def test_a_chain_that_was_forged_anew_is_found_by_every_head_that_was_ever_exported(audited: Audited) -> None:
    """Whoever can write every table can forge a whole history; what was kept elsewhere tells."""
    events = audited.ledger.events(MODEL, ENV)
    forged, last = [], None
    for event in events:
        prev_hash = last.hash if last else event.prev_hash
        last = chain.sealed(replace(event, prev_hash=prev_hash, actor="eve"))
        forged.append(last)
    audited.tamper(
        *(
            tables.event.update()
            .where(tables.event.c.rev == event.rev)
            .values(actor=event.actor, prev_hash=event.prev_hash, hash=event.hash)
            for event in forged
        )
    )
    assert audited.findings == ()
    for rev in range(1, EVENTS + 1):
        head = replace(audited.ledger.export(MODEL, ENV).head, rev=rev, hash=events[rev - 1].hash)
        findings = audited.ledger.verify(MODEL, ENV, head).findings
        assert findings == (f"event {rev} is not the one that an exported head names",)


def test_an_older_ledger_that_was_restored_is_told_by_the_exported_head(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    audited = Audited(f"sqlite:///{path}")
    audited.connection.exec_driver_sql(f"VACUUM INTO '{tmp_path / 'backup.db'}'")
    audited.connection.close()
    older = audited.ledger.export(MODEL, ENV).head
    audited.promote(EVENTS + 1)
    head = audited.ledger.export(MODEL, ENV).head
    for each in tmp_path.glob("ledger.db*"):
        each.unlink()
    shutil.copy(tmp_path / "backup.db", path)
    restored = Ledger(f"sqlite:///{path}")
    assert restored.verify(MODEL, ENV).intact
    assert restored.verify(MODEL, ENV, older).intact
    (finding,) = restored.verify(MODEL, ENV, head).findings
    assert finding == (
        f"event {EVENTS + 1}, which an exported head names, is missing: the newest events were cut off, "
        "or an older ledger was restored"
    )
    assert restored.slot(MODEL, ENV).rev < head.rev, "so that everything that is fenced by revision refuses it"
