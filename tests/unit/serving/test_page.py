"""The page shows what ledger and gateway say, says so where they disagree or are old, and takes nothing for HTML."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from components.serving import page
from components.serving.page.source import StoredSource
from components.types.evaluation import Verdict
from components.types.judging import ArmReport, Drift, GatewayStatus, WorkerStatus
from components.types.release_view import ApprovalView, EventView, VersionView
from tests.release_views import (
    EVIL,
    MODEL,
    ago,
    canary_report,
    digest,
    model_view,
    shadow_report,
    source,
    status,
    write_history,
    write_view,
)

VOID = {"meta", "link", "line", "polyline", "img", "br"}


class Page(HTMLParser):
    """A page's tags and its text, and whether every tag is closed where it should be."""

    def __init__(self, body):
        super().__init__()
        self.tags, self.attributes, self.words, self.open, self.crossed = [], [], [], [], []
        self.feed(body.decode())
        self.close()
        self.text = " ".join(" ".join(self.words).split()).replace("\N{EN DASH}", "-")

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.crossed.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def values(self, tag, name):
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


def shown(folder, *reports, path=f"/release/{MODEL}", **changes):
    reply = page.render(source(folder, *reports, **changes), path)
    assert reply.content_type == b"text/html; charset=utf-8"
    found = Page(reply.body)
    assert (found.crossed, found.open) == ([], [])
    return found


@pytest.fixture
def rollout(tmp_path):
    write_view(tmp_path, model_view())
    write_history(tmp_path, canary_report())
    return tmp_path


def test_a_canary_is_shown_with_all_that_is_known_of_it(rollout):
    text = shown(rollout, canary_report()).text
    for said in (
        "Version 8 answers 25 % of the users, version 7 the others.",
        "Next: canary 50 %. Missing: 88 more canary requests.",
        "canary v8 4,712 1,061 2 0.042 % 61 1.3 % 398 0.70 ms 2.20 ms 5.10 ms 0 s ago",
        "Predictions' drift (PSI): 0.034 over 4,712 predictions",
        "Split of users: p = 0.41",
        "212 canary requests at this weight, at least 300 are needed",
        "edsger approved v8 to stable looked at the pairs",
        "approved does not count",
        "v8 → canary automatic 25 %: every gate passed eeeeeeeeeeee",
        "worker 1 4101 14 v6, v7, v8",
        "The page loads itself anew every 3 s.",
        "production · all releases",
    ):
        assert said in text, said
    assert digest(14) not in text


def test_versions_have_their_states_and_shares(rollout):
    text = shown(rollout, canary_report()).text
    assert "8 canary 25 % ada 888888888888 7 stable 75 % grace 777777777777 6 superseded - grace" in text
    assert "5 rolled back - ada" in text


def test_a_shadow_is_shown_pair_by_pair(tmp_path):
    write_view(tmp_path, model_view(rev=13, canary=None, shadow=8, weight=0))
    text = shown(tmp_path, shadow_report(), rev=13).text
    assert "Version 7 is stable and answers everyone. Version 8 sees the same requests" in text
    assert (
        "Of 5,100 requests that both answered, 40 got another prediction; 8 went wrong in the shadow alone, 2 in"
        in text
    )
    assert "110 were not mirrored because the shadow was busy" in text
    assert "insufficient, with 120 predictions" in text
    assert "shadow v8 5,100 - 9" in text


def test_nothing_on_its_way_is_said_calmly_and_seldom_reloaded(tmp_path):
    quiet = {"canary": None, "weight": 0, "plan": "", "verdicts": (), "next_step": ""}
    write_view(tmp_path, model_view(**quiet), written_at=ago(90_000))
    found = shown(tmp_path, canary_report(canary=None, e_values={}, e_value=0.0, weight=0))
    assert "Version 7 is stable and answers everyone." in found.text
    assert "Nothing is on its way, so nothing is judged." in found.text
    assert "stale" not in found.text
    assert found.values("meta", "content")[-1] == "30"
    assert "1 d 1 h ago" in found.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alarm": "e = 141 of 100 (server_error)"}, "The judge raised an alarm e = 141 of 100"),
        ({"breaker": "3 of 5 canary requests failed"}, "The breaker tripped 3 of 5"),
        ({"killed": True}, "The kill switch on this machine holds the canary at 0 %."),
    ],
)
def test_a_stopped_canary_is_said_first_with_the_weight_in_effect(rollout, change, said):
    found = shown(rollout, canary_report(weight=0, **change))
    assert said in found.text
    assert "Version 7 is stable and answers everyone. Version 8 was stopped." in found.text
    assert "canary: version 8, 0 % of the users" in found.text
    assert "Next:" not in found.text
    assert ("div", "role", "alert") in found.attributes


def test_a_stale_view_is_said_aloud_while_something_is_on_its_way(tmp_path):
    write_view(tmp_path, model_view(), written_at=ago(900))
    assert "The ledger's view is stale It is 15 min old" in shown(tmp_path, canary_report()).text
    write_view(tmp_path, model_view(), written_at="yesterday")
    assert "It is of an unknown time" in shown(tmp_path, canary_report()).text
    write_view(tmp_path, model_view(), written_at=ago(60))
    assert "stale" not in shown(tmp_path, canary_report()).text


