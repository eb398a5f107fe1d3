"""Every alarm is right by promtool, reads what really is exposed, is tried out, and has a page that says what to do."""

import re

import pytest
import yaml

from components.release.plan import load_plan

RUNBOOKS = "docs/runbooks"
SEVERITIES = {"page", "ticket"}


@pytest.fixture
def rules(root):
    files = sorted((root / "infra/prometheus/rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture
def alarms(rules):
    found = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert len(found) >= 12
    return found


def test_promtool_takes_the_rules_and_the_configuration(root, promtool):
    promtool("check", "rules", *sorted((root / "infra/prometheus/rules").glob("*.yml")))
    promtool("check", "config", "--syntax-only", root / "infra/prometheus/prometheus.yml")


def test_every_alarm_speaks_where_it_should(root, promtool):
    promtool("test", "rules", *sorted((root / "infra/prometheus/tests").glob("*.yml")))


def test_every_alarm_is_tried_out_both_speaking_and_silent(root, alarms):
    spoke, silent = set(), set()
    for file in (root / "infra/prometheus/tests").glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for each in test["alert_rule_test"]:
                (spoke if each["exp_alerts"] else silent).add(each["alertname"])
    assert spoke == set(alarms)
    # these two have a neighbour in the same test that is not named among those expected
    assert set(alarms) - silent == {"GatewayNotReady", "GatewayWorkerSilent"}


def test_promtool_notices_an_alarm_that_never_speaks(root, promtool, tmp_path):
    for kind in ("rules", "tests"):
        (tmp_path / kind).mkdir()
        text = (root / f"infra/prometheus/{kind}/releases.yml").read_text()
        (tmp_path / kind / "releases.yml").write_text(text.replace('by="person"} == 1', 'by="person"} == 2'))
    with pytest.raises(AssertionError, match="KillSwitchSet"):
        promtool("test", "rules", tmp_path / "tests" / "releases.yml")


def test_every_expression_reads_what_is_exposed(rules, unknown):
    assert not {word for rule in rules for word in unknown(rule["expr"])}


def test_an_expression_over_what_nobody_exposes_is_noticed(unknown):
    assert unknown("rate(towpath_gateway_replies_total[5m]) > 0") == ["towpath_gateway_replies_total"]
    assert unknown('towpath_gateway_ready{modle="x"} == 1') == ["towpath_gateway_ready{modle}"]


def test_burn_rates_are_those_of_the_release_plan(alarms, root):
    bake = load_plan("default", root).bake
    budget = f"{1 - bake.slo:.4g}"
    assert f"> {bake.burn_rate} * {budget}" in alarms["ErrorBudgetFastBurn"]["expr"]
    assert f"> 6 * {budget}" in alarms["ErrorBudgetSlowBurn"]["expr"]
    for name, windows in {"ErrorBudgetFastBurn": ("1h", "5m"), "ErrorBudgetSlowBurn": ("6h", "30m")}.items():
        assert set(re.findall(r"ratio_rate(\w+)", alarms[name]["expr"])) == set(windows)
        assert alarms[name]["expr"].endswith(f">= {bake.min_failures}")


def test_every_alarm_says_how_bad_it_is_and_where_its_page_stands(alarms):
    for name, rule in alarms.items():
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}/{name}.md"
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name


def test_every_alarm_has_its_page_and_every_page_its_alarm(root, alarms):
    pages = {path.stem for path in (root / RUNBOOKS).glob("[A-Z]*.md")} - {"README"}
    assert pages == set(alarms)
    index = (root / RUNBOOKS / "README.md").read_text()
    assert {name for name in alarms if f"[{name}]({name}.md)" not in index} == set()


def test_every_page_answers_the_same_four_questions(root, alarms):
    for name in alarms:
        text = (root / RUNBOOKS / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        asked = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert asked == ["What it means", "How to look", "What to do", "How to know that it is over"], name


def test_pages_name_only_commands_that_exist(root):
    import typer.main

    from pipelines.cli.main import app

    known = typer.main.get_command(app).commands
    for path in (root / RUNBOOKS).glob("*.md"):
        for words in re.findall(r"(?:^|`)towpath ([a-z-]+)(?: ([a-z-]+))?", path.read_text(), re.MULTILINE):
            command = known.get(words[0])
            assert command is not None, f"{path.name}: towpath {words[0]}"
            if hasattr(command, "commands"):
                assert words[1] in command.commands, f"{path.name}: towpath {' '.join(words)}"
