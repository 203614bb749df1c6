"""Workers that fail, die or hang, and consumers that leave: nothing is lost, nothing stays."""

import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import numpy as np
import pytest

from tinyconv.data import DataLoader, Dataset, IterableDataset
from tinyconv.errors import DataError
from tinyconv.ops import tensor

posix = pytest.mark.skipif(os.name == "nt", reason="needs signals")

THREAD = {"num_workers": 2}
PROCESS = {"num_workers": 2, "worker_type": "process"}
WAYS = [{}, THREAD, PROCESS]


class Failing(Dataset):
    """Does something bad at sample 5."""

    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.act() if index == 5 else index


class OddError(Exception):
    """An exception that cannot be rebuilt from its arguments."""

    def __init__(self, number, *, name):
        super().__init__(f"{name} {number}")


def raise_key_error():
    return {}["missing"]


def raise_odd_error():
    raise OddError(3, name="odd")


def raise_os_error():
    raise FileNotFoundError("gone")


def raise_stop():
    raise StopIteration


def leave_program():
    sys.exit(3)


def exit_silently():
    os._exit(0)


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)


def give_lambda():
    return lambda: None


def give_generator():
    return (x for x in ())


def hang():
    threading.Event().wait(60)


def worker_threads():
    return [t for t in threading.enumerate() if t.name.startswith("tinyconv-loader")]


def worker_processes():
    return [p for p in multiprocessing.active_children() if p.name.startswith("tinyconv-loader")]


def open_files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


@pytest.fixture(autouse=True)
def nothing_stays():
    """After each test: no thread, no process or zombie, no shared memory of ours."""
    before = shared_memory()
    yield
    gc.collect()
    assert worker_threads() == []
    assert worker_processes() == []
    assert shared_memory() <= before


# -- errors arrive --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_an_error_arrives_with_its_type_traceback_and_sample(way):
    loader = DataLoader(Failing(raise_key_error), 2, **way)
    received = []
    with pytest.raises(KeyError) as caught:
        received.extend(batch.tolist() for batch in loader)
    assert received == [[0, 1], [2, 3]]  # in order: all before the bad one, none after it
    text = "".join(traceback.format_exception(caught.value))
    assert "in raise_key_error" in text
    assert "loading sample 5 (batch 2)" in text
    assert ("worker" in text.rpartition("loading sample 5")[2]) == bool(way)
    assert loader.state_dict()["position"] == 2


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("act", [raise_stop, leave_program])
def test_errors_that_would_end_the_loop_or_the_program_do_not(way, act):
    if act is leave_program and not way:
        with pytest.raises(SystemExit):  # in the consumer's own thread it is the consumer's
            list(DataLoader(Failing(act), 2))
        return
    with pytest.raises(DataError, match=r"StopIteration|SystemExit") as caught:
        list(DataLoader(Failing(act), 2, **way))
    assert "loading sample 5" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("act", [raise_odd_error, give_lambda, give_generator, raise_os_error])
def test_what_cannot_travel_between_processes_is_reported(act):
    kind = {raise_odd_error: DataError, raise_os_error: FileNotFoundError}.get(act, Exception)
    with pytest.raises(kind) as caught:
        list(DataLoader(Failing(act), 2, collate_fn=list, **PROCESS))
    text = "".join(traceback.format_exception(caught.value))
    if act in (raise_odd_error, raise_os_error):
        assert f"in {act.__name__}" in text
        assert "loading sample 5" in text
    else:
        assert "sending batch 2" in text


@posix
@pytest.mark.parametrize(
    ("act", "how"),
    [(exit_silently, "exit code 0"), (kill_self, "killed by SIGKILL"),
     (segfault, "killed by SIGSEGV")],
)  # fmt: skip
def test_a_dead_process_is_an_error_at_once(act, how):
    loader = DataLoader(Failing(act), 2, **PROCESS)
    with pytest.raises(DataError, match=rf"worker \d \(pid \d+\) ended unexpectedly \({how}"):
        list(loader)


