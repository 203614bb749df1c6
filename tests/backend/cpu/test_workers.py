"""Workers: errors, interruption, sleep, forks, start methods and the end of the interpreter."""

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from tinyconv import config
from tinyconv.backend.cpu.compiler.jit import kernel
from tinyconv.backend.cpu.parallel import spin, threads, workers
from tinyconv.backend.cpu.parallel.placement import Place
from tinyconv.backend.cpu.parallel.workers import CROWDED, DONE, Job, Team

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


@pytest.fixture
def team():
    team = Team()
    yield team
    team.close()


def both(team, action=lambda number: None, helpers=1):
    """Run two tasks that are on two threads for sure; return the names of the threads."""
    barrier, names = threading.Barrier(2, timeout=60), {}

    def task(number):
        barrier.wait()
        names[number] = threading.current_thread().name
        action(number)

    team.run(Job(task, 2), helpers)
    return set(names.values())


@kernel
def total(numbers):
    result = 0.0
    for number in numbers:
        result += number
    return result


def test_kernels_on_two_threads_again_and_again(team):
    x, out = np.arange(600.0), np.zeros(6)

    def task(number):
        out[number] = total(x[100 * number : 100 * (number + 1)])

    for _ in range(2000):
        out[:] = 0
        team.run(Job(task, 6), 1)
        assert out.tolist() == [4950 + 10000 * i for i in range(6)]


@pytest.mark.parametrize("helpers", [1, 2, 7])
def test_each_task_runs_once_whatever_the_number_of_workers(team, helpers):
    for count in (0, 1, 2, 9, 300):
        seen = []
        team.run(Job(seen.append, count), helpers)
        assert sorted(seen) == list(range(count))
    assert len(team.workers) <= helpers


def test_sleeping_worker_is_woken(team):
    """A worker that is told to be without patience sleeps at once; no call may be missed."""
    both(team)
    team.patience = 0
    for _ in range(300):
        assert len(both(team)) == 2


def test_idle_worker_sleeps(team):
    assert len(both(team)) == 2
    worker = team.workers[0]
    for _ in range(100_000_000):  # it gives up after half a millisecond
        if worker.asleep:
            break
    assert worker.asleep


def test_error_in_the_worker_reaches_the_caller_and_stops_the_rest(team):
    caller, started = threading.current_thread(), []
    barrier = threading.Barrier(2, timeout=60)

    def task(number):
        started.append(number)
        if number < 2:
            barrier.wait()
            if threading.current_thread() is not caller:
                raise KeyError("in the worker")
            team.workers[0].thread.join(timeout=0)
            while job.count:  # until the worker has failed
                pass

    job = Job(task, 1000)
    with pytest.raises(KeyError, match="in the worker"):
        team.run(job, 1)
    assert len(started) < 1000
    assert len(both(team)) == 2, "the worker lives on"


def test_error_in_the_caller_waits_for_the_worker(team):
    caller, release, finished = threading.current_thread(), threading.Event(), []

    def action(_):
        if threading.current_thread() is caller:
            threading.Thread(target=release.set).start()
            raise ZeroDivisionError
        release.wait(60)
        finished.append(True)

    with pytest.raises(ZeroDivisionError):
        both(team, action)
    assert finished
    assert len(both(team)) == 2


def test_finished_job_is_forgotten(team):
    class Task:
        def __call__(self, number):
            barrier.wait()

    barrier, task = threading.Barrier(2, timeout=60), Task()
    gone = weakref.ref(task)
    gc.disable()
    try:
        team.run(Job(task, 2), 1)
        del task
        assert gone() is None
    finally:
        gc.enable()


def test_failed_task_is_forgotten(team):
    def fail(number):
        both_in.wait()
        if threading.current_thread() is not caller:
            raise KeyError

    caller, both_in = threading.current_thread(), threading.Barrier(2, timeout=60)
    gone = weakref.ref(fail)
    with pytest.raises(KeyError):
        team.run(Job(fail, 2), 1)
    del fail
    gc.collect()
    assert gone() is None


