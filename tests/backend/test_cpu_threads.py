"""The workers: same bits on any number of threads, errors, nesting, forks, BLAS."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from kernel_cases import random_array
from threadpoolctl import ThreadpoolController

from tinyconv import config
from tinyconv.backend import cpu
from tinyconv.backend.cpu import host
from tinyconv.backend.cpu.parallel import threads
from tinyconv.backend.cpu.parallel.workers import Team

PAD = ((1, 1), (1, 1))


def calls():
    """Return {case: (kernel, arguments)} large enough to make many tasks, and hard for BLAS."""
    x, w = random_array((6, 78, 20, 20), "float32"), random_array((40, 78, 3, 3), "float32")
    dy = random_array((6, 40, 20, 20), "float32")
    half = random_array((6, 40, 10, 10), "float32")
    wide, point = random_array((3, 500, 14, 14)), random_array((1, 500, 1, 1))
    depth = random_array((78, 1, 3, 3), "float32")
    one = ((1, 1), PAD, (1, 1), 1)
    two = ((2, 2), PAD, (1, 1), 1)
    pool = ((3, 3), (2, 2), PAD, (1, 1))
    window = cpu.override("max_pool")(np, dy, *pool, (10, 10))[1]
    channel = random_array((78,), "float32")
    many = random_array((4, 78, 64, 65), "float32")
    channels, groups = (channel, channel**2), (np.abs(channel[:24]).reshape(4, 6),) * 2
    logits, target = random_array((3000, 40), "float32"), np.arange(3000) % 41 - 1
    index, rows = np.arange(4000) * 7919 % 50, random_array((4000, 300), "float32")
    return {
        "conv": ("conv", (x, w, None, *one)),
        "conv_one_output": ("conv", (wide, point, None, (1, 1), ((0, 0),) * 2, (1, 1), 1)),
        "conv_grouped": ("conv", (x, w[:, :39], None, *one[:3], 2)),
        "input_grad": ("conv_input_grad", (dy, w, (20, 20), *one)),
        "input_grad_strided": ("conv_input_grad", (half, w, (20, 20), *two)),
        "weight_grad": ("conv_weight_grad", (x, dy, (3, 3), *one)),
        "weight_grad_strided": ("conv_weight_grad", (x, half, (3, 3), *two)),
        "depthwise": ("conv", (x, depth, channel, *one[:3], 78)),
        "depthwise_input": ("conv_input_grad", (x, depth, (20, 20), *one[:3], 78)),
        "depthwise_weight": ("conv_weight_grad", (x, x, (3, 3), *one[:3], 78)),
        "max_pool": ("max_pool", (dy, *pool, (10, 10))),
        "max_pool_grad": ("max_pool_grad", (half, window, (20, 20), *pool)),
        "sum_pool": ("sum_pool", (dy, *pool[:3], (10, 10))),
        "sum_pool_grad": ("sum_pool_grad", (half, (20, 20), *pool[:3])),
        "relu": ("relu", (many,)),
        "masked": ("masked", (many, many > 0.5)),
        "batch_statistics": ("batch_statistics", (many,)),
        "batch_norm": ("batch_norm", (many, *channels, channel, channel, 1e-5, None, (0.0, 6.0))),
        "batch_norm_grad": (
            "batch_norm_grad",
            (many, many * many, *channels, channel, channel, 1e-5, None, (0.0, 6.0), True),
        ),
        "group_norm": ("group_norm", (many, 6, channel, channel, 1e-5)),
        "group_norm_grad": ("group_norm_grad", (many, many * many, *groups, channel, 1e-5)),
        "layer_norm": ("layer_norm", (rows, 1, *rows[:2], 1e-5)),
        "layer_norm_grad": (
            "layer_norm_grad",
            (rows, rows + 1, *np.abs(rows[:, :2].T), rows[0], 1e-5),
        ),
        "loss": ("softmax_cross_entropy", (logits, target)),
        "erf": ("erf", (x,)),
        "scatter_add": ("scatter_add", (50, index, rows)),
        "philox": ("philox", (20000, (1, 2), (3, 4, 5))),
        "philox_rows": ("philox_rows", (3000, (1, 2), np.arange(9, dtype=np.uint64), 5)),
    }


CALLS = calls()


def result(name):
    """Return the bytes of all results."""
    kernel, arguments = CALLS[name]
    arrays = cpu.override(kernel)(np, *arguments)
    return b"".join(a.tobytes() for a in (arrays if isinstance(arrays, tuple) else (arrays,)))


@pytest.mark.parametrize("name", CALLS)
def test_same_bits_on_any_number_of_threads(name):
    with config.num_threads.override(1):
        expected = result(name)
    for count in (2, 3, 8):
        with config.num_threads.override(count):
            assert result(name) == expected


def test_same_bits_whatever_the_threads_of_blas():
    blas = ThreadpoolController()
    with config.num_threads.override(None):
        for name in ("conv", "conv_one_output", "input_grad_strided", "weight_grad"):
            with blas.limit(limits=1, user_api="blas"):
                expected = result(name)
            with blas.limit(limits=2, user_api="blas"):
                assert result(name) == expected


def test_many_callers_at_once():
    names = list(CALLS)
    expected = {name: result(name) for name in CALLS}
    failures = []

    def check(mine):
        with config.num_threads.override(3):
            failures.extend(name for name in mine if result(name) != expected[name])

    callers = [threading.Thread(target=check, args=(names[i::4],)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failures == []


def test_run_calls_each_task_once():
    for count in (0, 1, 2, 100):
        seen = []
        with config.num_threads.override(4):
            threads.run(seen.append, count)
        assert sorted(seen) == list(range(count))


def test_run_ranges_covers_the_length():
    for length, step in ((0, 3), (10, 3), (9, 3), (2, 100), (5, 0)):
        seen = []
        threads.run_ranges(lambda a, b: seen.extend(range(a, b)), length, step)  # noqa: B023
        assert sorted(seen) == list(range(length))


def test_run_uses_several_threads():
    barrier = threading.Barrier(3, timeout=30)
    with config.num_threads.override(3):
        threads.run(lambda _: barrier.wait(), 3)  # hangs, then breaks, unless three run at once


@pytest.mark.parametrize("count", [1, 4])
def test_run_raises_what_a_task_raises(count):
    def task(number):
        if number == 5:
            raise KeyError(number)

    with config.num_threads.override(count), pytest.raises(KeyError):
        threads.run(task, 10)
    assert threads._blas._depth == 0


def test_nested_runs_do_not_deadlock(monkeypatch):
    monkeypatch.setattr(threads, "_team", Team())
    barrier, seen = threading.Barrier(2, timeout=30), []

    def outer(i):
        barrier.wait()  # there is one worker, and both are inside a task
        threads.run(lambda j: seen.append((i, j)), 5)

    def nested():
        with config.num_threads.override(2):
            threads.run(outer, 2)

    caller = threading.Thread(target=nested, daemon=True)
    caller.start()
    caller.join(timeout=60)
    assert not caller.is_alive(), "deadlock"
    assert sorted(seen) == [(i, j) for i in range(2) for j in range(5)]


def test_workspace_is_reused_in_a_thread_and_not_shared():
    mine = threads.workspace((10, 10), "float32")
    assert np.shares_memory(mine, threads.workspace((5,), "float64"))
    others = []
    other = threading.Thread(target=lambda: others.append(threads.workspace((10,), "float32")))
    other.start()
    other.join()
    assert not np.shares_memory(mine, others[0])


def test_blas_follows_the_setting_and_goes_back():
    inside = []

    def use(count):
        with config.num_threads.override(count):
            threads.run(lambda _: inside.extend(threads._blas._counts()), 1, blas=True)
        return threads._blas._counts()

    before = use(None)
    assert before, "NumPy's BLAS is not one that threadpoolctl knows"
    assert set(use(3)) == {3}
    assert set(use(2)) == {2}
    assert use(None) == before
    assert set(inside) == {1}


class PerThread:
    """A BLAS library over OpenMP: each thread has its own number of threads."""

    threading_layer = "openmp"

    def __init__(self):
        self.local = threading.local()

    def get_num_threads(self):
        return getattr(self.local, "count", 4)

    def set_num_threads(self, count):
        self.local.count = count


class Shared(PerThread):
    """A BLAS library with one number of threads."""

    threading_layer = "pthreads"

    def __init__(self):
        self.local = self


def test_blas_with_a_number_for_each_thread(monkeypatch):
    libraries = [PerThread(), Shared()]
    blas = threads.Blas(libraries)
    monkeypatch.setattr(threads, "_blas", blas)
    monkeypatch.setattr(threads, "_team", Team(blas.limit_thread))
    barrier, inside = threading.Barrier(3, timeout=30), []

    def task(_):
        barrier.wait()
        inside.append([library.get_num_threads() for library in libraries])

    with config.num_threads.override(3):
        threads.run(task, 3, blas=True)
        assert inside == [[1, 1]] * 3
        assert [library.get_num_threads() for library in libraries] == [3, 3]


def test_blas_is_serial_until_the_last_caller_has_left():
    libraries = [PerThread(), Shared()]
    blas = threads.Blas(libraries)
    with config.num_threads.override(None):
        first, second = blas.serial(), blas.serial()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert libraries[1].get_num_threads() == 1
        second.__exit__(None, None, None)
        assert libraries[1].get_num_threads() == 4


def test_only_cores_that_this_process_may_use_count(monkeypatch):
    count = host.available_cores.__wrapped__
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert count() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert count() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this platform")
def test_a_forked_child_counts_its_own_cores():
    code = """
