"""The optimizer kernels: fast against reference on any memory, any threads, any values."""

import array_api_strict
import numpy as np
import pytest
from kernel_cases import DTYPES, LAYOUTS, assert_close, random_array
from optim_cases import CALLS, SHAPES, arguments

from tinyconv import config
from tinyconv.backend import cpu, reference
from tinyconv.backend.cpu import optim
from tinyconv.backend.cpu.loops import optim_loops


def changed(lists, change):
    return [None if arrays is None else [change(a) for a in arrays] for arrays in lists]


def run(kernel, lists, options, xp=np):
    with np.errstate(all="ignore"):
        kernel(xp, *lists, *options)
    return lists


def fast(name):
    return cpu.override(name)


def assert_same(actual, expected, compare=np.testing.assert_array_equal):
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours is None) == (theirs is None)
        for a, b in zip(ours or (), theirs or (), strict=True):
            compare(a, b)


@pytest.fixture
def no_fallback(monkeypatch):
    """Fail if the reference is asked."""
    for name in ("sgd", "adam", "rmsprop", "adagrad", "adadelta"):
        monkeypatch.delattr(reference, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_fast_is_the_reference(name, dtype):
    kernel, lists, options = arguments(name, dtype)
    expected = run(getattr(reference, kernel), changed(lists, np.copy), options)
    actual = run(fast(kernel), changed(lists, np.copy), options)
    assert_same(actual, expected, lambda a, b: assert_close(a, b, 10))
    assert_same([actual[1]], [lists[1]])  # gradients are not written to


@pytest.mark.parametrize("name", CALLS)
def test_reference_in_the_strict_namespace(name):
    kernel, lists, options = arguments(name)
    expected = run(getattr(reference, kernel), changed(lists, np.copy), options)
    strict = changed(lists, lambda a: array_api_strict.asarray(a, copy=True))
    run(getattr(reference, kernel), strict, options, array_api_strict)
    assert_same(changed(strict, lambda a: np.asarray(a._array)), expected)


@pytest.mark.parametrize("order", LAYOUTS)
@pytest.mark.parametrize("which", ["param", "grad", "both"])
@pytest.mark.parametrize("name", ["sgd momentum True 0.1 True", "adam square True 0.1 True"])
def test_any_memory_layout(name, which, order):
    shapes = [shape for shape in SHAPES if shape]
    kernel, lists, options = arguments(name, shapes=shapes)
    expected = run(getattr(reference, kernel), changed(lists, np.copy), options)
    change = LAYOUTS[order]
    if which != "grad":
        lists = [changed([p], change)[0] if i != 1 else p for i, p in enumerate(lists)]
        if order == "read_only":
            with pytest.raises(ValueError, match="read-only"):
                run(fast(kernel), lists, options)
            return
    if which != "param":
        lists[1] = changed([lists[1]], change)[0]
    assert_same(run(fast(kernel), lists, options), expected, lambda a, b: assert_close(a, b, 10))


@pytest.mark.parametrize("order", ["contiguous", "channels_last", "fortran"])
def test_dense_memory_of_any_order_is_fast(order, no_fallback):
    kernel, lists, options = arguments("adam square False 0.1 True", "float32")
    grads = lists[1]  # these stay C-ordered
    lists = changed(lists, LAYOUTS[order])
    run(fast(kernel), [lists[0], grads, *lists[2:]], options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.ones((4, 6), np.float32)[:, ::2],
        lambda: np.ones((4, 6), np.float32)[::-1],
        lambda: np.ones((4, 6), np.float16),
        lambda: np.ones((4, 6), ">f4"),
        lambda: LAYOUTS["unaligned"](np.ones((4, 6), np.float32)),
    ],
)
def test_one_odd_parameter_leaves_the_others_fast(make):
    seen = []
    ordinary = [np.full((3, 3), 2, np.float32) for _ in range(2)]
    params = [ordinary[0], make(), ordinary[1]]
    grads = [np.ones_like(p) for p in params]
    run(fast("sgd"), [params, grads, None], (0.5, 0, 0, 0, False, False))
    for param in params:
        seen.append(float(param.ravel()[0]))
    assert seen == [1.5, 0.5, 1.5]


