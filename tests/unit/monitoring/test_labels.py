"""Labels that came late find their prediction by the request's id, whatever file they stand in."""

import numpy as np
import polars as pl
import pytest

from components.errors import SourceError
from components.monitoring.labels import join_labels, read_labels
from tests.unit.monitoring.conftest import rows_of

CLASSES = ("no", "yes")


def labels_of(**labels):
    return pl.DataFrame({"id": list(labels), "label": list(labels.values())})


def test_labels_are_read_from_every_kind_of_file_and_the_last_of_an_id_counts(tmp_path):
    labels_of(a="no", b="yes").write_csv(tmp_path / "1.csv")
    labels_of(c="no").write_parquet(tmp_path / "2.parquet")
    labels_of(a="yes").write_ndjson(tmp_path / "3.jsonl")
    found = read_labels([tmp_path / name for name in ("1.csv", "2.parquet", "3.jsonl")])
    assert dict(found.rows()) == {"b": "yes", "c": "no", "a": "yes"}


def test_no_file_is_no_label():
    assert read_labels([]).height == 0


@pytest.mark.parametrize("content", ["", "id,truth\na,no\n"])
def test_a_file_without_the_columns_is_named(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(SourceError, match="expected the columns id and label"):
        read_labels([path])


def test_a_missing_file_and_an_unknown_ending_are_named(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_labels([tmp_path / "labels.csv"])
    with pytest.raises(SourceError, match="by its ending"):
        read_labels([tmp_path / "labels.xlsx"])


def test_predictions_meet_their_labels_as_places_in_the_classes(write_log):
    window = write_log(rows_of(10), request_id=[f"r{place}" for place in range(10)])
    found = join_labels(window, window.files()[3], labels_of(r0="no", r8="no", unknown="yes"), CLASSES)
    assert found.rows == 2
    assert sorted(zip(found.label.tolist(), found.predicted.tolist(), strict=True)) == [(0, 0), (0, 1)]
    assert np.array_equal(found.probabilities, [[0.75, 0.25]] * 2)


def test_a_request_of_several_rows_has_no_label_of_its_own(write_log):
    window = write_log(
        rows_of(4), request_id=["many", "many", "one", "failed"], row=[0, 1, 0, 0], status=[200] * 3 + [500]
    )
    found = join_labels(window, window.files()[3], labels_of(many="no", one="no", failed="no"), CLASSES)
    assert found.rows == 1


def test_a_label_that_the_model_cannot_give_is_named(write_log):
    window = write_log(rows_of(2), request_id=["a", "b"])
    with pytest.raises(SourceError, match="'perhaps' is no class of this model; expected one of no, yes"):
        join_labels(window, window.files()[3], labels_of(a="perhaps"), CLASSES)


def test_truths_and_whole_numbers_are_classes_too(write_log):
    for classes, said, told in (((False, True), [True] * 10, "true"), ((7, 8), [8] * 10, "8")):
        window = write_log(rows_of(10), version=int(8 in classes) + 5, request_id=list("abcdefghij"), prediction=said)
        found = join_labels(window, window.files()[int(8 in classes) + 5], labels_of(a=told), classes)
        assert (found.label.tolist(), found.predicted.tolist()) == ([1], [1])


def test_a_regressions_label_is_a_number(write_log):
    window = write_log(rows_of(2), request_id=["a", "b"], prediction=[1.5, 2.5])
    found = join_labels(window, window.files()[3], labels_of(a="2.0"), ())
    assert (found.label.tolist(), found.predicted.tolist(), found.probabilities.shape) == ([2.0], [1.5], (1, 0))
    with pytest.raises(SourceError, match="'much' is no number"):
        join_labels(window, window.files()[3], labels_of(b="much"), ())
