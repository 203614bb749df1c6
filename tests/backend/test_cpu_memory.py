"""Lent memory: no two live arrays share it, dead ones give it back, and there is no more of it."""

import gc
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest

import tinyconv as tc
from tinyconv.backend.cpu import arena, memory

MB = 1 << 20


@pytest.fixture(autouse=True)
def lender(monkeypatch):
    fresh = arena.Arena()
    monkeypatch.setattr(memory, "_arena", fresh)
    return fresh


def address(array):
    return array.ctypes.data


def held(lender):
    """Return how many bytes of memory the regions take at most."""
    return sum(region.touched - region.start for region in lender._regions)


def in_use(lender):
    """Return how many bytes arrays use."""
    unused = sum(lender._sizes.values()) + sum(size for _, size in lender.returned)
    return sum(region.end - region.start for region in lender._regions) - unused


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool", "float16", "int64"])
@pytest.mark.parametrize("shape", [(), 0, 7, (3, 0, 2), (640, 512), 999_999, (5, 257, 333)])
def test_like_numpy_empty(shape, dtype):
    array, expected = memory.empty(shape, dtype), np.empty(shape, dtype)
    assert array.shape == expected.shape
    assert array.dtype == expected.dtype
    assert array.strides == expected.strides
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    array[...] = 1
    assert array.all()
    assert not memory.zeros(shape, dtype).any()


def test_large_arrays_start_at_a_cache_line():
    assert all(address(memory.empty(MB + 100 * i, np.uint8)) % 64 == 0 for i in range(20))


def test_a_dead_array_gives_its_memory_to_the_next():
    first = memory.empty((512, 512), np.float32)
    where = address(first)
    view = first[3:].T
    del first
    second = memory.empty((512, 512), np.float32)
    assert address(second) != where, "a view is still alive"
    del view
    assert address(memory.empty((1024, 256), np.float32)) == where


@pytest.mark.parametrize(
    "keep",
    [
        lambda a: a.reshape(-1)[5:],
        lambda a: a.view(np.uint8),
        memoryview,
        lambda a: np.frombuffer(a, np.float32),
        np.from_dlpack,
        lambda a: np.lib.stride_tricks.as_strided(a, (2,), (4,)),
        lambda a: iter(a),
        tc.from_numpy,
    ],
)
def test_whatever_holds_the_memory_keeps_it(keep):
    array = memory.empty((512, 512), np.float32)
    where, kept = address(array), keep(array)
    del array
    gc.collect()
    assert address(memory.empty((512, 512), np.float32)) != where
    del kept


def test_live_arrays_never_overlap():
    generator = np.random.default_rng(0)
    live = []
    for number in range(600):
        if live and generator.random() < 0.5:
            live.pop(generator.integers(len(live)))
        array = memory.empty(int(generator.integers(memory.LEAST, 3 * memory.LEAST)), np.uint8)
        array[...] = number % 251
        live.append(array)
        if len(live) > 30:
            live.pop(0)
    ranges = sorted((address(a), address(a) + a.nbytes) for a in live)
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert all((a == a[0]).all() for a in live)


def test_threads_share_the_list():
    errors = []

    def work(number):
        for _ in range(300):
            array = memory.empty(200_000, np.uint8)
            array[...] = number
            other = memory.empty(200_000, np.uint8)
            other[...] = 255
            if not (array == number).all():
                errors.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert in_use(memory._arena) == 0
    assert_sound(memory._arena)


