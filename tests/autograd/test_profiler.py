"""The profiler counts calls, splits self from total time, and prints a table."""

import contextlib

import numpy as np
import pytest
from autograd_helpers import leaf, tensor

from tinyconv.autograd import Function, profiler
from tinyconv.errors import ArgumentError


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self):
        return Clock.now


class Outer(Function):
    """Takes 1 s itself in forward, 2 s in backward, plus what Inner takes in backward."""

    @staticmethod
    def forward(ctx, x):
        Clock.now += 1
        return x.wrap(x.array * 1)

    @staticmethod
    def backward(ctx, g):
        Clock.now += 2
        return Inner.apply(Inner.apply(g))


class Inner(Function):
    @staticmethod
    def forward(ctx, x):
        Clock.now += 5
        return x.wrap(x.array * 1)


class Fails(Function):
    @staticmethod
    def forward(ctx, x):
        Clock.now += 3
        raise ZeroDivisionError


class Catches(Function):
    """Takes 1 s, and 3 s in an op that fails."""

    @staticmethod
    def forward(ctx, x):
        Clock.now += 1
        with contextlib.suppress(ZeroDivisionError):
            Fails.apply(x)
        return x.wrap(x.array * 1)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(profiler.time, "perf_counter", Clock())


@pytest.fixture
def recorded(clock):
    with profiler.profile() as prof:
        x = leaf(np.ones((4, 8)))
        Outer.apply(x).backward(tensor(np.ones((4, 8))))
        with pytest.raises(ZeroDivisionError):
            Fails.apply(x)
        Outer.apply(x)
    Outer.apply(x)
    return prof


def test_calls_and_times(recorded):
    rows = {r.name: r for r in recorded.key_averages()}
    assert set(rows) == {"Outer", "OuterBackward", "Inner"}
    outer, backward, inner = rows["Outer"], rows["OuterBackward"], rows["Inner"]
    assert (outer.calls, outer.self_time, outer.total_time, outer.mean_time) == (2, 2, 2, 1)
    assert (backward.calls, backward.self_time, backward.total_time) == (1, 2, 12)
    assert (inner.calls, inner.self_time, inner.total_time, inner.mean_time) == (2, 10, 10, 5)
    assert outer.output_bytes == 2 * 4 * 8 * 8
    assert backward.output_bytes == 4 * 8 * 8
    assert recorded.wall_time == 17


def test_failed_op_is_time_of_the_op_that_called_it(clock):
    with profiler.profile() as prof:
        Catches.apply(tensor([1.0]))
    (record,) = prof.key_averages()
    assert (record.name, record.self_time, record.total_time) == ("Catches", 4, 4)


def test_table(recorded):
    text = recorded.table(sort_by="total_time")
    lines = text.splitlines()
    assert lines[0].split() == ["Name", "Calls", "Self", "Self", "%", "Total", "Mean", "Output"]
    assert [line.split()[0] for line in lines[2:5]] == ["OuterBackward", "Inner", "Outer"]
    assert "12.000 s" in lines[2]
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[-1] == "Time in ops 14.000 s, in the block 17.000 s"
    assert [line.split()[0] for line in recorded.table("calls").splitlines()[2:4]] != []
    assert recorded.table("name").splitlines()[2].startswith("Inner")
    assert str(recorded) == recorded.table()


def test_row_limit_and_unknown_key(recorded):
    text = recorded.table(row_limit=1)
    assert "... and 2 more" in text
    assert "OuterBackward" not in text
    with pytest.raises(ArgumentError, match="sort_by='speed'"):
        recorded.table(sort_by="speed")


def test_pytorch_names(recorded):
    assert recorded.table(sort_by="self_cpu_time_total") == recorded.table(sort_by="self_time")


def test_empty():
    with profiler.profile() as prof:
        pass
    assert "Time in ops 0.0 us" in prof.table()


def test_peak_memory():
    with profiler.profile(profile_memory=True) as prof:
        x = tensor(np.ones(1000))
        for _ in range(5):
            y = x * 2
            del y
        assert prof.live_bytes == 0
        a, b = x * 2, x * 3
        assert prof.live_bytes == 16_000
        del a
        assert prof.live_bytes == 8_000
    assert prof.peak_bytes == 16_000
    assert b is not None
    assert "Peak of live results 15.6 KiB" in prof.table()


def test_real_ops_on_every_backend(backend):
    x = leaf(np.ones((3, 3)))
    with profiler.profile() as prof:
        (x * 2).sum().backward()
    names = {r.name for r in prof.key_averages()}
    assert {"Mul", "MulBackward"} <= names
    assert all(r.self_time >= 0 for r in prof.key_averages())
