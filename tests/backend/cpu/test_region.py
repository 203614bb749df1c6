"""Regions: one kernel on several threads, each piece once, errors, sleep, callers at once."""

import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest

from tinyconv import config
from tinyconv.backend.cpu.compiler.jit import kernel
from tinyconv.backend.cpu.parallel import board, threads
from tinyconv.backend.cpu.parallel.region import another, calls, shared
from tinyconv.backend.cpu.parallel.spin import load, store
from tinyconv.backend.cpu.parallel.workers import Team


@kernel
def note(board, seat, first, last, x, seats, starts, pair, nothing):
    """Add to each element of a piece; note who did it, and where its piece began."""
    if shared(board, seat):
        return
    for i in range(first, last):
        x[i] += pair[0] + pair[1]
        seats[i] = seat
        starts[i] = first


@kernel
def meet(board, seat, first, last, counts):
    """Wait until all pieces have begun, and say so: only possible if each has a thread."""
    if shared(board, seat):
        return
    from_all = counts.reshape(-1)
    store(from_all, 8 * first, 1)
    for _ in range(1 << 32):  # many seconds, for a busy machine
        total = 0
        for i in range(counts.shape[0]):
            total += load(from_all, 8 * i)
        if total == counts.shape[0]:
            store(from_all, 8 * first + 1, 1)
            break


@kernel
def exhaust(board, seat, first, last, sizes, done):
    """Ask for more memory than there is, where the size says so."""
    if shared(board, seat):
        return
    memory = np.empty(sizes[first], np.float64)
    done[first] = memory.size


@kernel
def square_sum(board, seat, first, last, x, squares, total):
    """Double x, square it piece by piece, add up the squares."""
    if calls(board, seat):
        for i in range(len(x)):
            x[i] *= 2
    if not shared(board, seat):
        for i in range(first, last):
            squares[i] = x[i] * x[i]
    if calls(board, seat):
        total[0] += squares.sum()


@kernel
def sum_of_squares_of_squares(board, seat, first, last, x, squares, some, others, total):
    """Do the same, then with the squares, ``some`` in a piece, and with the last third of them."""
    square_sum(board, seat, first, last, x, squares, total)
    begin, end = another(seat, len(squares), some)
    square_sum(board, seat, begin, end, squares, others, total)
    third = len(squares) // 3
    others[:] = 0
    begin, end = another(seat, third, some)
    square_sum(board, seat, begin, end, squares[-third:], others, total)


@pytest.fixture
def team(monkeypatch):
    team = Team()
    monkeypatch.setattr(threads, "_team", team)
    yield team
    team.close()


def run(length, step, merge=False):
    x, seats, starts = np.zeros(length), np.full(length, -1), np.full(length, -1)
    threads.share(note, length, step, x, seats, starts, (1, 2.0), None, merge=merge)
    assert (x == 3).all()
    return seats, starts


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.usefixtures("team")
def test_each_element_once_and_pieces_as_asked_for(count):
    with config.num_threads.override(count):
        for length, step in ((0, 1), (1, 1), (2, 1), (7, 2), (1000, 1), (1000, 999), (5, 0)):
            seats, starts = run(length, step)
            assert starts.tolist() == [i - i % max(step, 1) for i in range(length)]
            assert ((seats >= 0) & (seats < count)).all()
            run(length, step, merge=True)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.usefixtures("team")
def test_what_is_done_once_before_and_after_the_pieces(count):
    with config.num_threads.override(count):
        for step in (1, 7, 1000):
            x, total = np.arange(100.0), np.zeros(1)
            threads.share(square_sum, 100, step, x, np.zeros(100), total)
            assert total[0] == 4 * (np.arange(100.0) ** 2).sum()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.usefixtures("team")
def test_a_kernel_calls_others_one_region_after_the_other(count):
    squares = (2 * np.arange(100.0)) ** 2
    expected = squares.sum() + 4 * (squares**2).sum() + 16 * (squares[-33:] ** 2).sum()
    with config.num_threads.override(count):
        for step, some in itertools.product((1, 7, 1000), repeat=2):
            arrays, total = (np.arange(100.0), np.zeros(100), some, np.zeros(100)), np.zeros(1)
            threads.share(sum_of_squares_of_squares, 100, step, *arrays, total)
            np.testing.assert_allclose(total[0], expected, rtol=1e-12)


