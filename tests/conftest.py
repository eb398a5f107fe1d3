"""Servers and products that tests of more than one folder use; each is made by the first test that asks for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
from filelock import FileLock

from components.errors import InfrastructureError, MissingExtraError
from components.stage.files import tree_digest, write_json
from components.training.core.environment import ENVIRONMENTS_VARIABLE, environments_dir, require_environment
from components.types.dataset import ColumnType, Task
from components.types.product import GRAPH_FILE, SIGNATURE_FILE, InputSpec, ProductRef, Signature

LONGEST = (
    "tests/contract/trainers/test_trainers.py",
    "tests/e2e/test_drifted_day.py",
    "tests/integration/tfx/test_pipeline.py",
    "tests/e2e/test_tables.py",
    "tests/e2e/test_first_run.py",
    "tests/e2e/test_tfx.py",
    "tests/integration/schedules/test_schedules.py",
    "tests/e2e/test_stack.py",
    "tests/integration/ray/test_ray_runner.py",
    "tests/e2e/test_release.py",
    "tests/unit/training/frameworks/test_keras_trainer.py",
    "tests/integration/terraform/test_terraform_apply.py",
    "tests/e2e/test_interruptions.py",
    "tests/contract/trainers/test_refusals.py",
    "tests/integration/tfx/test_model.py",
    "tests/e2e/test_new_data.py",
    "tests/integration/validation/test_memory.py",
    "tests/unit/training/frameworks/test_lightning_trainer.py",
    "tests/integration/schedules/test_watchdog.py",
    "tests/faults/ledger/test_races.py",
    "tests/faults/ledger/test_deaths.py",
    "tests/e2e/test_refusals.py",
    "tests/integration/schedules/test_clean_checkouts.py",
    "tests/e2e/test_servers.py",
    "tests/faults/test_mlflow_killed.py",
    "tests/integration/monitoring/test_monitoring_flow.py",
    "tests/integration/monitoring/test_monitoring.py",
    "tests/faults/ledger/test_syscalls.py",
)
"""The files that take a minute or more, the longest first."""


def pytest_configure(config: pytest.Config) -> None:
    """Let threads that other tests left behind use `random` while hypothesis draws: it takes them for a strategy."""
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first and what is quick last, so that processes that share the work end together."""
    slow = {_file(each) for each in items if each.get_closest_marker("slow")}
    places = {name: place - len(LONGEST) for place, name in enumerate(LONGEST)}
    items.sort(key=lambda each: places.get(_file(each), _file(each) not in slow))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that gives a port on 127.0.0.1 that nobody listens on, each only once.

    They lie below those that the system gives to outgoing connections, a block for each process that shares the tests:
    whoever is given one may take seconds until it listens.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = iter(range(20_000 + 1_000 * worker, 21_000 + 1_000 * worker))

    def find() -> int:
        for port in ports:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise AssertionError("no port is left")

    return find


