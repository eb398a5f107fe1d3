"""Every gate at its boundary, and everything that must fail closed."""

import dataclasses
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import ConfigError
from components.evaluation.gates.config import (
    BaselineGate,
    ChampionGate,
    GatesSection,
    LatencyGate,
    ParityGate,
    SizeGate,
    SlicesGate,
)
from components.evaluation.gates.evidence import (
    ChampionComparison,
    GateEvidence,
    Latency,
    NoChampion,
    NotAnalysed,
    Parity,
    Size,
    UnscorableChampion,
)
from components.evaluation.gates.findings import verdict
from components.evaluation.gates.judge import judge, passed
from components.stage.config import check_section
from components.types import record
from components.types.dataset import Task
from components.types.evaluation import METRIC_DIRECTIONS, Direction, Evaluation, MetricValue, SliceResult, SplitResult
from components.types.tfx import AnalysisSlice, ModelAnalysis, ThresholdResult

CANDIDATE, BASE, CHAMPION, DATA = "c" * 64, "b" * 64, "d" * 64, "e" * 64


def split(task, values, slices=()):
    directions = METRIC_DIRECTIONS[task]
    return SplitResult(200, {n: MetricValue(v, v - 0.01, v + 0.01, directions[n]) for n, v in values.items()}, slices)


def evaluation(task=Task.BINARY, training="net", digest=CANDIDATE, slices=(), **values):
    values = values or ({"rmse": 50.0, "r2": 0.5} if task is Task.REGRESSION else {"auc": 0.95, "accuracy": 0.9})
    primary = "rmse" if task is Task.REGRESSION else "auc"
    both = split(task, values, slices)
    return Evaluation("small", training, task, primary, digest, DATA, both, both)


def comparison(task=Task.BINARY, improvement=0.0, low=-0.005, **changes):
    metric = "rmse" if task is Task.REGRESSION else "auc"
    candidate = 50.0 if task is Task.REGRESSION else 0.95
    champion = candidate + improvement if task is Task.REGRESSION else candidate - improvement
    made = ChampionComparison(
        candidate_digest=CANDIDATE,
        champion_digest=CHAMPION,
        dataset_digest=DATA,
        rows=200,
        metric=metric,
        direction=METRIC_DIRECTIONS[task][metric],
        candidate=candidate,
        champion=champion,
        improvement=improvement,
        low=low,
        high=max(improvement, low) + 0.01,
        confidence=0.9,
    )
    return replace(made, **changes)


def analysis():
    return ModelAnalysis(
        product_digest=CANDIDATE,
        dataset_digest=DATA,
        metrics=("auc", "log_loss"),
        slices=(AnalysisSlice("", "", 200, {"auc": 0.9}), AnalysisSlice("city", "b", 40, {"log_loss": 0.4})),
        thresholds=(
            ThresholdResult("auc", "", "", "at least", 0.8, 0.9, True),
            ThresholdResult("log_loss", "city", "b", "at most", 0.5, 0.4, True),
        ),
        blessed=True,
    )


def evidence(task=Task.BINARY, **changes):
    made = GateEvidence(
        product_digest=CANDIDATE,
        dataset_digest=DATA,
        candidate=evaluation(task),
        baseline=evaluation(task, "base", BASE),
        champion=comparison(task),
        slice_columns=(),
        parity=Parity(CANDIDATE, 1e-6, 1e-4),
        size=Size(CANDIDATE, 1000),
        latency=Latency(CANDIDATE, 0.1, 0.2, 1.0, 2.0, 256, 1),
        analysis=NotAnalysed("keras"),
    )
    return replace(made, **changes)


GATES = {
    Task.BINARY: GatesSection(absolute={"auc": 0.9}),
    Task.REGRESSION: GatesSection(absolute={"rmse": 60.0, "r2": 0.3}),
}


def verdict_of(gate, found, gates=GATES[Task.BINARY]):
    return {each.gate: each for each in judge(found, gates)}[gate]


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


