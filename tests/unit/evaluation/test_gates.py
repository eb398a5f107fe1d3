"""The gates that look at what a model can do, each at its boundary, and what must fail closed."""

import dataclasses
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import ConfigError
from components.evaluation.gates.config import BaselineGate, GatesSection, SlicesGate
from components.evaluation.gates.evidence import GateEvidence, NoChampion, UnscorableChampion, Waiver
from components.evaluation.gates.findings import verdict
from components.evaluation.gates.judge import judge, passed
from components.stage.config import check_section
from components.types import record
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Direction, SliceResult
from tests.unit.evaluation.judged import (
    BASE,
    CANDIDATE,
    CHAMPION,
    GATES,
    comparison,
    evaluation,
    evidence,
    split,
    verdict_of,
)


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_sound_evidence_of_a_good_model_passes_every_gate(task):
    verdicts = judge(evidence(task), GATES[task])
    assert [each.gate for each in verdicts] == [
        "evidence", "absolute", "baseline", "champion", "parity", "size", "latency",
    ]  # fmt: skip
    assert passed(verdicts), verdicts
    assert all(each.reasons for each in verdicts)


def test_no_verdicts_are_no_pass():
    assert not passed(())


def test_a_gate_that_found_nothing_refuses():
    found = verdict("new", list)
    assert not found.passed
    assert found.reasons == ("nothing was checked",)


def test_evidence_survives_its_way_through_json():
    for champion in (comparison(), NoChampion("empty"), UnscorableChampion(CHAMPION, "no column x"), None):
        made = evidence(champion=champion)
        assert record.load(GateEvidence, record.dump(made)) == made


class TestAbsolute:
    @pytest.mark.parametrize(("bound", "allowed"), [(0.9501, False), (0.95, True), (0.9499, True)])
    def test_higher_is_better_meets_its_bound_from_above(self, bound, allowed):
        assert verdict_of("absolute", evidence(), GatesSection(absolute={"auc": bound})).passed is allowed

    @pytest.mark.parametrize(("bound", "allowed"), [(49.99, False), (50.0, True), (50.01, True)])
    def test_lower_is_better_meets_its_bound_from_below(self, bound, allowed):
        found = verdict_of("absolute", evidence(Task.REGRESSION), GatesSection(absolute={"rmse": bound}))
        assert found.passed is allowed

    def test_one_missed_bound_refuses_and_only_it_is_named(self):
        found = verdict_of("absolute", evidence(), GatesSection(absolute={"auc": 0.9, "accuracy": 0.99}))
        assert not found.passed
        assert found.reasons == ("accuracy is 0.9, at least 0.99 is asked for",)

    def test_a_missing_metric_is_refused(self):
        found = verdict_of("absolute", evidence(), GatesSection(absolute={"log_loss": 1.0}))
        assert not found.passed
        assert "log_loss is missing" in found.reasons[0]

    def test_a_metric_without_a_direction_is_refused(self):
        found = verdict_of("absolute", evidence(), GatesSection(absolute={"lift": 0.1}))
        assert "has no direction" in found.reasons[0]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_metric_that_is_no_number_is_refused(self, value):
        found = verdict_of("absolute", evidence(candidate=evaluation(auc=value)))
        assert not found.passed
        assert "expected a finite number" in found.reasons[0]

    def test_a_metric_recorded_the_wrong_way_round_is_refused(self):
        good = evaluation()
        turned = {"auc": replace(good.test.metrics["auc"], direction=Direction.LOWER)}
        found = verdict_of("absolute", evidence(candidate=replace(good, test=replace(good.test, metrics=turned))))
        assert not found.passed
        assert "recorded as lower is better" in found.reasons[0]

    def test_a_gate_without_a_threshold_is_refused(self, tmp_path):
        for content in ({}, {"absolute": {}}, {"absolute": {"auc": math.nan}}):
            with pytest.raises(ConfigError, match=r"gates\.absolute"):
                check_section(content, GatesSection, tmp_path / "small.yaml", "models.small.gates")
        unchecked = GatesSection.model_construct(absolute={})
        assert "no bound is configured" in verdict_of("absolute", evidence(), unchecked).reasons[0]

    @settings(deadline=None)  # a busy machine is no fault of a gate
    @given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["auc", "log_loss"]))
    def test_a_better_model_never_fails_where_a_worse_one_passes(self, one, other, bound, metric):
        gates = GatesSection(absolute={metric: bound})
        worse, better = sorted([one, other], reverse=METRIC_DIRECTIONS[Task.BINARY][metric] is Direction.LOWER)
        results = [
            verdict_of("absolute", evidence(candidate=evaluation(**{metric: value})), gates).passed
            for value in (worse, better)
        ]
        assert results != [True, False]


