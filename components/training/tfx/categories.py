"""The Transform analyzer of categories: which values of a column have a feature of their own. Learns nothing else.

`tft.vocabulary` cannot be used: of equally frequent values at the edge of `max_categories` it keeps the last ones,
where `prepare` keeps the first; its text files have no empty string and no line break; it has no floats; and its order
is that of the frequency, where the place of a feature is given by its name. So the values are counted here, all columns
in one pass, and chosen by the same rule as in `prepare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_transform as tft

from components.errors import TrainingError
from components.types.dataset import MISSING_STRING
from components.types.features import CategoryPlan

_MISSING = MISSING_STRING.encode()


def learn_categories(columns: Sequence[Any], plans: Sequence[CategoryPlan]) -> list[Any]:
    """Return each column's categories as a tensor of shape (n_categories,), in the order of their features.

    Args:
        columns: A tensor of shape (n_rows,) per column.
        plans: What was configured for each, and what `prepare` found; a column without categories is not to be here.
    """
    if not plans:
        return []
    learned = tft.experimental.ptransform_analyzer(
        columns,
        _Categories(plans),
        output_dtypes=[each.dtype for each in columns],
        output_shapes=[[len(each.values)] for each in plans],
        name="categories",
    )
    return list(learned)


class _Categories(beam.PTransform):
    """From batches, one array per column, to the categories of each column."""

    def __init__(self, plans: Sequence[CategoryPlan]) -> None:
        super().__init__()
        self._plans = tuple(plans)

    def expand(self, batches: Any) -> Any:
        """Count, choose, and give the categories of each column to a collection of its own."""
        tags = [str(index) for index in range(len(self._plans))]
        outputs = (
            batches
            | "Count" >> beam.CombineGlobally(_Counting(len(self._plans)))
            | "Choose" >> beam.FlatMap(_choose_all, self._plans).with_outputs(*tags)
        )
        return tuple(outputs[tag] for tag in tags)


class _Counting(beam.CombineFn):
    """Counts the values of every column."""

    def __init__(self, n_columns: int) -> None:
        self._n_columns = n_columns

    def create_accumulator(self) -> list[Counter[Any]]:
        """Return counts of nothing."""
        return [Counter() for _ in range(self._n_columns)]

    def add_input(self, counts: list[Counter[Any]], batch: Sequence[Any]) -> list[Counter[Any]]:
        """Count a batch: an array of shape (n_rows,) per column."""
        for counter, values in zip(counts, batch, strict=True):
            if values.dtype.kind == "f":
                values = values[~np.isnan(values)]
            counter.update(values.tolist())
            counter.pop(_MISSING, None)
        return counts

    def merge_accumulators(self, parts: Iterable[list[Counter[Any]]]) -> list[Counter[Any]]:
        """Add up the counts of parts of the data."""
        total = self.create_accumulator()
        for counts in parts:
            for counter, more in zip(total, counts, strict=True):
                counter.update(more)
        return total

    def extract_output(self, counts: list[Counter[Any]]) -> list[Counter[Any]]:
        """Return the counts of all of the data."""
        return counts


def _choose_all(counts: list[Counter[Any]], plans: Sequence[CategoryPlan]) -> Iterable[Any]:
    for index, (counter, plan) in enumerate(zip(counts, plans, strict=True)):
        yield beam.pvalue.TaggedOutput(str(index), choose(counter, plan))


def choose(counter: Counter[Any], plan: CategoryPlan) -> list[Any]:
    """Return the categories, sorted; texts as UTF-8, whose order is that of the texts.

    Raises:
        TrainingError: they are not those that `prepare` found, so that features would not mean what they are called.
    """
    frequent = [value for value, count in counter.items() if count >= plan.min_count]
    chosen = sorted(sorted(frequent, key=lambda value: (-counter[value], value))[: plan.max_categories])
    expected = [each.encode() if isinstance(each, str) else each for each in plan.values]
    if chosen != expected:
        raise TrainingError(
            f"column `{plan.input.name}`: Transform found {len(chosen)} categories in its examples, others than the "
            f"{len(expected)} that the prepare stage found in the train split; the examples must be those rows"
        )
    return chosen