@pytest.mark.parametrize("content", [None, "{", '{"env": 3}'])
def test_without_a_view_the_live_figures_are_shown_and_it_is_said(tmp_path, content):
    if content is not None:
        (tmp_path / "release-view.json").write_text(content)
    text = shown(tmp_path, canary_report()).text
    assert ("There is no view of the ledger" if content is None else "The ledger's view cannot be read") in text
    assert "Version 8 answers 25 % of the users, version 7 the others." in text
    assert "canary v8 4,712" in text


def test_a_gateway_behind_the_ledger_and_a_view_behind_the_gateway_are_told_apart(tmp_path):
    write_view(tmp_path, model_view(rev=15))
    text = shown(tmp_path, canary_report()).text
    assert "The gateway is behind the ledger The ledger is at revision 15; worker 0 at 14, worker 1 at 14." in text
    write_view(tmp_path, model_view(rev=13))
    text = shown(tmp_path, canary_report()).text
    assert "The gateway serves revision 14; the ledger's view below is of revision 13." in text


def test_lost_workers_and_their_problems_are_said(rollout):
    workers = (
        WorkerStatus(0, 1, 0.1, {MODEL: 14}, {}),
        WorkerStatus(1, 2, 75.0, {MODEL: 14}, {}, {MODEL: "version 8 does not load: no memory"}),
    )
    body = page.render(
        StoredSource(rollout, GatewayStatus(workers, {MODEL: canary_report()})), f"/release/{MODEL}"
    ).body
    text = Page(body).text
    assert "A worker is lost Not heard of for up to 1 min 15 s: 1." in text
    assert "version 8 does not load: no memory" in text


def test_the_overview_has_every_model_of_the_ledger_and_of_the_gateway(tmp_path):
    write_view(tmp_path, model_view(), model_view(model="taxi", canary=None, stable=3, weight=0))
    reply = page.render(source(tmp_path, canary_report(), replace(canary_report(), model="new")), "/release")
    found = Page(reply.body)
    assert found.values("a", "href") == ["/release/churn", "/release/new", "/release/taxi"]
    assert "evidence against it: e = 3.05 of 100" in found.text
    assert "The ledger's view does not know this model" in found.text
    assert "Version 3 is stable and answers everyone." in found.text
    assert page.render(source(tmp_path, canary_report()), "/release/").body.startswith(b"<!doctype html>")


def test_an_empty_gateway_has_a_page_too(tmp_path):
    found = Page(page.render(StoredSource(tmp_path, GatewayStatus((), {})), "/release").body)
    assert "No model is served here yet." in found.text


@pytest.mark.parametrize("asked", ["nope", "..%2f..%2fetc%2fpasswd", "%3Cscript%3Ealert(1)%3C/script%3E"])
def test_an_unknown_model_is_named_and_the_known_ones_linked(rollout, asked):
    reply = page.render(source(rollout, canary_report()), f"/release/{asked}")
    assert reply.status == 404
    found = Page(reply.body)
    assert "There is no model" in found.text
    assert "/release/churn" in found.values("a", "href")
    assert "script" not in found.tags