@pytest.mark.usefixtures("team")
def test_merged_pieces_are_few_and_no_smaller():
    with config.num_threads.override(1):
        assert set(run(10000, 1, merge=True)[1]) == {0}
    with config.num_threads.override(2):
        assert len(set(run(10000, 1, merge=True)[1])) == 2 * threads.PIECES
        assert len(set(run(10000, 4000, merge=True)[1])) == 2
        assert len(set(run(10000, 10000, merge=True)[1])) == 1


def all_meet(count):
    """Return whether a region's threads were all inside at once."""
    counts = np.zeros((count, 8), np.int64)
    threads.share(meet, count, 1, counts)
    return counts[:, 1].all()


@pytest.mark.usefixtures("team")
def test_all_threads_are_inside_at_once():
    for count in (2, 3):
        with config.num_threads.override(count):
            for _ in range(3):
                assert all_meet(count)


def test_sleeping_workers_are_woken(team):
    with config.num_threads.override(2):
        for patience in (0, 10, 1000):
            for _ in range(300):
                assert all_meet(2)
                team.patience = patience


@pytest.mark.usefixtures("team")
def test_error_reaches_the_caller_and_the_next_region_is_well():
    for count in (1, 2):
        with config.num_threads.override(count):
            sizes, done = np.full(20, 10), np.zeros(20, np.int64)
            sizes[[3, 17]] = 1 << 58
            with pytest.raises(MemoryError, match="exhaust"):
                threads.share(exhaust, 20, 1, sizes, done)
            assert (done[sizes == 10] == 10).all()
            run(1000, 1)


def test_second_caller_works_alone(team):
    with config.num_threads.override(2):
        run(100, 1)
        assert team._lock.acquire(timeout=60)
        try:
            assert set(run(100, 1)[0]) == {0}
        finally:
            team._lock.release()


@pytest.mark.usefixtures("team")
def test_many_callers_at_once():
    failures = []

    def call():
        try:
            with config.num_threads.override(3):
                for length in range(1, 500):
                    run(length, 1)
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert failures == []


def test_regions_and_jobs_take_turns(team):
    with config.num_threads.override(2):
        for number in range(300):
            seen = []
            threads.run(seen.append, number % 7)
            assert sorted(seen) == list(range(number % 7))
            run(number, 3)
    assert len(team.workers) == 1


def test_closed_team_works_alone(team):
    with config.num_threads.override(2):
        run(100, 1)
        team.close()
        assert set(run(100, 1)[0]) == {0}


@pytest.mark.usefixtures("team")
def test_scratch_has_a_row_for_each_seat_a_page_apart():
    for count in (1, 3):
        with config.num_threads.override(count):
            rows = threads.scratch(1000, "float32")
            assert rows.shape[0] == count
            assert rows.shape[1] >= 1000
            assert rows.flags.c_contiguous
            assert all(row.ctypes.data % 64 == 0 for row in rows)
            assert count == 1 or (rows.shape[1] - 1000) * 4 >= 4096


def test_numbers_of_a_board_have_cache_lines_to_themselves():
    numbers, view = board.new_board()
    assert view.ctypes.data % 64 == 0
    places = (board.CALL, board.USHER, board.DOOR, board.LEFT, board.FIRST_LINE)
    assert len({place // 8 for place in places}) == len(places)
    assert board.FIRST_LINE % 8 == 0
    assert len(numbers) == board.SIZE


FORK = """
import os, warnings
warnings.simplefilter("ignore")
import numpy as np
from tinyconv import config
from tinyconv.backend.cpu import special
from tinyconv.backend.cpu.parallel import threads
from tinyconv.backend import cpu

config.num_threads.set(2)
relu, x = cpu.override("relu"), np.linspace(-3, 3, 1_000_000)
expected = relu(np, x).tobytes()
for _ in range(20):
    child = os.fork()
    if child == 0:
        good = all(relu(np, x).tobytes() == expected for _ in range(5))
        os._exit(0 if good and len(threads._team.workers) == 1 else 1)
    assert relu(np, x).tobytes() == expected
    assert os.waitpid(child, 0)[1] == 0
"""

END = """
import numpy as np
from tinyconv import config
from tinyconv.backend import cpu
config.num_threads.set(2)
relu, x = cpu.override("relu"), np.ones(1_000_000)
for _ in range(10):
    relu(np, x)
"""


@pytest.mark.parametrize("code", [FORK, END, END + "import time; time.sleep(0.1)"])
def test_in_a_process_of_its_own(code):
    if "fork" in code and not hasattr(__import__("os"), "fork"):
        pytest.skip("no fork on this platform")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