@pytest.fixture(scope="session")
def tfx_python() -> Iterator[Path]:
    """Return the interpreter of the environment of kind ``tfx``; the first test that asks for it has it installed.

    Every project that a test makes finds the same environment, as long as its processes inherit our variables.
    """
    if os.environ.get("TOWPATH_NO_TFX"):
        pytest.skip("TOWPATH_NO_TFX is set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENTS_VARIABLE, str(environments_dir()))
        try:
            python = require_environment("tfx", lambda text: print(text, file=sys.stderr, flush=True), repair=True)
        except (MissingExtraError, InfrastructureError) as error:
            pytest.skip(f"the environment of kind tfx cannot be had: {error}")
        yield python


@pytest.fixture(scope="session")
def postgresql_port(free_port: Callable[[], int]) -> Iterator[int]:
    """Run a PostgreSQL server with a superuser ``towpath`` and no password."""
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on the path")
    as_user: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="towpath-pg-"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("running as root, and there is no runuser to start PostgreSQL as somebody else")
        as_user = ["runuser", "-u", "nobody", "--"]
        shutil.chown(folder, "nobody")
    port, data = free_port(), folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            [*as_user, *command], check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    try:
        run("initdb", "-D", str(data), "-U", "towpath", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield port
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_port: int) -> str:
    """Return the URL of a fresh, empty database."""
    psycopg2 = pytest.importorskip("psycopg2")
    name = f"test_{uuid4().hex}"
    connection = psycopg2.connect(host="127.0.0.1", port=postgresql_port, user="towpath", dbname="postgres")
    try:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
    finally:
        connection.close()
    return f"postgresql://towpath@127.0.0.1:{postgresql_port}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a ledger that does not exist yet, in each database that can hold one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


class MlflowServer:
    """An MLflow server on a database and artifacts of its own; started, killed and started again on the same port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url, self._folder, self._port = f"http://127.0.0.1:{port}", folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self._folder / "files")]
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        _wait_until_healthy(f"{self.url}/health", self._process, self._folder / "log")

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


@pytest.fixture
def fragile_mlflow_server(free_port: Callable[[], int], tmp_path: Path) -> Iterator[MlflowServer]:
    """Return an MLflow server that may be killed and started again."""
    server = MlflowServer(tmp_path, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mlflow_server(free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an MLflow server that lasts for all tests."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), free_port())
    server.start()
    yield server.url
    server.kill()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not come up: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the SavedModels that `tests.saved_models` names; they are written once for all tests."""
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    shared = _shared(tmp_path_factory)
    folder = shared / "saved-models"
    with FileLock(shared / "saved-models.lock"):
        if not folder.exists():
            part = shared / "saved-models.part"
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
            environment["PYTHONPATH"] = str(Path(__file__).parents[1])
            command = [sys.executable, "-m", "tests.saved_models", str(part)]
            made = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert made.returncode == 0, made.stderr[-2000:]
            part.rename(folder)
    return folder


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder to copy: Prefect's before its first run, but with its tables, which take six seconds to make."""
    shared = _shared(tmp_path_factory)
    folder = shared / "prefect-home"
    with FileLock(shared / "prefect-home.lock"):
        if not folder.exists():
            part = shared / "prefect-home.part"
            shutil.rmtree(part, ignore_errors=True)  # of one that failed
            part.mkdir()
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
            environment |= {"PREFECT_HOME": str(part), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            made = subprocess.run(command, cwd=shared, env=environment, capture_output=True, text=True)
            assert made.returncode == 0, made.stderr[-2000:]
            part.rename(folder)
    return folder


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this run of the tests, the same in all its processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def table_product(tmp_path: Path) -> ProductRef:
    """Return a product of four raw columns, one of each type; it says ``yes`` where they add up to something positive.

    ``age`` is nullable and counts nothing when missing, ``city`` is nullable and counts -3 when missing or unseen.
    """
    onnx = pytest.importorskip("onnx")
    float64, int64, boolean, string = (onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.BOOL, 8)
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("IsNaN", ["age"], ["no_age"]),
        node("Where", ["no_age", "zero", "age"], ["known_age"]),
        node("Cast", ["known_age"], ["z_age"], to=1),
        node(
            "LabelEncoder",
            ["city"],
            ["z_city"],
            domain="ai.onnx.ml",
            keys_strings=["Rome", "Oslo"],
            values_floats=[1.0, 2.0],
            default_float=-3.0,
        ),
        node("Cast", ["trips"], ["z_trips"], to=1),
        node("Cast", ["vip"], ["z_vip"], to=1),
        node("Sum", ["z_age", "z_city", "z_trips", "z_vip"], ["z"]),
        node("Sigmoid", ["z"], ["yes"]),
        node("Sub", ["one", "yes"], ["no"]),
        node("Unsqueeze", ["yes", "axis"], ["yes_column"]),
        node("Unsqueeze", ["no", "axis"], ["no_column"]),
        node("Concat", ["no_column", "yes_column"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        node(
            "LabelEncoder",
            ["index"],
            ["prediction"],
            domain="ai.onnx.ml",
            keys_int64s=[0, 1],
            values_strings=["no", "yes"],
        ),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "table",
        [
            value("age", float64, ["n"]),
            value("city", string, ["n"]),
            value("trips", int64, ["n"]),
            value("vip", boolean, ["n"]),
        ],
        [value("prediction", string, ["n"]), value("probabilities", 1, ["n", 2])],
        [
            onnx.helper.make_tensor("zero", float64, [], [0.0]),
            onnx.helper.make_tensor("one", 1, [], [1.0]),
            onnx.helper.make_tensor("axis", int64, [1], [1]),
        ],
    )
    kinds = {"age": ColumnType.FLOAT64, "city": ColumnType.STRING, "trips": ColumnType.INT64, "vip": ColumnType.BOOL}
    inputs = tuple(InputSpec(name, kind, (), name in {"age", "city"}, (name,)) for name, kind in kinds.items())
    return _save_product(tmp_path / "table-product", graph, Signature(Task.BINARY, inputs, ("no", "yes")))


@pytest.fixture
def image_product(tmp_path: Path) -> ProductRef:
    """Return a product of one image of two by three pixels; its prediction is their sum."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceSum", ["image", "axes"], ["prediction"], keepdims=0)],
        "image",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.DOUBLE, ["n", 2, 3])],
        [onnx.helper.make_tensor_value_info("prediction", onnx.TensorProto.DOUBLE, ["n"])],
        [onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 2])],
    )
    pixels = tuple(f"pixel_{row}_{column}" for row in range(2) for column in range(3))
    spec = InputSpec("image", ColumnType.FLOAT64, (2, 3), nullable=False, columns=pixels)
    return _save_product(tmp_path / "image-product", graph, Signature(Task.REGRESSION, (spec,), ()))


def _save_product(folder: Path, graph: object, signature: Signature) -> ProductRef:
    onnx = pytest.importorskip("onnx")
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    folder.mkdir()
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / GRAPH_FILE)
    write_json(folder / SIGNATURE_FILE, signature)
    return ProductRef(folder, tree_digest(folder))
