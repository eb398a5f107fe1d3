"""What only a gateway process can show: trouble of its servers, answers that are none, rollbacks without it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.errors import DigestMismatchError, FaultError, InfrastructureError
from components.release.router import RouterFile
from components.release.store import Store
from components.release.targets.process import ProcessTarget
from components.types.judging import GatewayStatus, WorkerStatus
from components.types.record import dump
from components.types.release import JudgeSettings, ModelRef, PlacedModel, Role, TrafficSplit
from tests.contract.targets.places import GatewayPlace, GatewayProcess

Until = Callable[[Callable[[], bool]], None]
REF = ModelRef("taxi", 1, "a" * 64)


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """Return a gateway for one test, not started."""
    (tmp_path / "gateway").mkdir()
    made = GatewayProcess(tmp_path / "gateway")
    yield made
    made.stop()


@pytest.mark.slow
def test_a_split_that_takes_traffic_away_is_written_while_the_gateway_is_down(
    own_gateway: GatewayProcess, store: Store, digests: dict[int, str], until: Until
) -> None:
    place = GatewayPlace(own_gateway, store, digests)
    own_gateway.start()
    for role, version in ((Role.STABLE, 1), (Role.CANARY, 2)):
        place.target.deploy(role, place.ref(version))
    place.target.route(TrafficSplit(place.model, 1, stable=1, canary=2, weight=50))
    until(lambda: place.target.traffic().rev == 1)
    own_gateway.stop()
    place.target.deploy(Role.STABLE, place.ref(1))
    back = TrafficSplit(place.model, 2, stable=1)
    place.target.route(back)
    place.target.retire(Role.CANARY)
    own_gateway.start()
    assert place.target.traffic() == back
    assert set(own_gateway.router.route_of(place.model).loaded) == {"1"}
    assert place.answering() == 1


@pytest.mark.slow
def test_health_counts_what_users_asked_of_a_role(
    gateway: GatewayProcess, store: Store, digests: dict[int, str], until: Until
) -> None:
    place = GatewayPlace(gateway, store, digests)
    place.target.deploy(Role.STABLE, place.ref(1))
    place.target.route(TrafficSplit(place.model, 1, stable=1))
    until(lambda: place.target.traffic().rev == 1)
    for _ in range(20):
        place.answering()
    until(lambda: place.target.health(Role.STABLE, 60.0).requests == 20)
    health = place.target.health(Role.STABLE, 60.0)
    assert (health.role, health.version) == (Role.STABLE, 1)
    assert not any(health.bad.values())


@pytest.mark.slow
def test_the_judge_beside_the_traffic_reports_the_revision_that_is_served(
    gateway: GatewayProcess, store: Store, digests: dict[int, str], until: Until
) -> None:
    place = GatewayPlace(gateway, store, digests)
    for role, version in ((Role.STABLE, 1), (Role.CANARY, 2)):
        place.target.deploy(role, place.ref(version))
    place.target.route(TrafficSplit(place.model, 4, stable=1, canary=2, weight=25))
    until(lambda: place.target.traffic().rev == 4)
    report = place.target.judged()
    assert report is not None
    assert (report.rev, report.weight, report.alarm, report.killed) == (4, 25, None, False)
    assert report.canary is not None
    assert report.canary.version == 2


@pytest.mark.slow
def test_the_kill_switch_takes_the_canary_from_a_running_gateway_without_a_ledger(
    gateway: GatewayProcess, store: Store, digests: dict[int, str], until: Until
) -> None:
    place = GatewayPlace(gateway, store, digests)
    for role, version in ((Role.STABLE, 1), (Role.CANARY, 2)):
        place.target.deploy(role, place.ref(version))
    place.target.route(TrafficSplit(place.model, 4, stable=1, canary=2, weight=100))
    until(lambda: place.target.traffic().rev == 4)
    assert place.answering() == 2
    gateway.router.kill(place.model, 4, [2])
    until(lambda: place.answering() == 1)
    report = place.target.judged()
    assert report is not None
    assert (report.killed, report.weight) == (True, 0)
    place.target.route(TrafficSplit(place.model, 5, stable=1))
    until(lambda: place.target.traffic().rev == 5)
    place.target.route(TrafficSplit(place.model, 6, stable=1, canary=2, weight=100))
    until(lambda: place.target.traffic().rev == 6)
    assert place.answering() == 1


@pytest.mark.slow
def test_another_token_is_said_to_be_that(gateway: GatewayProcess, tmp_path: Path) -> None:
    target = _target(RouterFile(tmp_path / "router.json"), gateway.url, token="another-token-of-some-length")
    with pytest.raises(InfrastructureError, match="TOWPATH_GATEWAY_TOKEN"):
        target.traffic()


class Recorded:
    """A server that answers with what a gateway answered, or would."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.connections: set[tuple[str, int]] = set()
        """Over which something was posted."""
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                recorded.asked.append(self.path)
                recorded.tokens.append(self.headers.get("Authorization"))
                status, body = recorded.answers.get(self.path.partition("?")[0], (404, b"{}"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                recorded.connections.add(self.client_address)
                self.do_GET()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def says(self, *workers: WorkerStatus) -> None:
        self.answers["/release/status"] = 200, json.dumps(dump(GatewayStatus(workers, {}))).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.stop()


@pytest.fixture
def router(tmp_path: Path) -> RouterFile:
    return RouterFile(tmp_path / "router.json")


def _target(router: RouterFile, url: str, token: str | None = None, ready_s: float = 0.3) -> ProcessTarget:
    return ProcessTarget("taxi", router, lambda: url, _placed, JudgeSettings(), token, ready_s)


def _placed(ref: ModelRef) -> PlacedModel:
    return PlacedModel(ref, Path("/store") / ref.digest, "onnx")


def worker(
    number: int = 0, rev: int = 0, loaded: tuple[int, ...] = (), alive_s: float = 0.1, problem: str = ""
) -> WorkerStatus:
    problems = {"taxi": problem} if problem else {}
    return WorkerStatus(number, 100 + number, alive_s, {"taxi": rev} if rev else {}, {"taxi": loaded}, problems)


def test_recorded_the_slowest_worker_says_what_is_served(recorded: Recorded, router: RouterFile) -> None:
    target = _target(router, recorded.url)
    recorded.says(worker(0, 0, (1,)), worker(1, 0, (1,)))
    target.deploy(Role.STABLE, REF)
    split = TrafficSplit("taxi", 7, stable=1)
    target.route(split)
    recorded.says(worker(0, 7, (1,)), worker(1, 6, (1,)))
    assert target.traffic() == TrafficSplit("taxi", 6)
    recorded.says(worker(0, 7, (1,)), worker(1, 7, (1,)))
    assert target.traffic() == split
    recorded.says(worker(0, 8, (1,)))
    assert target.traffic() == TrafficSplit("taxi", 8)


def test_recorded_a_worker_that_is_gone_is_not_waited_for_unless_none_is_left(
    recorded: Recorded, router: RouterFile
) -> None:
    target = _target(router, recorded.url)
    recorded.says(worker(0, 0, (1,)), worker(1, 0, (), alive_s=3600.0))
    target.deploy(Role.STABLE, REF)
    recorded.says(worker(0, 0, (), alive_s=11.0), worker(1, 0, (), alive_s=3600.0))
    with pytest.raises(InfrastructureError, match="no worker of the gateway said anything for 10 s"):
        target.traffic()


def test_recorded_a_version_that_one_worker_does_not_get_loaded_in_time_is_no_version(
    recorded: Recorded, router: RouterFile
) -> None:
    recorded.says(worker(0, 0, (1,)), worker(1, 0, ()))
    with pytest.raises(InfrastructureError, match=r"not loaded within 0\.3 s by worker 1"):
        _target(router, recorded.url).deploy(Role.STABLE, REF)


def test_recorded_the_reason_of_a_worker_is_told_at_once_and_the_version_let_go_of(
    recorded: Recorded, router: RouterFile
) -> None:
    target = _target(router, recorded.url, ready_s=60.0)
    recorded.says(worker())
    known = threading.Timer(0.2, recorded.says, [worker(problem="version 1 was not loaded: no graph")])
    known.start()
    with pytest.raises(FaultError, match="version 1 of taxi cannot be loaded by worker 0 of the gateway: .*no graph"):
        target.deploy(Role.CANARY, REF)
    assert router.route_of("taxi").loaded == {}


def test_recorded_what_another_version_suffers_from_does_not_stop_this_one(
    recorded: Recorded, router: RouterFile
) -> None:
    target = _target(router, recorded.url, ready_s=5.0)
    recorded.says(worker())
    timers = [
        threading.Timer(0.1, recorded.says, [worker(problem="version 11 was not loaded: no graph")]),
        threading.Timer(0.3, recorded.says, [worker(loaded=(1,), problem="version 11 was not loaded: no graph")]),
    ]
    for timer in timers:
        timer.start()
    target.deploy(Role.CANARY, REF)
    assert set(router.route_of("taxi").loaded) == {"1"}


def test_recorded_a_reason_that_was_known_before_counts_only_when_time_is_up(
    recorded: Recorded, router: RouterFile
) -> None:
    recorded.says(worker(problem="version 1 was not loaded: busy"))
    with pytest.raises(FaultError, match="busy"):
        _target(router, recorded.url).deploy(Role.CANARY, REF)
    assert router.route_of("taxi").loaded == {}


@pytest.mark.parametrize(("workers", "connections"), [(1, 3), (2, 24), (4, 48)])
def test_recorded_several_workers_are_asked_so_often_that_none_is_left_out(
    recorded: Recorded, router: RouterFile, workers: int, connections: int
) -> None:
    recorded.says(*(worker(number, loaded=(1,)) for number in range(workers)))
    recorded.answers["/v2/models/taxi/versions/1/infer"] = 200, b"{}"
    answers = _target(router, recorded.url, token="a-token").ask(1, [b"a", b"b", b"c"])
    assert len(answers) == len(recorded.connections) == connections
    assert {(each.request, each.status, each.body) for each in answers} == {(n, 200, b"{}") for n in range(3)}
    assert set(recorded.tokens) == {"Bearer a-token"}


def test_recorded_a_request_that_gets_no_answer_is_one_and_the_next_is_asked(
    recorded: Recorded, router: RouterFile
) -> None:
    recorded.says(worker(0, loaded=(1,)))
    recorded.answers["/v2/models/taxi/versions/1/infer"] = 0, b""  # no status line: as from a worker that died of it
    answers = _target(router, recorded.url).ask(1, [b"a", b"b"])
    assert [(each.request, each.status) for each in answers] == [(0, 0), (1, 0)]
    assert b"does not answer" in answers[0].body


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "answered /release/status with something else than a GatewayStatus"),
        (200, b'{"workers": []}', "field 'reports' is missing"),
        (200, b'{"workers": [{"worker": "zero"}], "reports": {}}', "something else than a GatewayStatus"),
        (500, b"oh no", "answered 500 to /release/status: oh no"),
        (401, b"", "wants another token"),
    ],
)
def test_recorded_an_answer_that_is_none_is_an_infrastructure_error_and_moves_nothing(
    recorded: Recorded, router: RouterFile, status: int, body: bytes, words: str
) -> None:
    recorded.answers["/release/status"] = status, body
    target = _target(router, recorded.url)
    for act in (lambda: target.deploy(Role.STABLE, REF), target.traffic, target.judged):
        with pytest.raises(InfrastructureError, match=words):
            act()
    assert not router.path.exists()


