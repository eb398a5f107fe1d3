"""A look at what the gateway's own writer logged: drift, quality and labels, judged against the version that served."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.errors import BadInputError, SourceError, UnknownNameError
from components.monitoring.profile import ReferenceProfile
from components.stage.files import write_json
from components.types.monitoring import FindingKind, Status
from pipelines.cli.main import main
from pipelines.watch.publish import last_report
from pipelines.watch.reference import keep_profile
from pipelines.watch.run import monitor
from tests.integration.monitoring.conftest import DATASET, MODEL, features, write_suite, write_training

pytestmark = pytest.mark.slow


def statuses(report):
    return {each.kind: each.status for each in report.findings}


def towpath(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["towpath", *arguments])
    try:
        return main()
    except SystemExit as end:
        return end.code


def test_traffic_as_in_training_is_in_order_but_for_labels_that_have_not_come(env, serve):
    serve(600)
    looked = monitor(env, MODEL)
    found = statuses(looked.report)
    assert found.pop(FindingKind.LIVE_METRIC) is Status.INSUFFICIENT
    assert set(found.values()) == {Status.OK}, looked.report.findings
    assert set(found) == set(FindingKind) - {FindingKind.LIVE_METRIC}
    assert looked.report.state is Status.INSUFFICIENT
    assert len(looked.report.features) == 30
    (quality,) = looked.report.quality
    assert (quality.applied, quality.left_out) == (30, 2)
    assert last_report(MODEL, "local", env.root) == looked.report


def test_a_look_leaves_a_page_a_file_for_prometheus_and_a_run_in_mlflow(env, serve):
    from mlflow import MlflowClient

    serve(400, moved=2.0)
    looked = monitor(env, MODEL)
    assert "feature_0" in looked.written.page.read_text()
    assert 'towpath_monitoring_state{environment="local",model="tumours",status="alarm"} 1.0' in (
        looked.written.metrics.read_text()
    )
    run = MlflowClient(f"sqlite:///{env.root / 'mlflow.db'}").get_run(looked.run_id)
    assert (run.data.tags["towpath.kind"], run.data.tags["towpath.state"]) == ("monitoring", "alarm")
    assert run.data.metrics["psi.v1.feature_0"] == pytest.approx(looked.report.features[0].psi)
    assert run.info.status == "FINISHED"


def test_one_drifted_feature_is_named_and_no_other(env, serve):
    serve(1_000, moved=2.0)
    report = monitor(env, MODEL).report
    drifted = [each.column for each in report.features if each.status is Status.ALARM]
    assert drifted == ["feature_0"]
    (finding,) = report.of(FindingKind.FEATURE_DRIFT)
    assert (finding.status, finding.version) == (Status.ALARM, 1)
    assert "`feature_0`" in finding.sentence


def test_the_next_training_changes_nothing_about_what_a_version_is_held_against(env, serve, served):
    serve(1_000, moved=2.0)
    before = monitor(env, MODEL).report.features
    write_training(env, served, data="e" * 64)
    train = env.root / "out" / MODEL / "prepared" / "train.parquet"
    names = [f"feature_{place}" for place in range(30)]
    pl.DataFrame(features(1_000, 9, moved=2.0), schema=names).with_row_index("id").write_parquet(train)
    assert monitor(env, MODEL).report.features == before


def test_a_version_whose_training_is_gone_is_not_in_order(env, serve, served):
    serve(400)
    write_training(env, served, data="e" * 64)
    report = monitor(env, MODEL).report
    (finding,) = report.of(FindingKind.FEATURE_DRIFT)
    assert finding.status is Status.INSUFFICIENT
    assert "was trained on is not known" in finding.sentence
    assert not report.features


def test_a_profile_is_fetched_from_the_registry_where_this_machine_has_none(env, serve, served, monkeypatch):
    serve(400)
    kept = keep_profile(MODEL, served.ref.digest, DATASET, env.root)
    text = kept.read_text()
    kept.unlink()
    write_training(env, served, data="e" * 64)

    class Shelf:
        """Stands for a registry that holds the version's file; the real one is tested where it registers."""

        def fetch_part(self, model, version, path, into):
            assert (model, version, path) == (MODEL, 1, "lineage/reference.json")
            into.write_text(text)

    monkeypatch.setattr(type(env), "registry", lambda self: Shelf())
    assert len(monitor(env, MODEL).report.features) == 30
    assert kept.read_text() == text


def test_few_rows_are_insufficient_never_in_order(env, serve):
    serve(120)
    found = statuses(monitor(env, MODEL).report)
    assert found[FindingKind.FEATURE_DRIFT] is Status.INSUFFICIENT
    assert found[FindingKind.QUALITY] is Status.INSUFFICIENT
    assert found[FindingKind.ERRORS] is Status.OK


def test_rows_that_do_not_meet_the_suite_are_an_alarm(env, serve):
    serve(500)
    write_suite(env.root, most=1.0)
    (finding,) = monitor(env, MODEL).report.of(FindingKind.QUALITY)
    assert finding.status is Status.ALARM
    assert "expect_column_values_to_be_between(feature_0)" in finding.sentence


