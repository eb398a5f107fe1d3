"""What should run of the stack, and what is left of it. No server is started."""

import os
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from components.stage.files import write_json
from components.types.release import Environment
from pipelines.cli.stack import stack_app
from pipelines.services import stack
from pipelines.services import stack_state as state
from pipelines.services.process import Service

FIGURES = (".towpath/monitoring/production/people.prom", ".towpath/schedules/batches-people.prom")


@pytest.fixture
def up(tmp_path: Path) -> Path:
    """Return the root of a project whose stack was started with two gateways, of which none runs."""
    state.make_settings(tmp_path / "data", tmp_path)
    state.add_gateways([Environment.STAGING, Environment.PRODUCTION], tmp_path)
    return tmp_path


def runs(name: str, root: Path) -> None:
    """Record this very process as a server."""
    pid = os.getpid()
    service = Service(name, pid, psutil.Process(pid).create_time(), "http://127.0.0.1:1", "", "")
    write_json(root / f".towpath/services/{name}.json", service)


def leave_figures(root: Path, age_s: float) -> list[Path]:
    """Leave figures for Prometheus that are so much older than the stack."""
    at = (root / ".towpath/stack/settings.json").stat().st_mtime - age_s
    for path in FIGURES:
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text("psi 1\n")
        os.utime(root / path, (at, at))
    return [root / path for path in FIGURES]


def test_a_gateway_that_was_asked_for_and_died_is_missed(up: Path) -> None:
    runs("gateway-production", up)
    absent = stack.absent_servers(stack.running(up), up)
    assert set(absent) == {*stack.OWN, "gateway-staging"}
    assert stack.start_command(absent) == "towpath stack up --gateway staging"


def test_without_a_stack_no_gateway_is_missed(tmp_path: Path) -> None:
    absent = stack.absent_servers((), tmp_path)
    assert set(absent) == set(stack.OWN)
    assert stack.start_command(absent) == "towpath stack up"


def test_a_later_start_keeps_the_gateways_of_those_before(up: Path) -> None:
    state.add_gateways([Environment.LOCAL], up)
    state.add_gateways((), up)
    assert set(state.read_gateways(up)) == set(Environment)


def test_the_status_names_the_gateway_and_ends_with_1(up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(up)
    for name in stack.OWN:
        runs(name, up)
    monkeypatch.setattr(stack, "_is_healthy", lambda *_: True)
    shown = CliRunner().invoke(stack_app, ["status"])
    assert shown.exit_code == 1
    command = "towpath stack up --gateway staging --gateway production"
    assert f"not running: gateway-production, gateway-staging; `{command}` starts it" in shown.output
    for name in ("gateway-staging", "gateway-production"):
        runs(name, up)
    assert CliRunner().invoke(stack_app, ["status"]).exit_code == 0


@pytest.mark.parametrize(("age_s", "keep", "is_left"), [(-1.0, False, False), (-1.0, True, True), (60.0, False, True)])
def test_down_deletes_the_figures_that_were_left_while_the_stack_was_up(
    up: Path, age_s: float, keep: bool, is_left: bool
) -> None:
    figures = leave_figures(up, age_s)
    stack.stop_stack(up, keep=keep)
    assert [path.exists() for path in figures] == [is_left, is_left]
    assert (up / ".towpath/stack").exists() == keep


def test_down_leaves_figures_alone_where_there_is_no_stack(tmp_path: Path) -> None:
    path = tmp_path / FIGURES[0]
    path.parent.mkdir(parents=True)
    path.write_text("psi 1\n")
    stack.stop_stack(tmp_path)
    assert path.exists()


def test_down_forgets_the_gateways_and_deletes_the_log_of_one_that_died(up: Path) -> None:
    log = up / ".towpath/services/gateway-staging.log"
    log.parent.mkdir(parents=True)
    log.write_text("it ended\n")
    stack.stop_stack(up, keep=True)
    assert not log.exists()
    assert state.read_gateways(up) == ()