def test_recorded_a_model_that_the_gateway_does_not_know_has_no_health_and_no_traffic(
    recorded: Recorded, router: RouterFile
) -> None:
    recorded.says(WorkerStatus(0, 100, 0.0, {"adult": 3}, {"adult": (1,)}))
    target = _target(router, recorded.url)
    assert target.health(Role.CANARY, 30.0).requests == 0
    assert recorded.asked == ["/release/health?model=taxi&role=canary&window_s=30"]
    assert target.traffic() == TrafficSplit("taxi", 0)
    assert target.judged() is None


def test_a_gateway_that_never_answers_is_given_up(router: RouterFile, free_port: Callable[[], int]) -> None:
    with pytest.raises(InfrastructureError, match=r"http://127\.0\.0\.1:\d+ does not answer: .*refused"):
        _target(router, f"http://127.0.0.1:{free_port()}").deploy(Role.STABLE, REF)
    assert not router.path.exists()


def test_bytes_that_are_placed_as_another_version_are_refused(recorded: Recorded, router: RouterFile) -> None:
    recorded.says(worker(0, 0, (1, 2)))

    def place(ref: ModelRef) -> PlacedModel:
        return PlacedModel(ModelRef("taxi", 1, "b" * 64), Path("/store"), "onnx")

    target = ProcessTarget("taxi", router, lambda: recorded.url, place, JudgeSettings(), ready_s=0.3)
    with pytest.raises(DigestMismatchError, match="was promised with digest aaaaaaaaaaaa"):
        target.deploy(Role.STABLE, REF)
    assert not router.path.exists()


def test_the_token_is_sent_as_a_bearer(router: RouterFile, recorded: Recorded) -> None:
    recorded.says(worker())
    _target(router, recorded.url, token="a-token").traffic()
    _target(router, recorded.url).traffic()
    assert recorded.tokens == ["Bearer a-token", None]
