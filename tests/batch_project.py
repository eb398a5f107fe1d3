"""A project whose source is incremental: nights of looking, ingesting and validating, with DVC's own record of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from components.data.batch_source import read_batched
from components.errors import TowpathError
from components.types.batches import BatchedSource
from components.validation.stage import validate
from pipelines.batches.intake import hold_new, take_in
from pipelines.batches.quarantine import Quarantine, read_quarantine
from pipelines.outcome import Intake
from tests.data_project import MODEL, DataProject

COLUMNS = {"id": "int64", "x": "float64", "y": "string"}
PIPELINE = {
    "stages": {
        "ingest": {
            "foreach": {MODEL: {}},
            "do": {"cmd": "ingest", "deps": ["data/${key}/source.json"], "outs": ["data/${key}/dataset"]},
        },
        "validate": {
            "foreach": {MODEL: {}},
            "do": {"cmd": "validate", "deps": ["data/${key}/dataset"], "outs": ["out/${key}/validation"]},
        },
    }
}


def csv(*rows: tuple[int, float | str, str]) -> str:
    """Return a CSV file of rows of id, x and label."""
    return "id,x,y\n" + "".join(f"{id_},{x},{y}\n" for id_, x, y in rows)


def rows(first: int, last: int, x: float = 0.5) -> str:
    """Return a good CSV file with the ids from `first` to `last`."""
    return csv(*((id_, x, "ab"[id_ % 2]) for id_ in range(first, last + 1)))


@dataclass
class BatchProject(DataProject):
    """One model, `MODEL`, whose source is looked at every night."""

    def set_up(self, source: dict[str, Any], columns: dict[str, str] | None = None, **section: Any) -> None:
        """Make the project DVC's, with a suite: x lies between 0 and 1."""
        from dvc.repo import Repo

        if not (self.root / ".dvc").exists():
            with Repo.init(str(self.root), no_scm=True):
                pass
            self.write("dvc.yaml", json.dumps(PIPELINE))
        self.suite(columns=columns)
        self.configure(source, id="id", label="y", **section)

    def suite(self, highest: float = 1.0, columns: dict[str, str] | None = None) -> None:
        """Write the suite: x lies between 0 and `highest`, and at least two rows in the whole."""
        bounds = {"column": "x", "min_value": 0, "max_value": highest}
        expectations = [
            {"type": "expect_column_values_to_be_between", "kwargs": bounds},
            {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "x", "max_value": 0.8}},
            {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 3}},
        ]
        meta = {"towpath": {"columns": columns or COLUMNS, "leak_bound": 1.0}}
        self.write(
            f"data/{MODEL}/expectations.json", json.dumps({"name": MODEL, "expectations": expectations, "meta": meta})
        )

    def look(self) -> Intake:
        """Look at the source."""
        intake = take_in(MODEL, self.section, self.root)
        assert intake is not None
        return intake

    def make(self) -> None:
        """Ingest what was chosen, and validate it, as DVC's stages do; a refusal leaves DVC's record as it was."""
        self.ingest()
        self.record("ingest")
        try:
            validate(MODEL, self.root)
        except TowpathError as error:
            hold_new(MODEL, self.section, str(error), self.root)
            raise
        self.record("validate")

    def night(self) -> Intake:
        """Look at the source, and make the dataset unless there is nothing good and new."""
        intake = self.look()
        if not intake.is_refused:
            self.make()
        return intake

    @property
    def chosen(self) -> BatchedSource:
        """What ``source.json`` says."""
        return read_batched(MODEL, self.root)[0]

    @property
    def quarantine(self) -> Quarantine:
        """What was decided of batches."""
        return read_quarantine(MODEL, self.root)

    def ids(self) -> list[int]:
        """The ids in the dataset, in order."""
        return self.column("id")

    def x(self) -> dict[int, float]:
        """The values of x in the dataset, by id."""
        return dict(zip(self.ids(), self.column("x"), strict=True))

    def record(self, step: str) -> None:
        """Let DVC note that a stage was run."""
        from dvc.repo import Repo

        with Repo(str(self.root)) as repository:
            repository.commit(f"{step}@{MODEL}", force=True)