def test_whatever_people_write_stays_text(tmp_path):
    name = f"m{EVIL}"
    view = model_view(
        model=name,
        plan=EVIL,
        next_step=EVIL,
        versions=(VersionView(8, EVIL, EVIL, EVIL),),
        verdicts=(Verdict(EVIL, False, (EVIL,)),),
        approvals=(ApprovalView(8, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, True),),
        events=(EventView(1, EVIL, 8, EVIL, EVIL, EVIL, EVIL),),
    )
    write_view(tmp_path, view, written_at=EVIL)
    report = canary_report(model=name, alarm=EVIL, breaker=EVIL, e_values={EVIL: 2.0})
    report = replace(report, canary=replace(report.canary, bad={EVIL: 1}))
    write_history(tmp_path, report)
    workers = (WorkerStatus(0, 1, 0.0, {name: 1}, {}, {name: EVIL}),)
    given = StoredSource(tmp_path, GatewayStatus(workers, {name: report}))
    for path in ("/release", f"/release/{name}"):
        reply = page.render(given, path)
        found = Page(reply.body)
        assert reply.status == 200
        assert (found.crossed, found.open) == ([], [])
        assert "alert('x')" in found.text
        assert not {"script", "img"} & set(found.tags)
        assert not [name for _, name, _ in found.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_anywhere(rollout):
    for path in ("/release", f"/release/{MODEL}", "/release/unknown"):
        reply = page.render(source(rollout, canary_report()), path)
        found = Page(reply.body)
        assert not {"script", "img", "iframe", "form", "object", "embed"} & set(found.tags)
        assert [value for value in found.values("link", "href") if not value.startswith("data:")] == []
        assert b"url(" not in reply.body
        assert b"@import" not in reply.body


def test_the_browser_is_told_to_load_nothing_and_to_keep_nothing(rollout):
    headers = dict(page.render(source(rollout, canary_report()), "/release").headers)
    policy = headers[b"content-security-policy"].decode().split("; ")
    assert policy[:3] == ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"]
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_who_cannot_see_it_is_told_what_is_drawn(rollout):
    found = shown(rollout, canary_report())
    assert "Share of the users: stable version 7 75 percent, canary version 8 25 percent" in found.values(
        "div", "aria-label"
    )
    assert "E-values of version 8 over time, on a logarithmic scale" in found.text
    assert "The version is aborted when the average reaches 100." in found.text
    assert set(found.values("th", "scope")) == {"row", "col"}
    assert len(found.values("th", "scope")) == found.tags.count("th")
    assert found.values("html", "lang") == ["en"]
    assert found.tags.count("h1") == 1


def test_the_chart_has_a_line_for_each_kind_and_the_threshold(rollout):
    found = shown(rollout, canary_report())
    assert found.values("polyline", "data-kind") == ["server_error", "slow", "average"]
    assert found.values("line", "class").count("limit") == 1
    assert all(len(points.split()) == 40 for points in found.values("polyline", "points"))


def test_before_the_first_evidence_there_is_no_chart_and_no_error(tmp_path):
    write_view(tmp_path, model_view())
    found = shown(tmp_path, canary_report())
    assert "svg" not in found.tags
    assert "Nothing is known yet" in found.text


def test_the_threshold_is_the_judges_own(rollout):
    found = shown(rollout, canary_report(threshold=20.0))
    assert "aborted at 20" in found.text


def test_a_long_past_is_cut_and_it_is_said_where_the_rest_is(tmp_path):
    old = model_view().events[-1]
    events = tuple(replace(old, rev=100 - index, reason=f"reason {index}") for index in range(60))
    write_view(tmp_path, model_view(events=events, versions=model_view().versions * 8))
    text = shown(tmp_path, canary_report()).text
    assert "reason 39" in text
    assert "reason 40" not in text
    assert "20 older ones are in the ledger: towpath ledger show churn" in text
    assert "12 older ones are in the ledger." in text


@pytest.mark.parametrize(("psi", "max_psi", "marked"), [(0.31, 0.2, True), (0.31, 0.5, False), (0.12, 0.1, True)])
def test_a_drift_is_marked_by_the_bound_of_its_own_plan(tmp_path, psi, max_psi, marked):
    write_view(tmp_path, model_view(max_psi=max_psi))
    text = shown(tmp_path, canary_report(drift=Drift(psi, 900))).text
    assert f"{psi:.3f} over 900 predictions" in text
    assert (f"not below {max_psi:g}" in text) == marked


@pytest.mark.parametrize(("p", "split_p", "marked"), [(5e-5, 1e-4, True), (5e-5, 1e-6, False), (0.004, 0.01, True)])
def test_a_split_is_marked_by_the_bound_of_its_own_plan(tmp_path, p, split_p, marked):
    write_view(tmp_path, model_view(split_p=split_p))
    text = shown(tmp_path, canary_report(split_p=p)).text
    assert f"p = {p:.2g}{' off' if marked else ''} ." in text


def test_where_no_plan_bounds_drift_and_split_nothing_is_marked(tmp_path):
    write_view(tmp_path, model_view(max_psi=None, split_p=None))
    text = shown(tmp_path, canary_report(drift=Drift(9.0, 900), split_p=1e-9)).text
    assert "9.000 over 900 predictions. Split" in text
    assert "p = 1e-09 ." in text


def test_a_rejection_holds_until_the_slot_moves_on_whatever_time_it_names(tmp_path):
    no = ApprovalView(8, "canary:50", "grace", "reject", "too slow", ago(90_000), ago(3_600), True)
    write_view(tmp_path, model_view(approvals=(no,)))
    text = shown(tmp_path, canary_report()).text
    assert "grace reject v8 to canary:50 too slow it moves on" in text
    assert "does not count" not in text


def test_a_judge_that_has_nothing_yet_is_shown(rollout):
    nobody = ArmReport(8, 0, 0, {}, 0, None, None, None, None)
    text = shown(rollout, canary_report(canary=nobody, e_values={}, e_value=0.0)).text
    assert "canary v8 0 0 0 0 0 - - - -" in text


def test_workers_that_serve_nothing_yet_are_shown(tmp_path):
    write_view(tmp_path, model_view())
    workers = (WorkerStatus(0, 1, 0.0, {}, {}),)
    body = page.render(StoredSource(tmp_path, GatewayStatus(workers, {})), f"/release/{MODEL}").body
    assert "worker 0 1 - -" in Page(body).text


def test_the_page_is_quick_and_small(rollout):
    given = StoredSource(rollout, status(canary_report()))
    page.render(given, "/release")
    assert len(page.render(given, f"/release/{MODEL}").body) < 60_000
