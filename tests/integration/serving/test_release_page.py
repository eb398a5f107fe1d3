"""The release page of a running gateway, as a real browser shows it: nothing missing, nothing executed or loaded."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from components.types.release import TrafficSplit
from tests.release_views import EVIL, ago, model_view, write_view

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
TOKEN = "a-token-of-sixteen-or-more"
ITS_OWN = ("google.com", "googleapis.com", "gvt1.com")
"""Where Chromium itself looks for updates, whatever it shows."""
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-default-apps", "--disable-domain-reliability", "--disable-client-side-phishing-detection",
)  # fmt: skip


class Browser:
    """Chromium, a new profile for every page."""

    def __init__(self, folder):
        if CHROMIUM is None:
            pytest.skip("Chromium is not on the path")
        self.folder = folder

    def run(self, url, *arguments):
        profile = mkdtemp(dir=self.folder)
        command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *arguments, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    def visit(self, url):
        """Return the page's elements once it is shown, and every address that was asked for on its behalf."""
        log = Path(mkdtemp(dir=self.folder)) / "net.json"
        dom = self.run(url, "--dump-dom", f"--log-net-log={log}")
        asked = set(re.findall(r'"traffic_annotation":\d+,"url":"([^"]+)"', log.read_text()))
        return dom, {each for each in asked if not (urlsplit(each).hostname or "").endswith(ITS_OWN)}

    def dom(self, url):
        return self.run(url, "--dump-dom")

    def picture(self, url, size="1280,1600", *arguments):
        path = Path(mkdtemp(dir=self.folder)) / "page.png"
        self.run(url, f"--screenshot={path}", f"--window-size={size}", *arguments)
        return np.asarray(Image.open(path).convert("RGB"))


def text_of(dom):
    body = re.sub(r"<style>.*?</style>", "", dom, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture
def rollout(running, sum_versions):
    """A gateway of two workers with a canary that answered some users, and a ledger's view of it."""
    versions = {number: sum_versions(number) for number in (7, 8)}
    running.route(TrafficSplit("sum", 14, stable=7, canary=8, weight=50), versions)
    write_view(running.folder, model_view(model="sum", weight=50))

    def start(**environment):
        running.start("--workers", "2", **environment)
        return running

    return start


def ask(gateway, users):
    for user in users:
        status, _ = gateway.ask("POST", "/invocations", {"inputs": {"x": [1.0]}}, x_user_id=f"user-{user}")
        assert status == 200


def test_a_rollout_is_shown_while_it_runs(rollout, browser):
    gateway = rollout()
    gateway.wait_for(lambda: gateway.is_at("sum", 14))
    url = f"http://127.0.0.1:{gateway.port}/release/sum"
    end = time.monotonic() + 30
    while "<polyline" not in gateway.ask("GET", "/release/sum")[1]:
        assert time.monotonic() < end, gateway.log()
        ask(gateway, range(20))
        time.sleep(0.3)
    dom, asked = browser.visit(url)
    text = text_of(dom)
    report = gateway.status()["reports"]["sum"]
    for said in (
        "Version 8 answers 50 % of the users, version 7 the others.",
        "Evidence against version 8",
        f"canary v8 {report['canary']['requests']}",
        f"stable v7 {report['stable']['requests']}",
        "212 canary requests at this weight, at least 300 are needed",
        "v8 → canary automatic 25 %: every gate passed",
        "worker 0", "worker 1", "v7, v8",
    ):  # fmt: skip
        assert said in text, said
    assert dom.count("<polyline") >= 2
    assert asked == {url}
    assert gateway.ask("HEAD", "/release")[0] == 200
    assert gateway.ask("POST", "/release/sum", {})[0] == 405

    light = browser.picture(url)
    assert len(np.unique(light.reshape(-1, 3), axis=0)) > 100
    assert light.mean() > 200
    assert browser.picture(url, "1280,1600", "--force-dark-mode").mean() < 80


def test_the_browser_would_have_told_of_anything_that_a_page_loads(browser, free_port):
    path, elsewhere = browser.folder / "loads.html", f"http://127.0.0.1:{free_port()}/picture.png"
    path.write_text(f'<img src="{elsewhere}">')
    assert elsewhere in browser.visit(path.as_uri())[1]


def test_a_page_with_evil_in_it_executes_nothing_and_asks_nobody(rollout, browser):
    gateway = rollout()
    write_view(gateway.folder, model_view(model="sum", next_step=EVIL, plan=EVIL), written_at=ago(1))
    dom = browser.dom(f"http://127.0.0.1:{gateway.port}/release/sum")
    assert "alert('x')" in text_of(dom).replace("&lt;", "<")
    assert "<script" not in dom
    assert "<img" not in dom
    assert "onerror=" not in re.sub(r"&lt;.*?&gt;", "", dom)


def test_with_a_token_a_browser_is_asked_and_gets_in_by_its_password(rollout, browser):
    gateway = rollout(TOWPATH_GATEWAY_TOKEN=TOKEN)
    at = f"127.0.0.1:{gateway.port}/release"
    assert "Releases" not in browser.dom(f"http://{at}")
    assert "Version 8 answers" in text_of(browser.dom(f"http://anybody:{TOKEN}@{at}"))
    assert gateway.ask("GET", "/release")[0] == 401
    assert gateway.ask("GET", "/release", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_the_history_outlasts_the_gateway(rollout, browser):
    gateway = rollout()
    path = gateway.folder / "release-history" / "sum.jsonl"
    gateway.wait_for(path.exists)
    ask(gateway, range(30))
    gateway.wait_for(lambda: len(path.read_bytes().splitlines()) >= 2)
    before = path.read_bytes()
    assert gateway.stop() == 0
    gateway.start("--workers", "2")
    gateway.wait_for(lambda: len(path.read_bytes().splitlines()) > len(before.splitlines()))
    assert path.read_bytes().startswith(before)
    assert json.loads(before.splitlines()[0])["version"] == 8