def test_second_caller_works_alone(team):
    inside, release, seen = threading.Event(), threading.Event(), []

    def hold(_):
        inside.set()
        release.wait(60)

    first = threading.Thread(target=team.run, args=(Job(hold, 2), 1))
    first.start()
    assert inside.wait(60)
    team.run(Job(lambda i: seen.append(threading.current_thread()), 5), 1)
    release.set()
    first.join(60)
    assert seen == [threading.current_thread()] * 5


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="POSIX signals")
@pytest.mark.parametrize("where", ["task", "waiting"])
def test_ctrl_c_in_the_caller(team, where):
    caller, release = threading.current_thread(), threading.Event()

    def action(_):
        if threading.current_thread() is not caller:
            if where == "waiting":
                for _ in range(10**9):  # the caller says that it waits for this thread
                    if worker.numbers[workers.AWAITED]:
                        break
                signal.pthread_kill(caller.ident, signal.SIGINT)
            release.wait(60)
        elif where == "task":
            threading.Thread(target=release.set).start()  # before: the signal may come at once
            signal.pthread_kill(caller.ident, signal.SIGINT)
            for _ in range(10**9):
                pass

    both(team)
    worker = team.workers[0]
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            both(team, action)
    finally:
        signal.signal(signal.SIGINT, previous)
        release.set()
    assert len(both(team)) == 2, "the next job finds workers"


def test_closed_team_works_alone(team):
    both(team)
    thread = team.workers[0].thread
    team.close()
    thread.join(60)
    assert not thread.is_alive()
    seen = []
    team.run(Job(seen.append, 4), 3)
    assert seen == [0, 1, 2, 3]