class TestBaseline:
    @pytest.mark.parametrize(("auc", "allowed"), [(0.929, False), (0.93, True), (0.96, True)])
    def test_the_winner_may_be_worse_by_the_margin_and_no_more(self, auc, allowed):
        assert verdict_of("baseline", evidence(candidate=evaluation(auc=auc))).passed is allowed

    @pytest.mark.parametrize(("rmse", "allowed"), [(51.1, False), (51.0, True), (40.0, True)])
    def test_the_margin_of_an_error_is_a_share_of_the_baselines(self, rmse, allowed):
        candidate = evaluation(Task.REGRESSION, rmse=rmse)
        found = verdict_of("baseline", evidence(Task.REGRESSION, candidate=candidate), GATES[Task.REGRESSION])
        assert found.passed is allowed

    def test_a_missing_baseline_is_refused(self):
        found = verdict_of("baseline", evidence(baseline=None))
        assert "no evaluation of a baseline" in found.reasons[0]

    def test_the_baseline_itself_may_be_the_candidate(self):
        base = evaluation(training="base")
        found = verdict_of("baseline", evidence(candidate=base, baseline=base))
        assert found.passed
        assert "itself is the candidate" in found.reasons[0]

    def test_one_product_under_two_names_is_no_baseline(self):
        found = verdict_of("baseline", evidence(baseline=evaluation(training="other")))
        assert not found.passed
        assert "one product" in found.reasons[0]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"dataset_digest": "0" * 64}, "the baseline's data is of 000000000000"),
            ({"model": "another"}, "of another model"),
            ({"test": dataclasses.replace(split(Task.BINARY, {"auc": 0.9}), rows=7)}, "evaluated on 7 rows"),
            ({"test": split(Task.BINARY, {})}, "auc is missing"),
            ({"test": split(Task.BINARY, {"auc": math.nan})}, "is nan"),
        ],
    )
    def test_a_baseline_that_cannot_be_compared_is_refused(self, change, reason):
        found = verdict_of("baseline", evidence(baseline=replace(evaluation(training="base", digest=BASE), **change)))
        assert not found.passed
        assert reason in found.reasons[0]

    @settings(deadline=None)  # a busy machine is no fault of a gate
    @given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
    def test_a_wider_margin_or_a_better_model_never_fails_where_the_other_passes(self, low, high, base, one, two):
        low, high = sorted([low, high])
        narrow, wide = sorted([one, two])

        def allowed(value, margin):
            gates = GatesSection(absolute={"auc": 0.0}, baseline=BaselineGate(margin=margin))
            made = evidence(candidate=evaluation(auc=value), baseline=evaluation(training="b", digest=BASE, auc=base))
            return verdict_of("baseline", made, gates).passed

        assert [allowed(low, narrow), allowed(high, narrow)] != [True, False]
        assert [allowed(low, narrow), allowed(low, wide)] != [True, False]