def test_labels_that_came_late_give_the_live_metric_over_a_longer_time(env, serve):
    ids = serve(400)
    rows = pl.scan_parquet(env.log_dir / MODEL).select("request_id", "prediction").collect()
    said = dict(rows.rows())
    wrong = {"benign": "malignant", "malignant": "benign"}
    lines = [f"{key},{said[key] if place % 10 < 9 else wrong[said[key]]}" for place, key in enumerate(ids[:200])]
    (env.root / "labels.csv").write_text("\n".join(["id,label", *lines]))
    report = monitor(env, MODEL).report
    (live,) = report.live
    assert (live.metric, live.labels, live.value, live.reference) == ("accuracy", 200, 0.9, 0.9)
    assert live.low < 0.9 < live.high
    assert statuses(report)[FindingKind.LIVE_METRIC] is Status.OK
    lines = [f"{key},{wrong[said[key]]}" for key in ids[:200]]
    (env.root / "labels.csv").write_text("\n".join(["id,label", *lines]))
    later = monitor(env, MODEL, since=datetime.now(UTC) - timedelta(milliseconds=1)).report
    assert later.of(FindingKind.LIVE_METRIC)[0].status is Status.ALARM
    assert later.of(FindingKind.VOLUME)[0].status is Status.ALARM


def test_a_label_that_the_model_cannot_give_stops_the_look(env, serve):
    (request_id, *_) = serve(10)
    (env.root / "labels.csv").write_text(f"id,label\n{request_id},perhaps\n")
    with pytest.raises(SourceError, match="perhaps"):
        monitor(env, MODEL)


def test_failed_requests_are_an_alarm(env, serve):
    serve(400)
    serve(40, seed=5, status=500)
    (finding,) = monitor(env, MODEL).report.of(FindingKind.ERRORS)
    assert finding.status is Status.ALARM
    assert "40 of 440" in finding.sentence


def test_no_data_is_said_loudly_and_ends_with_4(env, served, monkeypatch, capsys):
    assert towpath(monkeypatch, "monitor", MODEL) == 4
    said = capsys.readouterr()
    assert "NO DATA" in said.err
    assert "ALARM" in said.out
    assert "is the gateway up" in said.err


def test_the_command_ends_with_4_on_drift_and_prints_the_report_as_json(env, serve, monkeypatch, capsys):
    serve(400, moved=2.0)
    assert towpath(monkeypatch, "monitor", MODEL, "--window", "1h", "--json") == 4
    said = capsys.readouterr()
    report = json.loads(said.out)["report"]
    assert report["state"] == "alarm"
    assert "`feature_0`" in said.err


def test_the_command_ends_with_0_where_nothing_is_alarming(env, serve, monkeypatch):
    serve(400)
    assert towpath(monkeypatch, "monitor", MODEL) == 0


def test_what_was_found_is_written_though_mlflow_is_down(env, serve, monkeypatch, capsys):
    serve(400)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert towpath(monkeypatch, "monitor", MODEL) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err
    assert last_report(MODEL, "local", env.root) is not None


@pytest.mark.parametrize("arguments", [("--window", "soon"), ("--window", "1h", "--since", "2026-01-01")])
def test_a_window_that_is_none_is_bad_input(env, served, arguments, monkeypatch):
    assert towpath(monkeypatch, "monitor", MODEL, *arguments) == 2


def test_what_is_stable_nowhere_cannot_be_watched(env):
    from pipelines.release.environments import load_environment

    with pytest.raises(UnknownNameError, match="stable in staging"):
        monitor(load_environment("staging", env.root), MODEL)
    with pytest.raises(BadInputError, match="not before its end"):
        monitor(env, MODEL, since=datetime.now(UTC) + timedelta(hours=1))


def test_files_of_another_product_with_the_same_number_are_not_its_own(env, serve):
    serve(400)
    (path,) = (env.log_dir / MODEL).glob("date=*/*.parquet")
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    other = path.with_name(path.name.replace("-v1-w0-", "-v1-w9-"))
    pq.write_table(table.replace_schema_metadata({b"towpath": json.dumps({"digest": "f" * 64}).encode()}), other)
    assert monitor(env, MODEL).report.features[0].rows == 400


def test_labels_that_the_gateway_was_sent_count_without_any_file(env, serve):
    from components.serving.label_log import LabelLog

    ids = serve(300)
    said = dict(pl.scan_parquet(env.log_dir / MODEL).select("request_id", "prediction").collect().rows())
    LabelLog(env.log_dir, 0).keep(MODEL, [(key.encode(), said[key]) for key in ids[:150]])
    (live,) = monitor(env, MODEL).report.live
    assert (live.labels, live.value) == (150, 1.0)


def test_of_a_small_test_split_the_predictions_are_those_of_the_train_split(env, served):
    from components.types import record
    from components.types.training import TrainingResult

    write_training(env, served, tested=299)
    trained = env.root / "out" / MODEL / "trainings" / f"{MODEL}-sklearn"
    shutil.copytree(env.root / "product", trained / "product")
    fields = {
        "model": MODEL, "training": f"{MODEL}-sklearn", "kind": "sklearn", "architecture": "linear", "framework": "x",
        "product_digest": served.ref.digest, "dataset_digest": DATASET, "runtime": "onnx", "native_files": [],
        "parameters": {}, "parity": 0.0, "parity_bound": 1e-4, "epochs_run": 1, "best_epoch": 1,
        "resumed_from_epoch": 0, "product_bytes": 1,
    }  # fmt: skip
    known = {field.name for field in dataclasses.fields(TrainingResult)}
    write_json(trained / "result.json", {name: value for name, value in fields.items() if name in known})
    profile = record.read(ReferenceProfile, keep_profile(MODEL, served.ref.digest, DATASET, env.root))
    said = served.predict(served.plan.from_rows(features(1_000, 1).tolist(), None))["prediction"].tolist()
    counted = {value: profile.prediction.counts[place] for place, value in enumerate(profile.prediction.bins.values)}
    assert counted == {value: said.count(value) for value in set(said)}