@posix
@pytest.mark.parametrize("way", [PROCESS, {**PROCESS, "persistent_workers": True}], ids=str)
def test_a_process_killed_from_outside_is_an_error_and_the_next_pass_works(way):
    loader = DataLoader(range(100), 2, **way)
    iterator = iter(loader)
    next(iterator)
    for process in worker_processes():
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="SIGKILL"):
        list(iterator)
    assert len(list(loader)) == 50
    del loader, iterator


def test_a_hanging_process_runs_into_the_timeout():
    loader = DataLoader(Failing(hang), 2, timeout=2, num_workers=1, worker_type="process")
    with pytest.raises(DataError, match="timeout=2 seconds"):
        list(loader)


def test_a_hanging_thread_runs_into_the_timeout():
    release = threading.Event()
    loader = DataLoader(Failing(release.wait), 2, timeout=0.2, num_workers=1)
    helper = threading.Timer(0.5, release.set)  # a thread cannot be killed: let it go
    helper.start()
    with pytest.raises(DataError, match=r"timeout=0\.2 seconds"):
        list(loader)
    helper.join()


@pytest.mark.parametrize(
    "broken",
    [{"collate_fn": lambda samples: samples}, {"worker_init_fn": lambda worker: None}],
    ids=["collate_fn", "worker_init_fn"],
)
def test_what_cannot_be_copied_into_a_process_is_refused_before_it_starts(broken):
    with pytest.raises(DataError, match=r"top level of a module.*worker_type='thread'"):
        iter(DataLoader(range(4), **broken, **PROCESS))


def refuse_to_start(worker):
    raise FileNotFoundError("no such worker")


@pytest.mark.parametrize("way", [THREAD, PROCESS], ids=str)
def test_an_error_of_worker_init_fn_arrives(way):
    with pytest.raises(FileNotFoundError, match="no such worker"):
        list(DataLoader(range(4), worker_init_fn=refuse_to_start, **way))


class Unsound(Dataset):
    """Survives pickling, but not unpickling."""

    def __len__(self):
        return 4

    def __reduce__(self):
        return raise_os_error, ()


def test_a_data_set_that_cannot_be_rebuilt_in_the_process_is_reported():
    with pytest.raises(FileNotFoundError, match="gone"):
        list(DataLoader(Unsound(), **PROCESS))


def test_collate_errors_name_the_batch():
    with pytest.raises(DataError, match="shape") as caught:
        list(DataLoader([np.ones(1), np.ones(2)], 2, **THREAD))
    assert "collating batch 0, samples [0, 1]" in "".join(caught.value.__notes__)


class BrokenStream(IterableDataset):
    def __iter__(self):
        yield from range(3)
        raise RuntimeError("dry")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_errors_of_a_stream_arrive(way):
    received = []
    with pytest.raises(RuntimeError, match="dry") as caught:
        received.extend(batch.tolist() for batch in DataLoader(BrokenStream(), 2, **way))
    assert received == [[0, 1]]
    assert "loading batch 1 of a stream" in "".join(caught.value.__notes__)


def test_tensors_and_large_batches_travel_and_are_writable():
    loader = DataLoader(Big(), 2, num_workers=1, worker_type="process", collate_fn=list)
    first, second = next(iter(loader))
    assert first[0].tolist() == [0.0, 1.0]
    assert second[1].shape == (2_000_000,)
    second[1][0] = 7.0  # arrays of a batch belong to the consumer
    assert second[1].sum() == 7.0 + (2_000_000 - 1)


