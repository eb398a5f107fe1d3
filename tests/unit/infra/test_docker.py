"""The compose file and the Dockerfiles, as far as they can be judged without Docker: schema, linters, house rules."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.release.environments import load_environment

COMPOSE = "infra/compose.yaml"
OURS = {"gateway", "gateway-staging", "mlflow", "prefect", "worker", "watchdog", "prepare", "buckets"}
SERVERS = {"postgresql", "objects", "mlflow", "prefect", "gateway", "gateway-staging", "prometheus", "grafana"}
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY|_URL$|_URI$|CONNECTION")
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def compose(read):
    return read(COMPOSE)


@pytest.fixture
def services(compose):
    return compose["services"]


@pytest.fixture
def dockerfiles(root):
    return sorted((root / "infra/docker").glob("*.Dockerfile"))


@pytest.fixture
def load(root):
    def by_name(name):
        spec = importlib.util.spec_from_file_location(f"docker_{name}", root / "infra/docker" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return by_name


def tool(name, *arguments):
    path = Path(sys.executable).with_name(name)
    return subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def test_compose_is_what_its_schema_asks_for(root, tmp_path):
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = tool("check-jsonschema", *schema, root / COMPOSE)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "compose.yaml"
    broken.write_text((root / COMPOSE).read_text().replace("depends_on:", "depends:", 1))
    assert tool("check-jsonschema", *schema, broken).returncode == 1


def test_yaml_is_written_evenly(root):
    done = tool("yamllint", "--strict", "-c", root / "infra/yamllint.yml", *(
        root / each for each in (COMPOSE, "infra/prometheus", "infra/grafana", "infra/yamllint.yml", ".github")
    ))  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing_and_would_find_something(dockerfiles, tmp_path):
    assert len(dockerfiles) == 4
    done = tool("hadolint", *dockerfiles)
    assert done.returncode == 0, done.stdout
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python\nRUN cd / && apt-get install git\n")
    assert tool("hadolint", careless).returncode == 1


def test_images_are_built_in_stages_and_run_as_nobody_special(dockerfiles):
    for path in dockerfiles:
        text = path.read_text()
        stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.MULTILINE)
        assert len(stages) == 2, path.name
        assert stages[1][1] == "", path.name
        last = text[text.rindex("\nFROM ") :]
        assert re.findall(r"^USER (.*)$", last, re.MULTILINE)[-1] == "10001", path.name
        assert "COPY --from=build" in last, path.name
        assert "HEALTHCHECK" in last, path.name
        for image, _ in stages:
            assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", image), f"{path.name}: {image}"
            assert ":latest" not in image


def test_no_state_and_no_secret_gets_into_an_image(dockerfiles, root):
    ignored = set((root / "infra/docker/pipeline.Dockerfile.dockerignore").read_text().splitlines())
    assert ignored >= {".venv", ".towpath", ".env*", "infra/.env*", ".dvc/config.local", "**/*.pem", "**/*.key"}
    for path in dockerfiles:
        assert path.with_name(f"{path.name}.dockerignore").is_file()
        for name, value in re.findall(r"\b([A-Z_]+)=(\S+)", path.read_text()):
            assert not re.search(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY", name), f"{path.name}: {name}={value}"


def test_every_secret_comes_from_the_environment_and_has_no_default(compose):
    text = json.dumps(compose)
    assert not re.search(r"\$\{\w+(:?-|\})", text), "a variable with a default, or without a complaint"
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|ACCESS_KEY|_USER$", key):
                assert re.fullmatch(r"\$\{\w+:\?\}", value), f"{name}: {key}"
            elif SECRET.search(key) and "@" in value:
                assert re.search(r"://\w+:\$\{\w+:\?\}@", value), f"{name}: {key}"


def test_ports_are_on_loopback_and_used_once(services):
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_every_server_is_checked_and_waited_for(services, root):
    for name, service in services.items():
        built = service.get("build")
        own = built is not None and "HEALTHCHECK" in (root / built["dockerfile"]).read_text()
        assert own or "test" in service["healthcheck"], name
        for other, how in service.get("depends_on", {}).items():
            once = services[other].get("healthcheck") == {"disable": True}
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy"), (name, other)
    assert services.keys() >= SERVERS


def test_volumes_are_named_and_every_one_is_used(compose):
    mounted = {
        str(each).split(":")[0] for service in compose["services"].values() for each in service.get("volumes", ())
    }
    assert {each for each in mounted if not each.startswith(("./", "../"))} == set(compose["volumes"])


def test_mounted_files_exist(services, root):
    for service in services.values():
        for each in service.get("volumes", ()):
            if each.startswith("./"):
                assert (root / "infra" / each.split(":")[0]).exists(), each


def test_our_containers_have_no_powers(services):
    for name in OURS:
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name


def test_the_worker_finds_gateways_that_run_elsewhere(services, monkeypatch, root):
    for name in ("staging", "production"):
        variable = f"TOWPATH_{name.upper()}_GATEWAY_URL"
        monkeypatch.setenv(variable, services["worker"]["environment"][variable])
        url = load_environment(name, root).gateway_url()
        host, port = url.removeprefix("http://").split(":")
        assert services[host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_gateways_read_what_the_worker_writes(services, root):
    for host, name in (("gateway", "production"), ("gateway-staging", "staging")):
        text = (root / "infra/docker/gateway.Dockerfile").read_text()
        said = " ".join(services[host].get("command", [])) or text
        env = load_environment(name, root)
        for path in (env.router_path, env.board_dir, env.log_dir):
            assert str(path.relative_to(root)) in said, (host, path)


def test_prometheus_scrapes_the_gateways_by_environment(read, services):
    for each in read("infra/prometheus/targets/gateways.yml"):
        host, port = each["targets"][0].split(":")
        address = services["worker"]["environment"][f"TOWPATH_{each['labels']['environment'].upper()}_GATEWAY_URL"]
        assert address == f"http://{host}:{port}"
    assert read("infra/prometheus/targets/textfiles.yml")[0]["targets"] == ["textfiles:9100"]


def test_slim_images_have_all_that_their_packages_need(load, root):
    packages = load("packages")
    lock = (root / "infra/locks/main.txt").read_text()
    for image, wanted in packages.IMAGES.items():
        listed = (packages.FOLDER / f"{image}.txt").read_text().split()
        assert listed == packages.needed(wanted), f"run `python infra/docker/packages.py list` ({image})"
        entries = packages.pick(listed, lock)
        assert entries.count("--hash=sha256:") >= len(listed)
        named = re.findall(r"^([a-z0-9._-]+)==", entries, re.MULTILINE)
        assert list(dict.fromkeys(named)) == listed


def test_a_package_with_a_version_for_each_python_keeps_them_all(load):
    lock = """a==2 ; python_full_version >= '3.12' \\
    --hash=sha256:0