def assert_sound(lender):
    """Free parts lie apart, within regions, and are noted three times alike."""
    memory.empty(MB, np.uint8)  # takes in what has come back
    while lender.returned:
        lender._put(*lender.returned.popleft())
    assert sorted(lender._free) == lender._free
    assert {start: size for size, start in lender._free} == lender._sizes
    assert {start + size: start for size, start in lender._free} == lender._starts
    for size, start in lender._free:
        assert any(r.start <= start and start + size <= r.end for r in lender._regions)
        assert start + size not in lender._sizes, "neighbours are one part"
    assert in_use(lender) >= 0


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_other_sizes_use_the_same_memory(lender):
    for size in (3 * MB, 5 * MB, MB, 8 * MB, 2 * MB):
        arrays = [memory.empty(size, np.uint8) for _ in range(8 * MB // size)]
        assert held(lender) == 8 * MB - 8 * MB % size if size == 3 * MB else 8 * MB
        del arrays
    last = memory.empty(MB, np.uint8)
    assert in_use(lender) == last.nbytes
    assert_sound(lender)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_what_comes_back_is_joined_to_its_neighbours(order, lender):
    arrays = [memory.empty(MB, np.uint8) for _ in range(4)]
    first = address(arrays[0])
    for number in order:
        arrays[number] = None
    assert address(memory.empty(3 * MB, np.uint8)) == first
    assert_sound(lender)


def test_an_array_larger_than_a_region(lender, monkeypatch):
    monkeypatch.setattr(arena, "RESERVED", 4 * MB)
    arrays = [memory.empty(size * MB, np.uint8) for size in (1, 6, 1, 9, 1)]
    for number, array in enumerate(arrays):
        array[...] = number
    assert all((array == number).all() for number, array in enumerate(arrays))
    assert len(lender._regions) == 3
    del array, arrays
    assert_sound(lender)


@pytest.mark.parametrize("mapped", [True, False])
def test_an_old_peak_is_forgotten(lender, monkeypatch, mapped):
    monkeypatch.setattr(arena, "WINDOW", 10)
    if not mapped:
        monkeypatch.setattr(arena, "_reserve", lambda size: None)
        monkeypatch.setattr(arena, "RESERVED", 0)
    arrays = [memory.empty(MB, np.uint8) for _ in range(30)]
    for array in arrays:
        array[...] = 1
    before = resident() if sys.platform == "linux" else None
    del array, arrays
    for _ in range(40):
        memory.empty(MB, np.uint8)
    assert held(lender) <= 2 * MB
    assert_sound(lender)
    if before and mapped:  # else the C library may keep it
        assert resident() < before - 20 * MB


def test_what_is_used_in_each_window_stays(lender, monkeypatch):
    monkeypatch.setattr(arena, "WINDOW", 16)
    for _ in range(20):
        arrays = [memory.empty(MB, np.uint8) for _ in range(6)]
        del arrays
        assert held(lender) == 6 * MB


def test_release(lender):
    kept = memory.empty(MB, np.uint8)
    other, last = memory.empty(MB, np.uint8), memory.empty(MB, np.uint8)
    other[...] = last[...] = kept[...] = 7
    del other
    memory.release()
    assert (kept == 7).all()
    assert (last == 7).all()
    assert held(lender) == 3 * MB
    assert not memory.empty(MB, np.uint8).any(), "new memory of the system is 0"
    del kept, last
    memory.release()
    assert held(lender) == 0
    assert_sound(lender)


@pytest.mark.parametrize("seed", range(4))
def test_an_interrupt_anywhere_lends_nothing_twice(lender, seed, monkeypatch):
    """Each line of the arena is struck by an exception at some time."""
    monkeypatch.setattr(arena, "WINDOW", 5)
    monkeypatch.setattr(arena, "RESERVED", 2 * MB)
    generator = np.random.default_rng(seed)
    live, struck = [], 0

    def strike(frame, event, argument):
        nonlocal struck
        if frame.f_code.co_filename != arena.__file__:
            return None
        if event == "line" and generator.random() < 0.02:
            struck += 1
            raise KeyboardInterrupt
        return strike

    for number in range(400):
        if live and generator.random() < 0.5:
            live.pop(generator.integers(len(live)))
        try:
            sys.settrace(strike)
            try:
                array = memory.empty(int(generator.integers(1, 6)) * memory.LEAST, np.uint8)
            finally:
                sys.settrace(None)
        except KeyboardInterrupt:
            if lender._lock.locked():  # just taken; then NumPy's memory would serve from now on
                lender._lock.release()
            continue
        array[...] = number % 251
        live.append(array)
    assert struck > 20
    ranges = sorted((address(a), address(a) + a.nbytes) for a in live)
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert all((a == a[0]).all() for a in live)


def test_no_memory_is_an_error_and_nothing_is_counted(lender):
    with pytest.raises(MemoryError):
        memory.empty(1 << 60, np.uint8)
    assert in_use(lender) == 0
    assert memory.empty(MB, np.uint8).size == MB


def test_whoever_interrupts_does_not_wait(lender):
    """A signal or the collector may ask for memory in the middle of another request."""
    with lender._lock:
        array = memory.empty(MB, np.uint8)
        memory.release()
    assert array.base is None


def test_an_array_may_outlive_the_interpreter():
    code = """
import builtins
import string
from tinyconv.backend.cpu import memory
string.kept = memory.empty(1 << 20, "uint8")  # dies when the names in memory.py are gone
builtins.kept = string, memory
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_sole_ownership():
    for make in (lambda: memory.empty((512, 512), np.float32), lambda: np.empty((512, 512))):
        array = make()
        assert memory.is_sole(array)
        turned = make().T
        assert memory.is_sole(turned)
        view = array[1:]
        assert not memory.is_sole(view)
        del view
        other = turned.reshape(-1)[:0]
        assert not memory.is_sole(turned[:0])
        del other
        second = array.T
        assert not memory.is_sole(second)
        # A view holds on to the array that it was taken from: who asks counts those references.
        assert memory.is_sole(array)
        assert second.base is array


def test_views_of_lent_memory_are_known_as_such():
    backend = tc.device("cpu").backend
    a, b = (memory.empty((512, 512), np.float32) for _ in range(2))
    assert backend.shares_memory(a.T[1:], a)
    assert backend.shares_memory(a, a[1:])
    assert not backend.shares_memory(a, b)
    lent = np.frombuffer(bytearray(np.ones(8)), np.float64)  # memory of another library
    assert backend.shares_memory(lent[1:], lent)
    assert backend.shares_memory(lent[1:], lent[:3])
    windows = backend.windows(a, 0, 3, 1)
    assert backend.shares_memory(windows, a)
    assert backend.shares_memory(windows[1:, 2], a[1:])
    assert not backend.shares_memory(windows[1:], lent)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_anew(lender):
    mine = memory.empty(MB, np.uint8)
    mine[...] = 1
    memory.empty(MB, np.uint8)
    lender._lock.acquire()
    try:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(20)
                theirs = memory.empty(MB, np.uint8)
                theirs[...] = 2
                del mine
                again = memory.empty(MB, np.uint8)
                again[...] = 3
                anew = memory._arena is not lender and theirs.base is not None
                status = 0 if anew and (theirs == 2).all() else 1
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        lender._lock.release()
    assert (mine == 1).all()


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults")
def test_no_page_faults_once_warm():
    import resource

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    for round_ in range(4):
        before = faults()
        arrays = [memory.empty(4 * MB, np.uint8) for _ in range(8)]
        for array in arrays:
            array[...] = 1
        del arrays, array
        if round_ > 0:
            assert faults() - before < 1000  # 8192 pages


def test_writes_that_may_be_seen_elsewhere():
    backend, a, b = tc.device("cpu").backend, np.zeros(8), np.zeros(8)
    assert backend.may_overlap(a, a)
    assert backend.may_overlap(a[2:5], a[4:])
    assert not backend.may_overlap(a[:4], a[4:])
    assert not backend.may_overlap(a, b)
    assert backend.may_overlap(a, [1])  # unknown memory
