"""The `evaluation` section of a model's configuration."""

from __future__ import annotations

from pydantic import Field, field_validator

from components.errors import ConfigError
from components.stage.config import Section, nearest
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, PRIMARY_METRIC


class EvaluationSection(Section):
    """What the evaluate stage records."""

    primary: str | None = None
    """The metric that chooses the winner; by default auc, accuracy or rmse, as the task is."""
    slices: tuple[str, ...] = ()
    """Columns by whose values each split is also measured: text and booleans by value, numbers by quantile."""
    slice_bins: int = Field(default=3, ge=2, le=20)
    """Into how many equally filled bins a numeric column is cut."""
    min_slice_rows: int = Field(default=20, ge=1)
    """Values with fewer rows are measured together, as `(other)`."""
    max_slice_values: int = Field(default=20, ge=1, le=200)
    """The most frequent values of a column that are measured on their own."""
    bootstrap: int = Field(default=1000, ge=100, le=100_000)
    """How many resamples an interval comes from."""
    seed: int = Field(default=0, ge=0)
    """Where the resampling starts; the same seed gives the same intervals."""

    @field_validator("slices")
    @classmethod
    def _each_column_once(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(f"column `{twice[0]}` is named twice; name it once")
        return columns

    def primary_for(self, task: Task) -> str:
        """Return the metric that chooses the winner.

        Raises:
            ConfigError: `primary` names a metric that the task does not have.
        """
        known = METRIC_DIRECTIONS[task]
        primary = self.primary or PRIMARY_METRIC[task]
        if primary not in known:
            raise ConfigError(
                f"evaluation.primary: unknown metric `{primary}` for a {task.value} model{nearest(primary, known)}; "
                f"known: {', '.join(known)}"
            )
        return primary
