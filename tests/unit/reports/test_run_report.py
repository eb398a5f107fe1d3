"""The report is one file that needs nothing else, says what happened, and cannot be written to by a column's value."""

from dataclasses import replace

import pytest

from components.reports.run import RunReport, TrainedModel, render_run_report
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Evaluation, MetricValue, SliceResult, SplitResult, Verdict
from components.types.training import TrainingResult
from tests.page import Page


def trained(name, value, task=Task.BINARY, metric="auc", slices=()):
    directions = METRIC_DIRECTIONS[task]
    split = SplitResult(120, {metric: MetricValue(value, value * 0.9, value * 1.02, directions[metric])}, slices)
    evaluation = Evaluation("small", name, task, metric, name.ljust(64, "0"), "d" * 64, split, split)
    result = TrainingResult(
        "small", name, "keras", "mlp", "keras 3", name.ljust(64, "0"), "d" * 64, "onnx", (), {}, 1e-7, 1e-4, 12345, 7, 5
    )
    return TrainedModel(result, evaluation)


@pytest.fixture
def report(tmp_path):
    (tmp_path / "roc.png").write_bytes(b"\x89PNG\r\n\x1a\n picture")
    return RunReport(
        title="small, run 7",
        candidate="small-net",
        choice="small-net won among 2 trainings on the validation split",
        trainings=(
            trained("small-base", 0.9),
            trained("small-net", 0.95, slices=(SliceResult("colour", "red", 40, {"auc": 0.9}),)),
        ),
        verdicts=(
            Verdict("absolute", True, ("auc is 0.95, at least 0.9 is asked for",)),
            Verdict("latency", False, ("one row takes 80 ms (p95), at most 50 ms",)),
        ),
        plots=tmp_path,
        lineage={"git commit": "abc123"},
    )


def test_the_page_needs_nothing_but_itself(report):
    page = Page(render_run_report(report))
    assert page.loads
    assert all(value.startswith("data:image/png;base64,") for value in page.loads)
    assert not page.tags & {"script", "link", "iframe"}
    assert "url(" not in render_run_report(report)
    assert "@import" not in render_run_report(report)


def test_it_fits_a_phone_and_the_dark(report):
    text = render_run_report(report)
    assert 'name="viewport" content="width=device-width' in text
    assert "color-scheme: light dark" in text
    assert text.count("<table") == text.count('<div class="wide" tabindex="0"><table')


def test_who_cannot_see_it_is_told_what_each_column_and_picture_is(report):
    text = render_run_report(report)
    assert "<th>" not in text
    assert "></th>" not in text
    assert 'alt="roc plot"' in text


def test_it_says_who_won_what_the_gates_said_and_what_it_was_made_of(report):
    text = render_run_report(report)
    for said in (
        "small-net won among 2 trainings",
        "one row takes 80 ms (p95), at most 50 ms",
        "abc123",
        "colour",
        "keras 3",
        "0.855 to 0.969",
    ):
        assert said in text, said
    assert "small, run 7: refused" in text


@pytest.mark.parametrize(("verdicts", "state"), [((), "not judged"), ((Verdict("size", True, ("small",)),), "passed")])
def test_the_title_says_how_it_ended(report, verdicts, state):
    assert f"<title>small, run 7: {state}</title>" in render_run_report(replace(report, verdicts=verdicts))


def test_the_best_training_comes_first_whichever_way_the_metric_goes(report):
    errors = tuple(
        trained(name, value, Task.REGRESSION, "rmse") for name, value in (("small-a", 60.0), ("small-net", 50.0))
    )
    text = render_run_report(replace(report, trainings=errors))
    assert text.index("<td>small-net</td>") < text.index("<td>small-a</td>")
    text = render_run_report(report)
    assert text.index("<td>small-net</td>") < text.index("<td>small-base</td>")


def test_a_value_of_the_data_cannot_write_into_the_page(report):
    evil = '<script>alert("x")</script>'
    trainings = (trained("small-net", 0.9, slices=(SliceResult("colour", evil, 40, {}),)),)
    changed = replace(report, trainings=trainings, choice=evil, lineage={evil: evil}, title=evil)
    assert "script" not in Page(render_run_report(changed)).tags


def test_a_training_without_the_metric_is_listed_last_and_not_hidden(report):
    without = trained("small-broken", 0.9)
    empty = SplitResult(120, {}, ())
    broken = replace(without, evaluation=replace(without.evaluation, validation=empty, test=empty))
    text = render_run_report(replace(report, trainings=(broken, *report.trainings)))
    assert text.index("<td>small-broken</td>") > text.index("<td>small-base</td>")


def test_a_run_without_plots_slices_or_lineage_is_a_page_too(report):
    bare = replace(report, plots=None, lineage={}, trainings=(trained("small-net", 0.9),))
    assert Page(render_run_report(bare)).loads == []


def test_every_tag_that_is_opened_is_closed(report):
    assert Page(render_run_report(report)).open == []


def test_the_same_report_is_the_same_text(report):
    assert render_run_report(report) == render_run_report(report)


def test_a_candidate_that_is_not_among_the_trainings_is_refused(report):
    with pytest.raises(ValueError, match="none of the run's trainings"):
        render_run_report(replace(report, candidate="other"))
