"""Columns are loaded together only as far as memory allows, and every expectation finds its own."""

from __future__ import annotations

import pytest

from components.validation.batches import plan_batches

from .conftest import Project, expectation, people

SUITE = (
    expectation("expect_table_row_count_to_be_between", min_value=1),
    expectation("expect_column_values_to_be_between", column="age", min_value=20),
    expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="income", column_B="bought"),
    expectation("expect_column_values_to_not_be_null", column="age"),
    expectation("expect_column_values_to_not_be_null", column="city"),
    expectation("expect_column_to_exist", column="joined"),
)


@pytest.mark.parametrize("batch_bytes", [1, 200 * 16, 10**9])
def test_every_expectation_is_planned_once_with_its_own_columns(project: Project, batch_bytes: int) -> None:
    project.write_suite(*SUITE)
    batches = plan_batches(project.table, project.suite, batch_bytes)
    assert sorted(place for batch in batches for place in batch.places) == list(range(len(SUITE)))
    for batch in batches:
        if not batch.names_only:
            assert {name for names in batch.columns_by_place.values() for name in names} == set(batch.columns)


def test_a_batch_holds_no_more_than_its_bytes_unless_one_expectation_needs_more(project: Project) -> None:
    project.write_suite(*SUITE)
    rows = people().height
    batches = plan_batches(project.table, project.suite, rows * 8)
    widths = [len(batch.columns) for batch in batches if not batch.names_only]
    assert max(widths) == 2  # the pair
    assert all(len(batch.places) == 1 for batch in batches if len(batch.columns) == 2)


def test_a_small_table_is_one_batch(project: Project) -> None:
    project.write_suite(*SUITE)
    assert [batch.names_only for batch in plan_batches(project.table, project.suite)] == [True, False]