class Big(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tensor([0.0, 1.0]), np.full(2_000_000, index, np.float32)


def test_forking_after_openmp_kernels_is_refused(monkeypatch):
    class Numba:
        threading_layer = staticmethod(lambda: "omp")

    monkeypatch.setitem(sys.modules, "numba", Numba)
    with pytest.raises(DataError, match="forkserver"):
        iter(DataLoader(range(4), multiprocessing_context="fork", **PROCESS))


# -- consumers leave ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [THREAD, PROCESS, {**THREAD, "persistent_workers": True}], ids=str)
@pytest.mark.parametrize("end", ["break", "error", "interrupt"])
def test_leaving_early_leaves_nothing(way, end):
    loader = DataLoader(range(200), 2, **way)
    errors = {"error": ZeroDivisionError, "interrupt": KeyboardInterrupt}
    with contextlib.suppress(ZeroDivisionError, KeyboardInterrupt):
        for batch in loader:
            if end in errors:
                raise errors[end]
            assert batch.tolist() == [0, 1]
            break
    del loader  # the fixture looks for what is left


def test_many_abandoned_passes_leak_nothing():
    def passes(count):
        for _ in range(count):
            iterator = iter(DataLoader(range(8), 2, num_workers=2))
            next(iterator)

    passes(3)
    files = open_files()
    passes(100)
    assert open_files() == files
    assert worker_threads() == []


@pytest.mark.slow
def test_many_abandoned_process_passes_leak_nothing():
    files = None
    for turn in range(50):
        iterator = iter(DataLoader(range(8), 2, **PROCESS))
        next(iterator)
        del iterator
        files = open_files() if turn == 2 else files
    assert open_files() == files


def test_a_pass_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        for way in (THREAD, {}):
            for batch in DataLoader(range(50), 2, **way):
                assert batch is not None
                break
        assert worker_threads() == []
    finally:
        gc.enable()


def run_script(tmp_path, body, *, interrupt=False):
    """Run a script with a loader; return exit code and stderr."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\nfrom tinyconv.data import DataLoader, Dataset\n"
        "class Slow(Dataset):\n"
        "    def __len__(self): return 10_000\n"
        "    def __getitem__(self, index):\n"
        "        time.sleep(0.01)\n        return index\n" + textwrap.dedent(body)
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": root}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job may ignore it
    )  # fmt: skip
    if interrupt:
        pids = process.stdout.readline().split()
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to parent and workers
    else:
        pids = []
    out, err = process.communicate(timeout=60)
    return process.returncode, (pids or out.split()), err


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_ctrl_c_ends_program_and_workers(tmp_path, worker_type):
    code, pids, err = run_script(
        tmp_path,
        f"""
        import multiprocessing
        if __name__ == "__main__":
            for i, batch in enumerate(DataLoader(Slow(), 4, num_workers=2,
                                                 worker_type="{worker_type}")):
                if i == 0:
                    pids = [p.pid for p in multiprocessing.active_children()]
                    print("started", *pids, flush=True)
        """,
        interrupt=True,
    )
    assert code == -signal.SIGINT or code == 130, err
    assert err.count("Traceback") == 1, err  # the parent's, none of the workers'
    deadline = time.monotonic() + 10
    while any(map(is_running, pids[1:])) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert not any(map(is_running, pids[1:]))


@posix
def test_worker_processes_leave_ctrl_c_to_the_parent():
    iterator = iter(DataLoader(range(20), 2, num_workers=1, worker_type="process"))
    next(iterator)  # the worker is up
    (worker,) = worker_processes()
    os.kill(worker.pid, signal.SIGINT)
    assert len(list(iterator)) == 9


@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_a_program_that_ends_in_the_middle_of_a_pass_ends(tmp_path, worker_type):
    code, out, err = run_script(
        tmp_path,
        f"""
        if __name__ == "__main__":
            iterator = iter(DataLoader(Slow(), 4, num_workers=2, worker_type="{worker_type}"))
            print(next(iterator).tolist())
        """,
    )
    assert (code, err) == (0, "")
    assert "".join(out) == "[0,1,2,3]"


def test_a_script_without_main_guard_gets_a_hint(tmp_path):
    code, _, err = run_script(
        tmp_path, "list(DataLoader(Slow(), 4, num_workers=1, worker_type='process'))\n"
    )
    assert code == 1
    assert "__name__ == '__main__'" in err