a==1 ; python_full_version < '3.12' \\
    --hash=sha256:1
b==1 \\
    --hash=sha256:2
"""
    assert load("packages").pick(["a"], lock) == lock[: lock.index("b==1")]


def test_a_package_that_the_lock_lacks_is_named(load):
    with pytest.raises(SystemExit, match="the lock has no nothing-like-it"):
        load("packages").pick(["numpy", "nothing-like-it"], "numpy==1 \\\n    --hash=sha256:0\n")


def test_the_gateways_packages_are_those_that_it_imports(load, root):
    script = (
        "import sys, json, pkgutil, importlib, components.serving as s, components.runtime.onnx_runtime\n"
        "for each in pkgutil.walk_packages(s.__path__, 'components.serving.'):\n"
        "    each.name.endswith('__main__') or importlib.import_module(each.name)\n"
        "from importlib.metadata import packages_distributions\n"
        "known = packages_distributions()\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(json.dumps(sorted({known[top][0] for top in tops & known.keys()})))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    packages = load("packages")
    listed = (packages.FOLDER / "gateway.txt").read_text().split()
    imported = {packages.plain(each) for each in json.loads(done.stdout)}
    assert imported - set(listed) <= {"towpath", "setuptools", "editables"}


def test_images_are_pinned_once_and_pinned_anew(load, root):
    pin = load("pin_images")
    text = (root / COMPOSE).read_text() + "\nFROM python:3.11.13-slim-bookworm AS build\n"
    tags = pin.tags(text)
    assert "postgres:17.6-bookworm" in tags
    assert not [tag for tag in tags if tag.startswith("towpath-")]
    once = pin.pinned(text, dict.fromkeys(tags, DIGEST))
    assert f"FROM python:3.11.13-slim-bookworm@{DIGEST} AS build" in once
    assert once.count(DIGEST) == len(tags)
    other = DIGEST.replace("a", "b").replace("shb", "sha")
    assert pin.tags(once) == tags
    assert DIGEST not in pin.pinned(once, dict.fromkeys(tags, other))


def fake_docker(folder, script):
    """Stands for docker, which needs a daemon and the network for what it is asked here."""
    folder.mkdir()
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(folder)


def copied(root, folder):
    (folder / "docker").mkdir(parents=True)
    for path in (COMPOSE, "infra/docker/gateway.Dockerfile"):
        (folder / path.removeprefix("infra/")).write_text((root / path).read_text())
    return folder


def test_pinning_asks_docker_for_every_tag(load, root, tmp_path, monkeypatch, capsys):
    infra = copied(root, tmp_path / "infra")
    monkeypatch.setenv("PATH", fake_docker(tmp_path / "bin", f"echo {DIGEST}"))
    assert load("pin_images").main(infra) == 0
    assert f"postgres:17.6-bookworm@{DIGEST}" in (infra / "compose.yaml").read_text()
    assert f"slim-bookworm@{DIGEST}\n" in (infra / "docker/gateway.Dockerfile").read_text()
    assert f"grafana/grafana:12.1.1@{DIGEST}" in capsys.readouterr().out


def test_pinning_changes_nothing_where_a_tag_cannot_be_resolved(load, root, tmp_path, monkeypatch):
    infra = copied(root, tmp_path / "infra")
    script = 'case "$*" in *version*) exit 0;; *grafana*) echo "no such tag" >&2; exit 1;; esac; echo ' + DIGEST
    monkeypatch.setenv("PATH", fake_docker(tmp_path / "bin", script))
    with pytest.raises(SystemExit, match=r"grafana/grafana:.* could not be resolved, nothing was changed: no such tag"):
        load("pin_images").main(infra)
    assert (infra / "compose.yaml").read_text() == (root / COMPOSE).read_text()


def test_pinning_without_docker_is_a_sentence(load, root, tmp_path, monkeypatch, capsys):
    infra = copied(root, tmp_path / "infra")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load("pin_images").main(infra) == 2
    assert "docker with buildx is not on this machine" in capsys.readouterr().out
