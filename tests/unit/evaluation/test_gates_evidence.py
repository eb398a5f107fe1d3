"""What the gates judge by: measurements of the same artifact, the analysis of its training, a configuration."""

import math
from dataclasses import replace

import pytest

from components.errors import ConfigError
from components.evaluation.gates.config import (
    BaselineGate,
    ChampionGate,
    GatesSection,
    LatencyGate,
    ParityGate,
    SizeGate,
)
from components.evaluation.gates.evidence import GateEvidence, Latency, NotAnalysed, Parity, Size
from components.evaluation.gates.judge import judge
from components.stage.config import check_section
from components.types import record
from components.types.dataset import Task
from components.types.evaluation import SplitResult
from components.types.tfx import AnalysisSlice
from tests.unit.evaluation.judged import BASE, CANDIDATE, GATES, analysis, comparison, evaluation, evidence, verdict_of


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
