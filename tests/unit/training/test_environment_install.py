"""Environments of one tiny package, installed by the real uv: on first use, whole or not at all, by one process."""

import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.errors import DigestMismatchError, InfrastructureError, MissingExtraError
from components.stage.files import file_digest
from components.training.core.environment import (
    environment_dir,
    interpreter_of,
    require_environment,
    worker_environment,
)
from components.training.core.environment_choice import environment_file, this_machine

ROOT = Path(__file__).resolve().parents[3]
WHEEL = "tiny-1.0-py3-none-any.whl"
INSTALL = (
    "import sys\n"
    "from components.errors import TowpathError\n"
    "from components.training.core.environment import require_environment\n"
    "print(require_environment('echo', lambda text: print(text, flush=True)), flush=True)\n"
)


def make_wheel(path: Path) -> str:
    """Write a wheel with one module, and return its digest."""
    files = {
        "tiny.py": "ANSWER = 42\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files["tiny-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in [*files, "tiny-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Project:
    """A folder that declares the environment of kind ``echo``."""

    root: Path

    def declare(self, requirement: str, python: str = f"{sys.version_info.major}.{sys.version_info.minor}", **more):
        lock = self.root / "infra/locks/echo.txt"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(requirement)
        machine = this_machine()
        platform = {"system": machine.system, "machine": machine.machine, "least": "1.0"}
        choice = {"name": "echo-1", "lock": "infra/locks/echo.txt", "lock_sha256": file_digest(lock), "disk_gb": 0.001}
        content = {"title": "Echo", "install": "make echo", "python": python, "variables": {"ECHO": "off"}}
        path = self.root / environment_file("echo")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**content, "choices": [{**choice, "platforms": [platform], **more}]}))

    @property
    def left(self) -> list[str]:
        """What an installation left, without its lock and its log."""
        return sorted(
            path.name
            for path in (self.root / ".towpath/environments").iterdir()
            if path.suffix not in (".lock", ".log")
        )

    def start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
        return subprocess.Popen(
            [sys.executable, "-c", INSTALL],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOWPATH_ENVIRONMENTS", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return Project(tmp_path)


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "wheels" / WHEEL
    path.parent.mkdir()
    return f"tiny @ {path.as_uri()} --hash=sha256:{make_wheel(path)}\n"


@pytest.fixture
def slow_wheel(tmp_path):
    """A wheel from a server that does not answer until it is told to."""
    digest = make_wheel(tmp_path / WHEEL)
    asked, answer = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            asked.set()
            answer.wait(240)
            content = (tmp_path / WHEEL).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"tiny @ http://127.0.0.1:{server.server_port}/{WHEEL} --hash=sha256:{digest}\n", asked, answer
    answer.set()
    server.shutdown()
    server.server_close()


def run(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_first_use_installs_and_the_next_finds_it(project, wheel):
    project.declare(wheel)
    told: list[str] = []

    python = require_environment("echo", told.append)

    assert run(python, "import tiny; print(tiny.ANSWER)") == "42"
    assert "about 0.001 GB" in told[0]
    assert any("Installed 1 package" in line for line in told)
    assert told[-1].startswith("installed Echo (echo-1)")
    assert project.left == [environment_dir("echo").name]
    assert require_environment("echo", told.append) == interpreter_of("echo") == python
    assert told[-1].startswith("installed")  # nothing more was said


def test_environment_has_nothing_of_the_main_one(project, wheel):
    project.declare(wheel)

    python = require_environment("echo", print)

    assert (
        run(python, "import importlib.util as u; print(u.find_spec('numpy'), u.find_spec('pydantic'))") == "None None"
    )


def test_what_is_not_installed_is_said_with_the_line_that_installs_it(project, wheel):
    project.declare(wheel)

    with pytest.raises(MissingExtraError, match="Echo, which kind `echo` needs, is not installed here .*`make echo`"):
        interpreter_of("echo")


def test_copies_of_a_project_share_one(project, wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("TOWPATH_ENVIRONMENTS", str(tmp_path / "shared"))
    project.declare(wheel)

    assert require_environment("echo", print).is_relative_to(tmp_path / "shared")
    assert not (project.root / ".towpath").exists()


def test_other_lock_is_another_folder(project, wheel):
    project.declare(wheel)
    before = environment_dir("echo")

    project.declare(f"# newer\n{wheel}")

    assert environment_dir("echo") != before


def test_lock_that_is_not_the_declared_one_is_refused(project, wheel):
    project.declare(wheel, lock_sha256="0" * 64)

    with pytest.raises(DigestMismatchError, match="000000000000 is declared"):
        require_environment("echo", print)
    (project.root / "infra/locks/echo.txt").unlink()
    with pytest.raises(DigestMismatchError, match=r"echo\.txt is missing"):
        require_environment("echo", print)


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda folder: next(folder.glob("lib/*/site-packages/tiny.py")).unlink(), r"tiny\.py is missing"),
        (lambda folder: shutil.rmtree(next(folder.glob("lib/*/site-packages"))), r"and \d+ more is missing"),
        (lambda folder: (folder / "towpath.json").unlink(), r"no readable towpath\.json"),
        (lambda folder: (folder / "towpath.json").write_text("{"), r"no readable towpath\.json"),
    ],
)
def test_broken_environment_is_refused_and_made_anew_when_asked(project, wheel, hurt, words):
    project.declare(wheel)
    folder = require_environment("echo", print).parents[1]
    hurt(folder)

    with pytest.raises(MissingExtraError, match=f"kind `echo` is broken: .*{words}.*delete {folder}.*`make echo`"):
        require_environment("echo", print)
    python = require_environment("echo", print, repair=True)

    assert run(python, "import tiny; print(tiny.ANSWER)") == "42"