def test_without_a_thread_to_start_the_caller_does_it_all(team, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = []
    team.run(Job(seen.append, 4), 3)
    assert seen == [0, 1, 2, 3]


def test_one_thread_uses_no_worker(monkeypatch):
    team = Team()
    monkeypatch.setattr(threads, "_team", team)
    with config.num_threads.override(1):
        threads.run(lambda _: None, 10)
        assert team.workers == []
    for count in (3, 1, 2):
        with config.num_threads.override(count):
            seen = []
            threads.run(seen.append, 10)
            assert sorted(seen) == list(range(10))
    assert len(team.workers) == 2
    team.close()


# -- the meeting itself ---------------------------------------------------------------------


def test_signal_and_wait_sees_a_number_that_another_thread_sets():
    mine, other = np.zeros(16, np.int64), np.zeros(16, np.int64)
    wait = spin.signal_and_wait.compiled()
    assert not wait(mine, 0, 5, 8, other, 3, 1, 100, 0)
    assert mine.tolist() == [5, *[0] * 15]
    answers = []

    def listen():
        answers.append(wait(mine, 0, 6, 8, other, 3, 7, 1 << 40, 10))

    thread = threading.Thread(target=listen)
    thread.start()
    while mine[0] != 6:
        pass
    other[3] = 7  # a load that had been moved out of the loop would miss it for hours
    thread.join(60)
    assert answers == [True]


def test_signal_and_wait_stops_when_told():
    mine, other = np.zeros(16, np.int64), np.zeros(16, np.int64)
    mine[8] = 1
    assert not spin.signal_and_wait.compiled()(mine, 0, 1, 8, other, 0, 1, 1 << 60, 0)


def test_numbers_of_a_worker_have_cache_lines_to_themselves(team):
    both(team)
    assert team.workers[0].view.ctypes.data % 64 == 0
    assert len({place // 8 for place in (0, CROWDED, DONE, workers.AWAITED)}) == 4


# -- workspaces -----------------------------------------------------------------------------


def test_slots_of_a_workspace_are_apart_and_aligned():
    first = threads.workspace((3, 5), "float32")
    second = threads.workspace((7,), "float64", slot=1)
    first[...], second[...] = 1, 2
    assert not np.shares_memory(first, second)
    assert (first == 1).all()
    assert (second == 2).all()
    for array in (first, second, threads.workspace((1 << 20,), "int8", slot=2)):
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
    assert threads.workspace((0, 4), "float32").shape == (0, 4)
    assert np.shares_memory(first, threads.workspace((3, 5), "float32"))


# -- processes ------------------------------------------------------------------------------

START = """
import multiprocessing, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
from tinyconv import config
from tinyconv.backend import cpu

def image(seed):
    return np.random.default_rng(seed).standard_normal((4, 8, 24, 24)).astype(np.float32)

def work(x):
    w = image(99)[:, :, :3, :3].copy()
    conv, pool = cpu.override("conv"), cpu.override("sum_pool")
    y = conv(np, x, w, None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    return pool(np, y, (2, 2), (2, 2), ((0, 0), (0, 0)), (12, 12)).tobytes()

def at_once(count):
    config.num_threads.set(3)
    results = {}
    def mine(i):
        for _ in range(5):
            results[i] = work(image(i))
    helpers = [threading.Thread(target=mine, args=(i,)) for i in range(1, count)]
    for helper in helpers:
        helper.start()
    mine(0)
    for helper in helpers:
        helper.join()
    return [results[i] for i in range(count)]

def child(count, queue):
    queue.put(at_once(count))

if __name__ == "__main__":
    method, before, count = sys.argv[1], sys.argv[2] == "before", int(sys.argv[3])
    context = multiprocessing.get_context(method)
    if before:
        at_once(count)
    queue = context.Queue()
    children = [context.Process(target=child, args=(count, queue)) for _ in range(2)]
    for process in children:
        process.start()
    answers = [queue.get(timeout=300) for _ in children]
    for process in children:
        process.join(300)
        assert process.exitcode == 0, process.exitcode
    config.num_threads.set(1)
    expected = [work(image(i)) for i in range(count)]
    assert answers == [expected, expected]
    assert at_once(count) == expected
"""


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("before", ["before", "not before"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_processes_run_kernels(tmp_path, method, before, count):
    if method != "spawn" and not hasattr(os, "fork"):
        pytest.skip("no fork on this platform")
    script = tmp_path / "start.py"
    script.write_text(START)
    command = [sys.executable, str(script), method, before, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")


FORK_WHILE_BUSY = """
import os, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
from tinyconv import config
from tinyconv.backend.cpu import special
from tinyconv.backend.cpu.parallel import threads

config.num_threads.set(3)
x, stop = np.linspace(-3, 3, 100_000), threading.Event()
expected = special.erf(np, x).tobytes()

def forever():
    while not stop.is_set():
        assert special.erf(np, x).tobytes() == expected

callers = [threading.Thread(target=forever) for _ in range(2)]
for caller in callers:
    caller.start()
for _ in range(20):                    # whatever the workers are doing at that moment
    child = os.fork()
    if child == 0:
        good = special.erf(np, x).tobytes() == expected
        both = threading.Barrier(2)
        config.num_threads.set(2)
        threads.run(lambda _: both.wait(60), 2)    # with a worker of its own
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for caller in callers:
    caller.join()
"""

FORK_WHILE_COMPILING = """
import os, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
from tinyconv.backend.cpu import special

numba_lock = __import__("numba.core.compiler_lock").core.compiler_lock.global_compiler_lock
held, release = threading.Event(), threading.Event()

def compile_slowly():
    with numba_lock:
        held.set()
        release.wait(60)

compiler = threading.Thread(target=compile_slowly)
compiler.start()
held.wait(60)
threading.Timer(0.2, release.set).start()
child = os.fork()                      # waits until no thread compiles
if child == 0:
    os._exit(0 if abs(special.erf(np, np.array([0.5]))[0] - 0.52049987781) < 1e-9 else 1)
assert os.waitpid(child, 0)[1] == 0
compiler.join()
assert abs(special.erf(np, np.array([0.5]))[0] - 0.52049987781) < 1e-9
"""

END_SPINNING = """
from tinyconv import config
from tinyconv.backend.cpu.parallel import threads
config.num_threads.set(2)
for _ in range(1000):
    threads.run(lambda _: None, 2)
"""

END_SLEEPING = (
    END_SPINNING
    + """
while not threads._team.workers[0].asleep:
    pass
"""
)

END_IN_A_TASK = """
import threading
from tinyconv import config
from tinyconv.backend.cpu.parallel import threads
config.num_threads.set(2)
inside = threading.Barrier(3)

def task(_):
    inside.wait()
    threading.Event().wait()

threading.Thread(target=threads.run, args=(task, 2), daemon=True).start()
inside.wait()
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(FORK_WHILE_BUSY, marks=fork, id="fork while busy"),
        pytest.param(FORK_WHILE_COMPILING, marks=fork, id="fork while compiling"),
        pytest.param(END_SPINNING, id="end while a worker spins"),
        pytest.param(END_SLEEPING, id="end while a worker sleeps"),
        pytest.param(END_IN_A_TASK, id="end while a worker is in a task"),
    ],
)
def test_in_a_process_of_its_own(code):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- cores ----------------------------------------------------------------------------------


def cores():
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@pytest.mark.skipif(len(cores()) < 2, reason="needs two cores")
def test_worker_leaves_a_core_that_is_taken_and_is_not_pinned():
    allowed, seen = cores(), []

    def stand():
        place = Place()
        for core in sorted(allowed):
            os.sched_setaffinity(0, {core})  # moves this thread there
            os.sched_setaffinity(0, allowed)
            place._moved = 0.0
            taken = {core}
            place.take(taken)
            seen.append((len(taken), os.sched_getaffinity(0)))
        everywhere = set(allowed)
        place._moved = 0.0
        place.take(everywhere)  # nowhere to go
        seen.append((len(everywhere), os.sched_getaffinity(0)))

    thread = threading.Thread(target=stand)
    thread.start()
    thread.join(60)
    assert seen == [(2, allowed)] * len(allowed) + [(len(allowed), allowed)]


def test_without_a_way_to_find_the_core_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    taken = {0, 1}
    Place().take(taken)
    assert taken == {0, 1}
