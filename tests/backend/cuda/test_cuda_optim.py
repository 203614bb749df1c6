"""Optimizer kernels on a GPU: equal to the reference, for any memory, any number of parameters."""

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated
from optim_cases import CALLS, arguments

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import optim
from tinyconv.backend.guard import Guard

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


def copied(lists, change=np.copy):
    return [None if arrays is None else [change(a) for a in arrays] for arrays in lists]


def check(name, lists, options, kernel):
    exact = copied(lists, lambda a: a.astype("float64"))
    with np.errstate(all="ignore"):
        getattr(reference, kernel)(np, *exact, *options)
    cuda.override(kernel)(np, *lists, *options)
    for ours, theirs in zip(lists, exact, strict=True):
        for a, b in zip(ours or (), theirs or (), strict=True):
            np.testing.assert_allclose(a, b, rtol=5e-6, atol=5e-6)


@pytest.mark.parametrize("name", CALLS)
def test_equal_to_the_reference(name):
    kernel, lists, options = arguments(name, "float32")
    check(name, copied(lists), options, kernel)


@pytest.mark.parametrize("name", ["sgd momentum False 0.1 True", "adam square True 0.3 False"])
@pytest.mark.parametrize("count", [optim.MOST - 1, optim.MOST, 3 * optim.MOST + 5])
def test_many_parameters_and_long_ones(name, count):
    shapes = [(i % 7 + 1, 3) for i in range(count)] + [(optim.PIECE,), (2 * optim.PIECE + 1,)]
    kernel, lists, options = arguments(name, "float32", shapes)
    check(name, copied(lists), options, kernel)


def test_gradients_in_another_order_of_memory():
    kernel, lists, options = arguments("adam None False 0.1 True", "float32", [(3, 4, 5)])
    lists[1] = copied([lists[1]], lambda a: np.asfortranarray(a.copy()))[0]
    check("adam", lists, options, kernel)


def test_a_parameter_with_gaps_goes_to_the_reference():
    kernel, lists, options = arguments("adagrad 0.1 True", "float32", [(3, 4)])
    wide = np.zeros((3, 8), "float32")
    wide[:, ::2] = lists[0][0]
    lists[0] = [wide[:, ::2]]
    check("adagrad", lists, options, kernel)
    assert (wide[:, 1::2] == 0).all()


# -- steps that the device may leave out ----------------------------------------------------------


def guards(found, steps):
    """Return a guard for the kernel and one for the reference."""
    return [Guard(np.full((), found, "float32"), np.full((), steps, "int64")) for _ in range(2)]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("steps", [0, 6])
def test_a_guarded_step_is_the_step_of_that_number(name, steps):
    kernel, lists, options = arguments(name, "float32")
    if kernel in ("adam", "adagrad"):
        options = (steps + 1, *options[1:])
    if kernel == "sgd" and steps == 0:
        options = (*options[:2], 0, *options[3:])  # the first velocity is the whole gradient
        for velocity in lists[2] or ():
            velocity[...] = 0
    expected, ours, plain = (copied(lists) for _ in range(3))
    cuda.override(kernel)(np, *expected, *options)
    mine, its = guards(0, steps)
    numbered = arguments(name, "float32")[2]
    cuda.override(kernel)(np, *ours, *numbered, mine)
    with np.errstate(all="ignore"):
        getattr(reference, kernel)(np, *plain, *numbered, its)
    assert mine.steps == its.steps == steps + 1
    for a, b, c in zip(ours, expected, plain, strict=True):
        for one, other, third in zip(a or (), b or (), c or (), strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_allclose(third, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in CALLS if n.endswith("0.1 True")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_that_is_left_out_changes_nothing(name, dtype):
    kernel, lists, options = arguments(name, dtype)
    lists[1][0][0, 0] = np.inf
    for run, guard in zip((cuda.override(kernel), getattr(reference, kernel)), guards(1, 3),
                          strict=True):  # fmt: skip
        ours = copied(lists)
        with np.errstate(all="ignore"):
            run(np, *ours, *options, guard)
        assert guard.steps == 3
        for one, other in zip(ours, lists, strict=True):
            for a, b in zip(one or (), other or (), strict=True):
                np.testing.assert_array_equal(a, b)


def test_one_odd_parameter_counts_no_step_twice():
    kernel, lists, options = arguments("adam None False 0.1 True", "float32", [(3, 4), (5,)])
    odd = [None if a is None else [a[0], a[1].astype("float64")] for a in lists]
    guard = guards(0, 2)[0]
    cuda.override(kernel)(np, *odd, *options, guard)
    assert guard.steps == 3
    cuda.override(kernel)(np, *lists, *options)  # the third step
    for one, other in zip(odd, lists, strict=True):
        for a, b in zip(one or (), other or (), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_table_fits_into_the_arguments_of_a_kernel():
    assert all(kernel.layout.size <= 4096 for kernel in optim.KERNELS.values())
