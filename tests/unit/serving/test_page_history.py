"""The history of evidence is bounded, outlasts restarts and crashes, has one writer, and is drawn where it belongs."""

import asyncio
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from components.serving import page
from components.serving.page.chart import TOTAL, make_chart
from components.serving.page.history import FOLDER, MOST_POINTS, History, Point, thinned
from components.types.judging import GatewayStatus
from tests.release_views import MODEL, canary_report, shadow_report, source, status, write_history


def point(at_s, e_value=1.0, rev=14, role="canary", weight=25, version=8, **e_values):
    return Point(float(at_s), rev, version, role, weight, 10, e_value, e_values)


def test_what_was_written_is_read_by_any_worker(tmp_path):
    writer = History(tmp_path)
    writer.look(status(canary_report()), 1_000.0)
    writer.look(status(canary_report(e_value=9.0)), 1_001.0)
    found = History(tmp_path).read(MODEL)
    assert [(each.at_s, each.e_value, each.weight) for each in found] == [(1_000.0, 3.05, 25), (1_001.0, 9.0, 25)]
    assert found[0].e_values == {"server_error": 1.9, "slow": 4.2}


def test_a_shadow_is_remembered_too_and_a_steady_model_is_not(tmp_path):
    history = History(tmp_path)
    history.look(status(shadow_report()), 1_000.0)
    history.look(status(canary_report(model="steady", canary=None)), 1_000.0)
    assert [(each.role, each.requests) for each in history.read(MODEL)] == [("shadow", 5_100)]
    assert history.read("steady") == ()


def test_what_did_not_change_is_not_written_again_for_a_while(tmp_path):
    history = History(tmp_path)
    for second in range(130):
        history.look(status(canary_report()), 1_000.0 + second)
    assert [each.at_s for each in history.read(MODEL)] == [1_000.0, 1_060.0, 1_120.0]


def test_it_goes_on_after_a_restart_and_a_line_cut_off_by_a_crash(tmp_path):
    History(tmp_path).look(status(canary_report()), 1_000.0)
    path = tmp_path / FOLDER / f"{MODEL}.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at_s": 1001.0, "rev"')
    History(tmp_path).look(status(canary_report(e_value=7.0)), 1_002.0)
    assert [each.at_s for each in History(tmp_path).read(MODEL)] == [1_000.0, 1_002.0]
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("line", ["", "3", "[]", '{"at_s": 1}', "\x00\xff", '{"e_values": "x"}'])
def test_lines_that_are_no_points_are_left_out(tmp_path, line):
    write_history(tmp_path, canary_report(), points=3)
    path = tmp_path / FOLDER / f"{MODEL}.jsonl"
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    assert len(History(tmp_path).read(MODEL)) == 3