def test_a_step_that_does_not_fit_its_parameter_is_not_read_past_its_end():
    param, grad = np.zeros(8, np.float32), np.ones(2, np.float32)
    with pytest.raises(ValueError, match="broadcast"):
        run(fast("sgd"), [[param], [grad], None], (0.5, 0, 0, 0, False, False))
    assert not param.any()


def test_memory_seen_through_addresses_is_as_numpy_says():
    assert optim_loops.TRUSTED
    arrays = [LAYOUTS["channels_last"](random_array(s)) for s in SHAPES]
    table = optim_loops.table_of([arrays, arrays], np.empty(0))
    assert table[0].tolist() == np.cumsum([a.size for a in arrays]).tolist()
    for row in table[1:]:
        assert row.tolist() == [a.__array_interface__["data"][0] for a in arrays]


@pytest.mark.parametrize(
    ("shape", "strides", "dense"),
    [
        ((2, 3), (24, 8), True), ((2, 3), (8, 16), True), ((2, 3), (8, 8), False),
        ((2, 3), (32, 8), False), ((2, 2, 2), (8, 24, 24), False), ((5,), (0,), False),
        ((1, 4), (999, 8), True), ((), (), True), ((4, 2, 3), (48, 8, 16), True),
        ((3,), (-8,), False),
    ],
)  # fmt: skip
def test_is_dense(shape, strides, dense):
    found = optim_loops.is_dense(np.array(shape, np.int64), np.array(strides, np.int64), 8)
    assert found is dense


@pytest.mark.parametrize("name", [n for n in CALLS if n.endswith("0.1 True")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tasks_and_threads_do_not_change_a_bit(name, dtype, monkeypatch):
    shapes = [(7,), (50, 31), (1,), (3, 3, 3), (0,), (2000,), (5,)]
    kernel, lists, options = arguments(name, dtype, shapes)
    whole = run(fast(kernel), changed(lists, np.copy), options)
    for task, threads in ((1, 1), (100, 1), (100, 2), (1500, 2), (3000, 4)):
        monkeypatch.setattr(optim, "TASK", task)
        monkeypatch.setattr(optim, "MOST_TASKS", 1 << 20)
        with config.num_threads.override(threads):
            pieces = run(fast(kernel), changed(lists, np.copy), options)
        assert_same(pieces, whole)


def test_parameters_that_share_memory_are_done_in_order(monkeypatch):
    monkeypatch.setattr(optim, "TASK", 64)
    calls = []
    monkeypatch.setattr(optim, "share", lambda *a: calls.append(a))
    memory = np.ones(3000, np.float32)
    params = [memory[:2000], memory[1000:]]
    grads = [np.full(2000, 1.0, np.float32), np.full(2000, 10.0, np.float32)]
    run(fast("sgd"), [params, grads, None], (1.0, 0, 0, 0, False, False))
    assert not calls
    np.testing.assert_array_equal(memory[::1000], [0, -10, -9])
    run(fast("sgd"), [[memory[:1500], memory[1500:]], [grads[0][:1500]] * 2, None],
        (1.0, 0, 0, 0, False, False))  # fmt: skip
    assert not calls, "a gradient may be shared, but then it is done in order, too"
    run(fast("sgd"), [[memory[:1500], memory[1500:]], [grads[0][:1500], grads[1][:1500]], None],
        (1.0, 0, 0, 0, False, False))  # fmt: skip
    assert calls


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_nan_and_infinity(name, value):
    for place in range(2 + len(CALLS[name][1])):
        kernel, lists, options = arguments(name, shapes=[(40,)])
        if lists[place] is None:
            continue
        lists[place][0][::3] = value
        expected = run(getattr(reference, kernel), changed(lists, np.copy), options)
        actual = run(fast(kernel), changed(lists, np.copy), options)
        assert_same(actual, expected, lambda a, b: assert_close(a, b, 10))


def test_no_parameters():
    run(fast("sgd"), [[], [], None], (0.5, 0, 0, 0, False, False))
    run(fast("adam"), [[], [], [], [], None], (1, 0.1, 0.9, 0.9, 1e-8, 0, False, False))