class TestAnalysis:
    def test_a_training_that_makes_none_has_no_verdict_on_it(self):
        assert "analysis" not in {each.gate for each in judge(evidence(), GATES[Task.BINARY])}

    def test_held_thresholds_of_the_judged_product_pass(self):
        found = verdict_of("analysis", evidence(analysis=analysis()))
        assert found.passed
        assert found.reasons == (
            "auc is 0.9 in the Evaluator's analysis, at least 0.8",
            "log_loss of city = b is 0.4 in the Evaluator's analysis, at most 0.5",
        )

    def test_a_missing_analysis_is_refused(self):
        found = verdict_of("analysis", evidence(analysis=None))
        assert not found.passed
        assert "missing" in found.reasons[0]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"product_digest": BASE}, "the analysis is of bbbbbbbbbbbb"),
            ({"dataset_digest": BASE}, "the analysis' data is of bbbbbbbbbbbb"),
            ({"slices": ()}, "saw no row"),
            ({"slices": (AnalysisSlice("", "", 0, {"auc": 0.9}),)}, "saw no row"),
            ({"thresholds": ()}, "no threshold on all rows"),
            ({"blessed": False}, "did not bless"),
        ],
    )
    def test_an_analysis_that_says_nothing_of_the_product_is_refused(self, change, reason):
        found = verdict_of("analysis", evidence(analysis=replace(analysis(), **change)))
        assert not found.passed
        assert reason in found.reasons[0]

    @pytest.mark.parametrize(("auc", "allowed"), [(0.7999, False), (0.8, True), (None, False), (math.nan, False)])
    def test_the_value_counts_and_not_what_the_analysis_says_of_it(self, auc, allowed):
        everything, *others = analysis().slices
        slices = (replace(everything, metrics={"auc": auc}), *others)
        assert verdict_of("analysis", evidence(analysis=replace(analysis(), slices=slices))).passed is allowed

    @pytest.mark.parametrize(("loss", "allowed"), [(0.5, True), (0.5001, False)])
    def test_one_slice_beyond_its_threshold_refuses(self, loss, allowed):
        everything, city = analysis().slices
        slices = (everything, replace(city, metrics={"log_loss": loss}))
        assert verdict_of("analysis", evidence(analysis=replace(analysis(), slices=slices))).passed is allowed

    def test_a_slice_that_is_gone_is_refused(self):
        found = verdict_of("analysis", evidence(analysis=replace(analysis(), slices=analysis().slices[:1])))
        assert not found.passed
        assert "could not be computed" in found.reasons[0]

    def test_it_survives_its_way_through_json(self):
        for each in (analysis(), NotAnalysed("keras"), None):
            made = evidence(analysis=each)
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
        assert "waiver" in found.reasons[0]

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


