"""The pages about TFX and about skew need nothing else, say what was found, and cannot be written to by a value."""

import pytest

from components.reports.pictures import bars
from components.reports.skew import SkewPage, render_skew
from components.reports.tfx import TfxPage, render_tfx
from components.types.tfx import (
    AnalysisSlice,
    Anomalies,
    Anomaly,
    Bucket,
    DataStatistics,
    ExactFeatureSkew,
    ExactSkew,
    FeatureSkew,
    FeatureStatistics,
    Lineage,
    LineageArtifact,
    LineageExecution,
    ModelAnalysis,
    SharedBar,
    SkewReport,
    SplitStatistics,
    ThresholdResult,
    ValueCount,
)
from tests.page import Page

EVIL = "<script>alert(1)</script>"


def tfx_page(**changes):
    fare = FeatureStatistics(
        "fare", "FLOAT", 90, 10, 3, 1.5, 0.5, 0.0, 1.4, 9.0, None, (), (Bucket(0.0, 4.5, 80.0), Bucket(4.5, 9.0, 10.0))
    )
    city = FeatureStatistics(
        "city", "STRING", 100, 0, unique=2, top_values=(ValueCount(EVIL, 60.0), ValueCount("Oslo", 40.0))
    )
    given = {
        "training": "rides-tfx",
        "statistics": DataStatistics((SplitStatistics("train", 100, (fare, city)),)),
        "anomalies": Anomalies(()),
        "analysis": ModelAnalysis(
            "p" * 64,
            "d" * 64,
            ("auc", "log_loss"),
            (
                AnalysisSlice("", "", 100, {"auc": 0.9, "log_loss": 0.3}),
                AnalysisSlice("city", EVIL, 60, {"auc": None, "log_loss": 0.2}),
            ),
            (ThresholdResult("auc", "", "", "at least", 0.8, 0.9, True),),
            True,
        ),
        "lineage": Lineage(
            (LineageArtifact(1, "Examples", "", {}), LineageArtifact(2, "Model", "", {})),
            (LineageExecution(3, "tfx.Trainer", "Trainer", "COMPLETE", (1,), (2,)),),
        ),
    }
    return TfxPage(**(given | changes))


def skew_page(passed=False):
    bar = (SharedBar(EVIL, 0.75, 0.25), SharedBar("Oslo", 0.25, 0.75))
    features = (
        FeatureSkew("fare", "Jensen-Shannon", 0.01, 0.1, True, 0.0, 0.1),
        FeatureSkew("city", "L-infinity", 0.5, 0.1, passed, 0.0, 0.0, bar),
    )
    exact = ExactSkew(7, 93, 5, () if passed else (ExactFeatureSkew("city", 1, 0, 2, 4),))
    return SkewPage("rides", "production", 4, "c" * 64, SkewReport(100, 12, features, exact, passed))


@pytest.mark.parametrize("text", [render_tfx(tfx_page()), render_skew(skew_page())], ids=["tfx", "skew"])
def test_the_page_is_whole_loads_nothing_and_runs_nothing(text):
    page = Page(text)
    assert not page.loads
    assert "script" not in page.tags
    assert not page.open
    assert EVIL in "".join(page.text)


def test_slices_thresholds_statistics_and_lineage_are_there():
    text = render_tfx(tfx_page())
    shown = " ".join(" ".join(Page(text).text).split())
    assert "blessed" in shown
    assert "at least 0.8" in shown
    assert "90 values, 10 missing" in shown
    assert "3 zeros" in shown
    assert "Trainer" in shown
    assert "Model 2" in shown
    assert "0 to 4.5: 80" in shown
    assert text.count("<svg") == 2


def test_an_anomaly_and_a_missed_threshold_make_the_page_red():
    found = tfx_page(anomalies=Anomalies((Anomaly("validation", "city", "Unexpected string values", "z (1%)"),)))
    assert 'class="badge refused">blessed' in render_tfx(found)
    assert "Unexpected string values" in render_tfx(found)


def test_a_skewed_column_comes_first_with_both_sides():
    text = render_skew(skew_page())
    assert text.index("<h3>city") < text.index("<h3>fare")
    assert "75.0%" in text
    assert "7 ids were compared" in text
    assert "skewed" in text


def test_without_skew_the_page_says_so():
    shown = " ".join(Page(render_skew(skew_page(passed=True))).text)
    assert "no skew" in shown
    assert "No value differs" in shown


def test_nothing_to_draw_is_no_picture():
    assert bars("empty", [], []) == ""
    assert bars("zeros", ["a"], [0.0]) == ""