class TestChampion:
    @pytest.mark.parametrize(("low", "allowed"), [(-0.0201, False), (-0.02, True), (0.01, True)])
    def test_the_unfavourable_end_of_the_interval_decides(self, low, allowed):
        assert verdict_of("champion", evidence(champion=comparison(low=low))).passed is allowed

    @pytest.mark.parametrize(("low", "allowed"), [(-1.1, False), (-0.9, True)])
    def test_for_an_error_the_margin_is_a_share_of_the_champions(self, low, allowed):
        found = evidence(Task.REGRESSION, champion=comparison(Task.REGRESSION, low=low))
        assert verdict_of("champion", found, GATES[Task.REGRESSION]).passed is allowed

    def test_no_champion_yet_passes_and_says_so(self):
        found = verdict_of("champion", evidence(champion=NoChampion("the slot is empty")))
        assert found.passed
        assert "no champion yet" in found.reasons[0]

    def test_a_champion_that_cannot_be_scored_is_refused_with_the_reason(self):
        found = verdict_of("champion", evidence(champion=UnscorableChampion(CHAMPION, "column `x` is missing")))
        assert not found.passed
        assert "column `x` is missing" in found.reasons[0]
        assert f"`towpath waive small {CANDIDATE[:12]} --reason" in found.reasons[0]

    @pytest.mark.parametrize(
        ("champion", "candidate", "reason"),
        [
            (CHAMPION, CANDIDATE, "eve waived the comparison on 2026-11-21: new columns"),
            (CHAMPION, BASE, "the waiver is of bbbbbbbbbbbb"),
            (BASE, CANDIDATE, "the champion of the waiver is of bbbbbbbbbbbb"),
            (CHAMPION, "", "the waiver is of nothing"),
        ],
    )
    def test_a_waiver_lets_pass_only_for_its_two_digests(self, champion, candidate, reason):
        waiver = Waiver(champion, candidate, "eve", "new columns", "2026-11-21T10:00:00", "2026-11-22T10:00:00")
        found = verdict_of("champion", evidence(champion=UnscorableChampion(CHAMPION, "no column x", waiver)))
        assert found.passed is (champion == CHAMPION and candidate == CANDIDATE)
        assert reason in found.reasons[0]

    @pytest.mark.parametrize(
        ("champion", "reason"),
        [
            (None, "nobody asked the ledger"),
            (comparison(champion_digest=CANDIDATE), "compared with itself"),
            (comparison(champion_digest=""), "compared with itself"),
            (comparison(candidate_digest=BASE), "is of bbbbbbbbbbbb"),
            (comparison(dataset_digest="0" * 64), "data is of 000000000000"),
            (comparison(metric="accuracy"), "expected the primary metric auc"),
            (comparison(direction=Direction.LOWER), "lower is better; it is not"),
            (comparison(rows=100), "compared on 100 rows"),
            (comparison(low=math.nan), "low of the comparison with the champion is nan"),
            (comparison(improvement=math.nan), "nan"),
            (comparison(champion=0.5), "contradicts itself"),
            (comparison(low=0.5, high=0.1), "contradicts itself"),
            (comparison(confidence=0.6), "90% is asked for"),
        ],
    )
    def test_a_comparison_that_says_nothing_is_refused(self, champion, reason):
        found = verdict_of("champion", evidence(champion=champion))
        assert not found.passed
        assert reason in found.reasons[0]

    def test_a_higher_loss_is_never_called_better(self):
        turned = comparison(Task.REGRESSION, improvement=-10.0, low=-12.0)
        assert turned.candidate > turned.champion or turned.champion == 40.0
        assert not verdict_of("champion", evidence(Task.REGRESSION, champion=turned), GATES[Task.REGRESSION]).passed


class TestSlices:
    GATES = GatesSection(absolute={"auc": 0.9}, slices=SlicesGate(max_drop=0.1, min_rows=30))

    def found(self, *slices, columns=("colour",), gates=None):
        made = evidence(candidate=evaluation(slices=slices), slice_columns=columns)
        return verdict_of("slices", made, gates or self.GATES)

    @pytest.mark.parametrize(("accuracy", "allowed"), [(0.799, False), (0.8, True), (1.0, True)])
    def test_a_slice_may_drop_by_so_much_and_no_more(self, accuracy, allowed):
        assert self.found(SliceResult("colour", "red", 50, {"accuracy": accuracy})).passed is allowed

    def test_slices_too_small_to_say_anything_do_not_refuse(self):
        large = SliceResult("colour", "red", 50, {"accuracy": 0.9})
        assert self.found(large, SliceResult("colour", "blue", 29, {"accuracy": 0.1})).passed
        assert not self.found(large, SliceResult("colour", "blue", 30, {"accuracy": 0.1})).passed

    @pytest.mark.parametrize(
        ("slices", "reason"),
        [
            ((), "has no slice with 30 rows"),
            ((SliceResult("colour", "red", 29, {"accuracy": 0.9}),), "has no slice with 30 rows"),
            ((SliceResult("size", "red", 50, {"accuracy": 0.9}),), "column colour has no slice"),
            ((SliceResult("colour", "red", 0, {}), SliceResult("colour", "blue", 50, {"accuracy": 0.9})), "is empty"),
            ((SliceResult("colour", "red", 50, {}),), "accuracy is missing from slice colour = red"),
            ((SliceResult("colour", "red", 50, {"accuracy": math.nan}),), "is nan"),
        ],
    )
    def test_a_column_without_a_slice_to_judge_is_refused(self, slices, reason):
        found = self.found(*slices)
        assert not found.passed
        assert any(reason in each for each in found.reasons)

    def test_the_gate_is_on_by_default_once_a_column_is_named(self):
        assert not self.found(gates=GATES[Task.BINARY]).passed

    def test_a_gate_that_is_configured_without_a_column_is_refused(self):
        assert "no slice column" in self.found(columns=()).reasons[0]

    def test_without_columns_and_without_configuration_no_green_line_appears(self):
        assert "slices" not in {each.gate for each in judge(evidence(), GATES[Task.BINARY])}
