"""TensorFlow's processes: replaced when they die or hang, and gone when nobody needs them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from components.errors import FaultError, TowpathError
from components.runtime import elsewhere
from components.runtime.savedmodel import keeper as keeper_module
from components.runtime.savedmodel.runtime import SavedModelRuntime
from tests.saved_models import ABORTS, HANGS, SLOW, saved_product

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[4]


def ask(runtime, x, stop=None):
    batch = {"x": np.array([float(x)])}
    outputs = runtime.predict(batch) if stop is None else runtime.predict_until_stopped(batch, stop)
    return outputs["prediction"].tolist()


def wait_for(condition, seconds=240.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stopped_after(runtime, seconds):
    stop = runtime.make_stop()
    threading.Timer(seconds, setattr, (stop, "terminate", True)).start()
    return stop


def test_versions_share_one_process_that_imported_tensorflow_and_fork_their_own(opened):
    imported = set(sys.modules)  # other tests of this process may have imported whatever they need
    one, two = opened("sum-1"), opened("sum-2")
    assert (ask(one, 1), ask(two, 1)) == ([1001.0], [2001.0])
    assert one.pid != two.pid
    parents = {psutil.Process(each.pid).ppid() for each in (one, two)}
    assert len(parents) == 1
    assert psutil.Process(parents.pop()).ppid() == os.getpid()
    assert "tensorflow" not in set(sys.modules) - imported


def test_many_threads_get_each_their_own_answers(opened):
    runtime, wrong = opened(), []

    def ask_on(start):
        for x in range(start, start + 200):
            if ask(runtime, x) != [x + 1000.0]:
                wrong.append(x)

    threads = [threading.Thread(target=ask_on, args=(1000 * number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


def test_a_hanging_prediction_is_ended_and_the_next_one_is_answered_by_another_process(opened):
    runtime = opened()
    before, began = runtime.pid, time.monotonic()
    with pytest.raises(FaultError, match="the prediction was stopped"):
        ask(runtime, HANGS + 1, stopped_after(runtime, 0.2))
    assert time.monotonic() - began < 1.0  # whoever stopped it waits for nobody
    wait_for(lambda: is_gone(before))
    assert ask(runtime, 1) == [1001.0]
    assert runtime.pid not in (None, before)


def test_a_prediction_that_goes_on_beside_one_that_hangs_is_answered_all_the_same(opened):
    runtime, answers = opened(), []
    calm = threading.Thread(target=lambda: [answers.append(ask(runtime, x)) for x in range(3000)])
    calm.start()
    with pytest.raises(FaultError, match="was stopped"):
        ask(runtime, HANGS + 1, stopped_after(runtime, 0.1))
    calm.join()
    assert answers == [[x + 1000.0] for x in range(3000)]


def test_a_prediction_that_ends_soon_after_it_was_stopped_costs_no_process(opened):
    runtime = opened()
    before, stop = runtime.pid, runtime.make_stop()
    stop.terminate = True
    for _ in range(20):
        with pytest.raises(FaultError, match="was stopped"):
            ask(runtime, 1, stop)
    with pytest.raises(FaultError, match="was stopped"):
        ask(runtime, SLOW + 1, stopped_after(runtime, 0.02))
    assert ask(runtime, 1) == [1001.0]
    assert runtime.pid == before


def test_a_prediction_that_kills_its_process_is_a_fault_that_says_so(opened):
    runtime = opened()
    with pytest.raises(FaultError, match="was killed by SIGABRT while it predicted; it is being started again"):
        ask(runtime, ABORTS - 1)
    assert ask(runtime, 1) == [1001.0]


def test_a_process_that_is_killed_between_predictions_costs_nobody_an_answer(opened):
    runtime = opened()
    before = runtime.pid
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: runtime.pid not in (None, before))
    assert ask(runtime, 1) == [1001.0]


def test_other_versions_live_on(opened):
    one, two = opened("sum-1"), opened("sum-2")
    before = two.pid
    with pytest.raises(FaultError):
        ask(one, ABORTS - 1)
    assert (ask(two, 1), two.pid) == ([2001.0], before)


def test_the_end_of_tensorflows_own_process_is_survived(saved_models, tmp_path):
    made = saved_product(saved_models, "sum-1", tmp_path / "product")
    runtime = SavedModelRuntime()
    runtime.load(made)
    server = runtime.pid
    host = psutil.Process(server).ppid()
    os.kill(host, signal.SIGKILL)
    wait_for(lambda: is_gone(server))
    wait_for(lambda: runtime.pid not in (None, server), seconds=120)
    assert ask(runtime, 1) == [1001.0]
    runtime.close()


def test_a_process_that_keeps_dying_is_given_up_on_at_once_until_it_is_back(opened):
    runtime, seen = opened(), []
    for _ in range(keeper_module.MOST_DEATHS + 1):
        with pytest.raises(FaultError) as raised:
            ask(runtime, ABORTS - 1)
        seen.append(str(raised.value))
    assert all("SIGABRT" in words for words in seen[:-1])
    assert "died 6 times in a row; it is tried again from time to time" in seen[-1]
    wait_for(lambda: runtime.pid is not None)
    assert ask(runtime, 1) == [1001.0]


def test_bytes_that_were_damaged_since_are_not_opened_again(warm, product):
    made = product("sum-1")
    runtime = SavedModelRuntime()
    runtime.load(made)
    graph = made.directory / "savedmodel" / "saved_model.pb"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1])
    os.kill(runtime.pid, signal.SIGKILL)
    wait_for(lambda: runtime._loaded.keeper._deaths >= keeper_module.MOST_DEATHS)
    with pytest.raises(FaultError, match="was promised"):
        ask(runtime, 1)
    graph.write_bytes(whole)
    wait_for(lambda: runtime.pid is not None)
    assert ask(runtime, 1) == [1001.0]
    runtime.close()


def test_halt_ends_what_runs_and_what_loads(opened, product):
    runtime, failed = opened(), []

    def hang():
        with pytest.raises(FaultError, match="was stopped"):
            ask(runtime, HANGS + 1)
        failed.append(True)

    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(0.1)
    runtime.halt()
    thread.join(240)
    assert failed == [True]
    halted = SavedModelRuntime()
    halted.halt()
    with pytest.raises(FaultError, match="opening the product was stopped"):
        halted.load(product("sum-1"))


def test_the_process_ends_with_the_runtime_and_with_a_product_that_is_replaced(warm, product):
    runtime = SavedModelRuntime()
    runtime.load(product("sum-1"))
    first = runtime.pid
    runtime.load(product("sum-2"))
    wait_for(lambda: is_gone(first))
    second = runtime.pid
    del runtime
    gc.collect()
    wait_for(lambda: is_gone(second))
    assert ask(warm, 1) == [1001.0]


def test_it_says_how_long_the_other_process_computed(opened):
    runtime = opened()
    before = elsewhere.noted_s()
    ask(runtime, SLOW + 1)
    assert elsewhere.noted_s() - before > 0.05


HOLDER = """
import sys, time
from pathlib import Path
from components.runtime.savedmodel.runtime import SavedModelRuntime
from components.types.product import ProductRef
runtime = SavedModelRuntime()
runtime.load(ProductRef(Path(sys.argv[1]), sys.argv[2], "savedmodel"))
assert "tensorflow" not in sys.modules
print(runtime.pid, flush=True)
{then}
"""


@pytest.fixture
def holder(saved_models, tmp_path):
    made = saved_product(saved_models, "sum-1", tmp_path / "product")
    started = []

    def start(then):
        command = [sys.executable, "-W", "error", "-c", HOLDER.format(then=then), str(made.directory), made.digest]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        server = int(process.stdout.readline())
        return process, server, psutil.Process(server).ppid()

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_no_process_outlives_one_that_is_killed(holder):
    process, server, host = holder("time.sleep(600)")
    process.kill()
    wait_for(lambda: is_gone(server) and is_gone(host), seconds=120)


def test_no_process_outlives_one_that_ends_and_nothing_is_said(holder):
    process, server, host = holder("")
    assert process.wait(120) == 0
    assert process.stderr.read() == ""
    wait_for(lambda: is_gone(server) and is_gone(host), seconds=120)


def test_no_process_outlives_one_that_is_interrupted(holder):
    process, server, host = holder("time.sleep(600)")
    process.send_signal(signal.SIGINT)
    process.wait(120)
    wait_for(lambda: is_gone(server) and is_gone(host), seconds=120)


def test_an_environment_without_tensorflow_is_named(saved_models, tmp_path, monkeypatch):
    made = saved_product(saved_models, "sum-1", tmp_path / "product")
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "tensorflow.py").write_text("raise ImportError('there is none')")
    code = (
        "import sys; from pathlib import Path; from components.errors import FaultError\n"
        "from components.runtime.savedmodel.runtime import SavedModelRuntime\n"
        "from components.types.product import ProductRef\n"
        "try: SavedModelRuntime().load(ProductRef(Path(sys.argv[1]), sys.argv[2], 'savedmodel'))\n"
        "except FaultError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'stub'}:{ROOT}"}
    said = subprocess.run(
        [sys.executable, "-c", code, str(made.directory), made.digest],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ended: ImportError: there is none (exit code 1) while it opened the product" in said.stdout
    assert said.stderr == ""


@pytest.mark.parametrize(
    "module", ["components.serving.server", "components.training.core.stage", "components.runtime.savedmodel.runtime"]
)
def test_who_serves_and_who_trains_imports_no_tensorflow(module):
    code = (
        f"import sys, {module}\nfrom components.runtime.table import find_runtime\nfind_runtime('savedmodel')\n"
        "found = {'tensorflow', 'keras', 'pandas'} & set(sys.modules)\nassert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def test_a_closed_runtime_says_so(opened):
    runtime = opened()
    runtime.close()
    with pytest.raises(TowpathError, match="the product was closed"):
        ask(runtime, 1)