def test_it_stays_bounded_and_keeps_its_span_and_its_steps(tmp_path):
    history = History(tmp_path)
    revs = 3
    for index in range(4_000):
        report = canary_report(rev=14 + index * revs // 4_000, e_value=1.0 + index)
        history.look(status(report), float(index))
    found = History(tmp_path).read(MODEL)
    assert len(found) <= MOST_POINTS
    assert (found[0].at_s, found[-1].at_s) == (0.0, 3_999.0)
    starts = [each.at_s for before, each in pairwise(found) if each.rev != before.rev]
    assert starts == [1_334.0, 2_667.0]


def test_thinning_keeps_the_ends_of_every_revision():
    points = [point(index, rev=1 if index < 5 else 2) for index in range(11)]
    assert [each.at_s for each in thinned(points)] == [0, 2, 4, 5, 6, 8, 10]


@pytest.mark.parametrize("value", [float("inf"), 1e308, float("nan")])
def test_evidence_beyond_all_numbers_is_written_and_drawn(tmp_path, value):
    history = History(tmp_path)
    history.look(status(canary_report()), 1_000.0)
    history.look(status(canary_report(e_value=value, e_values={"slow": value})), 1_010.0)
    chart = make_chart(history.read(MODEL), 100.0)
    assert all(0 <= line.end[1] <= 100 for line in chart.lines)


def test_a_name_cannot_leave_the_folder(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    History(state).look(status(canary_report(model="../../escaped")), 1_000.0)
    assert [path.name for path in (state / FOLDER).iterdir()] == ["escaped.jsonl"]


def test_one_of_several_workers_writes_and_another_takes_over(tmp_path):
    async def both():
        given = source(tmp_path, canary_report())
        first = asyncio.create_task(page.keep_history(given, 0.01))
        while not (tmp_path / FOLDER / f"{MODEL}.jsonl").exists():
            await asyncio.sleep(0.01)
        later = replace(given, status=GatewayStatus((), {MODEL: canary_report(e_value=50.0)}))
        second = asyncio.create_task(page.keep_history(later, 0.01))
        await asyncio.sleep(0.3)
        written = [each.e_value for each in History(tmp_path).read(MODEL)]
        assert set(written) == {3.05}
        first.cancel()
        while len(History(tmp_path).read(MODEL)) == len(written):
            await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(asyncio.wait_for(both(), 20))
    assert History(tmp_path).read(MODEL)[-1].e_value == 50.0


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path, caplog):
    (tmp_path / FOLDER).write_text("in the way")

    async def keep():
        task = asyncio.create_task(page.keep_history(source(tmp_path, canary_report()), 0.01))
        await asyncio.sleep(0.2)
        assert not task.done()
        (tmp_path / FOLDER).unlink()
        end = time.monotonic() + 20
        while not History(tmp_path).read(MODEL):
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(keep())
    assert len([each for each in caplog.records if "history" in each.message]) == 1


def test_a_line_begins_anew_with_each_revision():
    points = [point(at_s, rev=rev, slow=2.0) for at_s, rev in ((0, 1), (10, 1), (20, 2), (30, 2))]
    chart = make_chart(points, 100.0)
    assert [line.kind for line in chart.lines] == ["slow", TOTAL]
    assert [len(part.split()) for part in chart.lines[0].parts] == [2, 2]


def test_the_scale_is_logarithmic_and_holds_the_threshold():
    chart = make_chart([point(0, 1.0), point(10, 10.0)], 100.0)
    places = {row.label: row.at for row in chart.rows}
    assert places == {"1000": 0, "100": 20, "10": 40, "1": 60, "0.1": 80, "0.01": 100}
    assert chart.threshold_at == 20
    assert chart.lines[-1].parts == ("0,60 100,40",)


def test_what_is_below_or_above_the_scale_stays_at_its_edge():
    chart = make_chart([point(0, 0.0), point(10, 1e80)], 100.0)
    assert chart.lines[-1].parts == ("0,100 100,0",)
    assert chart.rows[-1].label == "10¹²"


def test_only_the_version_judged_last_is_drawn():
    points = [point(0, version=7), point(10, version=7), point(20), point(30)]
    chart = make_chart(points, 100.0)
    assert chart.version == 8
    assert chart.lines[-1].parts == ("0,60 100,60",)


def test_steps_are_labelled_where_there_is_room():
    points = [point(0, role="shadow", weight=0, rev=12), *(point(at, rev=13 + at) for at in (2, 40, 41, 100))]
    assert [step.label for step in make_chart(points, 100.0).steps] == ["shadow", "", "canary 25 %", "", ""]


@pytest.mark.parametrize("points", [(), (point(5),), (point(5), point(5))])
def test_too_few_points_make_no_chart(points):
    assert make_chart(points, 100.0) is None


@pytest.mark.parametrize("span_s", [3, 40, 700, 9_000, 90_000, 5_000_000])
def test_a_few_readable_times_stand_below_any_span(span_s):
    chart = make_chart([point(1_790_000_003), point(1_790_000_003 + span_s)], 100.0)
    assert 1 <= len(chart.columns) <= 6
    assert all(0 <= column.at <= 100 for column in chart.columns)
    assert len({column.label for column in chart.columns}) == len(chart.columns)
