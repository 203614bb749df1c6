"""Optimizer kernels on a GPU: equal to the reference, for any memory, any number of parameters."""

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated
from optim_cases import CALLS, arguments

from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda import optim

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


def test_the_table_fits_into_the_arguments_of_a_kernel():
    assert all(kernel.layout.size <= 4096 for kernel in optim.KERNELS.values())
