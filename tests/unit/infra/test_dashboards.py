"""Every panel of every dashboard asks Prometheus something that it can answer. No Grafana is started."""

import json
import re
from pathlib import Path

import pytest
import yaml

DASHBOARDS = sorted((Path(__file__).resolve().parents[3] / "infra/grafana/dashboards").glob("*.json"))
WIDTH = 24


@pytest.fixture(params=DASHBOARDS, ids=[path.stem for path in DASHBOARDS])
def dashboard(request):
    return json.loads(request.param.read_text())


def expressions(dashboard):
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def filled_in(expression):
    """The expression as Grafana sends it."""
    return re.sub(r"\$(environment|model)", ".*", expression.replace("$__rate_interval", "5m"))


def test_there_are_dashboards():
    assert {path.stem for path in DASHBOARDS} == {"gateway", "releases", "monitoring"}


def test_promtool_can_parse_every_expression(dashboard, promtool, tmp_path):
    rules = [
        {"record": f"panel:number:{number}", "expr": filled_in(each)}
        for number, each in enumerate(expressions(dashboard))
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)


def test_every_expression_reads_what_is_exposed(dashboard, unknown):
    assert not {word for each in expressions(dashboard) for word in unknown(each)}
    asked = [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
    for variable in asked:
        label = variable["name"]
        metric = re.fullmatch(rf"label_values\((\w+), {label}\)", variable["definition"]).group(1)
        assert not unknown(f'{metric}{{{label}="x"}}')


def test_variables_are_declared_and_no_address_is_written_down(dashboard):
    text = json.dumps(dashboard)
    declared = {each["name"] for each in dashboard["templating"]["list"]} | {"__rate_interval", "__all"}
    used = set(re.findall(r"\$\{?(\w+)", text))
    assert used <= declared
    assert "://" not in text
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${source}"}


def test_panels_are_told_apart_and_do_not_overlap(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_is_told_where_they_are(read):
    assert read("infra/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]["url"] == "$PROMETHEUS_URL"
    provider = read("infra/grafana/provisioning/dashboards/towpath.yml")["providers"][0]
    mounted = read("infra/compose.yaml")["services"]["grafana"]["volumes"]
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in mounted)