class TestMeasurements:
    @pytest.mark.parametrize(("difference", "allowed"), [(1.01e-4, False), (1e-4, True), (0.0, True)])
    def test_parity_is_held_to_the_bound_of_the_training(self, difference, allowed):
        assert verdict_of("parity", evidence(parity=Parity(CANDIDATE, difference, 1e-4))).passed is allowed

    def test_parity_is_held_to_a_bound_of_its_own_where_there_is_one(self):
        gates = GatesSection(absolute={"auc": 0.9}, parity=ParityGate(bound=1e-7))
        assert not verdict_of("parity", evidence(), gates).passed

    @pytest.mark.parametrize(("max_bytes", "allowed"), [(999, False), (1000, True)])
    def test_size_is_held_to_its_bound(self, max_bytes, allowed):
        gates = GatesSection(absolute={"auc": 0.9}, size=SizeGate(max_bytes=max_bytes))
        assert verdict_of("size", evidence(), gates).passed is allowed

    @pytest.mark.parametrize(("p95_ms", "allowed"), [(0.19, False), (0.2, True)])
    def test_latency_is_held_to_its_bound(self, p95_ms, allowed):
        gates = GatesSection(absolute={"auc": 0.9}, latency=LatencyGate(p95_ms=p95_ms))
        assert verdict_of("latency", evidence(), gates).passed is allowed

    @pytest.mark.parametrize("gate", ["parity", "size", "latency"])
    def test_what_nobody_measured_is_refused(self, gate):
        assert not verdict_of(gate, evidence(**{gate: None})).passed

    @pytest.mark.parametrize("gate", ["parity", "size", "latency"])
    def test_a_measurement_of_another_artifact_is_refused(self, gate):
        other = replace(getattr(evidence(), gate), product_digest=BASE)
        for judged in (gate, "evidence"):
            found = verdict_of(judged, evidence(**{gate: other}))
            assert not found.passed
            assert "is of bbbbbbbbbbbb, expected cccccccccccc" in found.reasons[0]

    @pytest.mark.parametrize(
        ("gate", "measured"),
        [
            ("parity", Parity(CANDIDATE, math.nan, 1e-4)),
            ("parity", Parity(CANDIDATE, 1e-6, math.inf)),
            ("parity", Parity(CANDIDATE, -1.0, 1e-4)),
            ("size", Size(CANDIDATE, 0)),
            ("latency", Latency(CANDIDATE, 0.1, math.nan, 1.0, 1.0, 256, 1)),
            ("latency", Latency(CANDIDATE, 0.0, 0.0, 1.0, 1.0, 256, 1)),
        ],
    )
    def test_a_measurement_that_is_no_measurement_is_refused(self, gate, measured):
        assert not verdict_of(gate, evidence(**{gate: measured})).passed


class TestEvidence:
    @pytest.mark.parametrize(
        "change",
        [
            {"product_digest": BASE},
            {"product_digest": ""},
            {"dataset_digest": "0" * 64},
            {"candidate": evaluation(digest=BASE)},
            {"champion": comparison(candidate_digest=BASE)},
            {"champion": comparison(dataset_digest="0" * 64)},
            {"baseline": replace(evaluation(training="base", digest=BASE), dataset_digest="0" * 64)},
            {"candidate": replace(evaluation(), validation=SplitResult(0, {}, ()))},
            {"candidate": replace(evaluation(), test=SplitResult(0, {}, ()))},
        ],
    )
    def test_evidence_of_another_artifact_other_data_or_nothing_is_refused(self, change):
        assert not verdict_of("evidence", evidence(**change)).passed

    @pytest.mark.parametrize("gate", ["absolute", "baseline", "slices"])
    def test_no_gate_trusts_an_evaluation_of_another_artifact(self, gate):
        made = evidence(candidate=evaluation(digest=BASE), slice_columns=("colour",))
        assert "is of bbbbbbbbbbbb" in verdict_of(gate, made).reasons[0]


class TestConfiguration:
    def test_every_gate_is_on_by_default(self):
        gates = GatesSection(absolute={"auc": 0.9})
        assert all([gates.baseline, gates.champion, gates.parity, gates.size, gates.latency])

    def test_a_gate_that_is_off_is_absent_and_never_green(self):
        gates = GatesSection(absolute={"auc": 0.9}, baseline=None, champion=None, latency=None)
        assert [each.gate for each in judge(evidence(), gates)] == ["evidence", "absolute", "parity", "size"]

    def test_the_digest_tells_two_configurations_apart(self):
        first = GatesSection(absolute={"auc": 0.9})
        assert first.digest == GatesSection(absolute={"auc": 0.9}, baseline=BaselineGate(margin=0.02)).digest
        assert first.digest != GatesSection(absolute={"auc": 0.91}).digest
        assert first.digest != GatesSection(absolute={"auc": 0.9}, champion=ChampionGate(margin=0.03)).digest

    def test_a_typo_is_answered_with_the_nearest_name(self, tmp_path):
        with pytest.raises(ConfigError, match=r"gates\.baseline\.margn.*did you mean `margin`"):
            check_section({"absolute": {"auc": 1}, "baseline": {"margn": 0.1}}, GatesSection, tmp_path, "gates")