def test_environment_whose_interpreter_is_gone_is_refused(project, wheel):
    project.declare(wheel)
    python = require_environment("echo", print)
    python.unlink()
    python.symlink_to("/opt/former/bin/python3.11")

    with pytest.raises(MissingExtraError, match=r"its interpreter /opt/former/bin/python3\.11 is gone"):
        interpreter_of("echo")


def test_interpreter_that_no_machine_has_is_asked_for_in_one_sentence(project, wheel):
    project.declare(wheel, python="3.99")

    with pytest.raises(MissingExtraError, match=r"Python 3\.99, and there is none .*uv python install 3"):
        require_environment("echo", print)
    assert project.left == []


def test_disk_that_is_too_small_is_said_before_anything_is_fetched(project, wheel):
    project.declare(wheel, disk_gb=1e9)

    with pytest.raises(InfrastructureError, match=r"takes about 1e\+09 GB, and only .* GB are free"):
        require_environment("echo", print)
    assert project.left == []


def test_package_with_another_hash_leaves_nothing(project, wheel):
    project.declare(wheel.partition("sha256:")[0] + f"sha256:{'0' * 64}\n")

    with pytest.raises(InfrastructureError, match="nothing of it was left: .*: Hash mismatch for `tiny") as caught:
        require_environment("echo", print)

    assert "\n" not in str(caught.value)
    assert project.left == []
    assert "mismatch" in next((project.root / ".towpath/environments").glob("*.log")).read_text()


def test_package_that_cannot_be_compiled_is_said_with_the_compilers_words(project, tmp_path):
    source = tmp_path / "tiny-1.0.tar.gz"
    files = {
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'build'\nbackend-path = ['.']\n",
        "build.py": "def build_wheel(*_):\n    raise SystemExit(\"error: no such file: 'g++'\")\n",
        "PKG-INFO": "Metadata-Version: 2.2\nName: tiny\nVersion: 1.0\n",
    }
    with tarfile.open(source, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"tiny-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    project.declare(f"tiny @ {source.as_uri()} --hash=sha256:{file_digest(source)}\n")

    with pytest.raises(InfrastructureError, match="Failed to build `tiny.*: no such file: 'g\\+\\+' "):
        require_environment("echo", print)

    assert project.left == []


def test_two_first_uses_install_once(project, slow_wheel):
    requirement, asked, answer = slow_wheel
    project.declare(requirement)
    first = project.start()
    assert asked.wait(240)
    second = project.start()
    assert second.stdout is not None
    assert second.stdout.readline().startswith("waiting for another process")

    answer.set()
    said = [process.communicate(timeout=240)[0] for process in (first, second)]

    assert [process.returncode for process in (first, second)] == [0, 0]
    assert "Installed 1 package" in said[0]
    assert "Installed" not in said[1]
    assert project.left == [environment_dir("echo").name]


def test_interrupted_installation_leaves_nothing(project, slow_wheel):
    requirement, asked, _ = slow_wheel
    project.declare(requirement)
    process = project.start()
    assert asked.wait(240)
    assert any(name.startswith(".echo-1") for name in project.left)

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)

    assert process.returncode != 0
    assert project.left == []


def test_killed_installation_is_no_environment_and_the_next_clears_it_away(project, slow_wheel):
    requirement, asked, answer = slow_wheel
    project.declare(requirement)
    process = project.start()
    assert asked.wait(240)
    process.kill()
    process.communicate(timeout=240)
    with pytest.raises(MissingExtraError, match="is not installed"):
        interpreter_of("echo")

    answer.set()
    require_environment("echo", print)

    assert project.left == [environment_dir("echo").name]


def test_whole_environment_is_recognised_without_starting_it(project, wheel):
    project.declare(wheel)
    require_environment("echo", print)

    begun = time.monotonic()
    interpreter_of("echo")

    assert time.monotonic() - begun < 1.0


def test_worker_finds_the_project_first_and_what_the_kind_declares(project, wheel, monkeypatch):
    project.declare(wheel)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/mine", str(ROOT)]))

    assert worker_environment("echo") == {"ECHO": "off", "PYTHONPATH": os.pathsep.join([str(ROOT), "/mine"])}


@pytest.mark.slow
def test_environment_of_kind_tfx_has_tfx_and_tells_nobody(tfx_python, tmp_path):
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import tfx, tensorflow, apache_beam, tensorflow_transform, tensorflow_model_analysis\n"
        "import tensorflow_data_validation, ml_metadata, components.training.core.worker\n"
        "with apache_beam.Pipeline() as pipeline: pipeline | apache_beam.Create([1])\n"
        "print(tfx.__version__, tensorflow.__version__)"
    )
    calls = tmp_path / "connections"
    traced = ["strace", "-f", "-qq", "-e", "trace=connect", "-o", str(calls)] if shutil.which("strace") else []

    done = subprocess.run(
        [*traced, tfx_python, "-c", code],
        cwd=ROOT,
        env={**os.environ, **worker_environment("tfx")},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2] in ("1.16.0 2.16.2", "1.21.0 2.21.0")
    assert not traced or "AF_INET" not in calls.read_text()