import os
from tinyconv.backend.cpu import host
from tinyconv.backend.cpu.parallel import threads
host.available_cores()
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
assert threads.num_threads() == COUNT
if not os.fork():
    os._exit(0 if threads.num_threads() == 1 else 1)
assert os.wait()[1] == 0
"""
    code = code.replace("COUNT", str(len(os.sched_getaffinity(0))))
    environment = {k: v for k, v in os.environ.items() if k != "TINYCONV_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_default_is_the_cores_of_this_process():
    with config.num_threads.override(None):
        assert threads.num_threads() >= 1
    with config.num_threads.override(7):
        assert threads.num_threads() == 7


FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
from tinyconv import config
from tinyconv.backend import cpu
from tinyconv.backend.cpu import host
from tinyconv.backend.cpu.parallel import threads

config.num_threads.set(3)
x = np.ones((4, 8, 16, 16), np.float32)
w = np.ones((8, 8, 3, 3), np.float32)

def work():
    conv = cpu.override("conv")
    return conv(np, x, w, None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1).tobytes()

expected = work()
started, release = threading.Event(), threading.Event()

def busy(_):
    started.set()
    release.wait(30)

holder = threading.Thread(target=threads.run, args=(busy, 3, True))
holder.start()
started.wait(30)                       # the workers and the BLAS limit are in use while we fork
child = os.fork()
if child == 0:
    good = threads._blas._depth == 0 and work() == expected
    seen = []
    threads.run(seen.append, 10)
    os._exit(0 if good and sorted(seen) == list(range(10)) else 1)
release.set()
holder.join()
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert work() == expected
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this platform")
def test_forked_child_has_workers_of_its_own():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)


def test_kernels_work_while_the_interpreter_shuts_down():
    code = (
        "import atexit, numpy as np\n"
        "from tinyconv import config\n"
        "from tinyconv.backend.cpu.parallel import threads\n"
        "config.num_threads.set(3)\n"
        "def late():\n"
        "    seen = []\n"
        "    threads.run(seen.append, 5)\n"
        "    print(sorted(seen))\n"
        "atexit.register(late)\n"
        "threads.run(lambda _: None, 5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[0, 1, 2, 3, 4]"
