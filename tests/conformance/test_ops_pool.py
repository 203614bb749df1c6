"""Pooling against loops over windows, and against PyTorch over a grid of settings."""

from itertools import product

import numpy as np
import pytest
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.errors import ArgumentError, DTypeError, ShapeError


def each(value, dims):
    return (value,) * dims if isinstance(value, int) else tuple(value)


def windows(shape, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Yield (output position, input positions inside the input, size with padding) of windows."""
    dims = len(shape)
    kernel, dilation = each(kernel, dims), each(dilation, dims)
    stride = kernel if stride is None else each(stride, dims)
    around = [p if isinstance(p, tuple) else (p, p) for p in each(padding, dims)]
    axes = []
    for n, k, s, (before, after), d in zip(shape, kernel, stride, around, dilation, strict=True):
        starts, start = [], -before
        last = n + after - 1 - d * (k - 1)  # where the last window that fits could start
        while start <= last or (ceil_mode and start < n and start - s < last):
            starts.append(start)
            start += s
        axes.append(
            [
                (
                    [i for i in range(first, first + d * k, d) if 0 <= i < n],
                    min(first + k, n + after) - first,
                )
                for first in starts
            ]
        )
    for position in product(*(range(len(axis)) for axis in axes)):
        chosen = [axis[i] for axis, i in zip(axes, position, strict=True)]
        yield position, [c[0] for c in chosen], int(np.prod([c[1] for c in chosen]))


def pool_by_loops(reduce, x, *args, **settings):
    """Reduce each window with ``reduce(elements, size with padding)``."""
    found = {}
    for position, inside, size in windows(x.shape[2:], *args, **settings):
        picked = x[np.ix_(range(x.shape[0]), range(x.shape[1]), *inside)]
        found[position] = reduce(picked.reshape(*x.shape[:2], -1), size)
    out = tuple(np.max(list(found), axis=0) + 1)
    y = np.zeros((*x.shape[:2], *out))
    for position, value in found.items():
        y[(slice(None), slice(None), *position)] = value
    return y


def maximum(elements, size):
    return elements.max(-1)


def total(elements, size):
    return elements.sum(-1)


def average(elements, size):
    return elements.sum(-1) / size


def average_inside(elements, size):
    return elements.mean(-1)


def case(function, reduce, shape, *args, extra=None, **settings):
    names = [f"{k}={v}" for k, v in {**settings, **(extra or {})}.items()]
    return OpCase(
        " ".join([function.__name__, str(shape[2:]), *map(str, args), *names]),
        lambda x: function(x, *args, **settings, **(extra or {})),
        [shape],
        lambda x: pool_by_loops(reduce, x, *args, **settings),
        distinct=True,
        low=-8.0,
        high=8.0,
    )


CASES = [
    case(F.max_pool1d, maximum, (2, 2, 5), 2),
    case(F.max_pool1d, maximum, (1, 1, 6), 3, stride=2, padding=1, dilation=2),
    case(F.max_pool2d, maximum, (2, 2, 4, 5), 2),
    case(F.max_pool2d, maximum, (1, 2, 5, 4), (3, 2), stride=(2, 1), padding=(1, 0)),
    case(F.max_pool2d, maximum, (1, 2, 5, 6), 2, ceil_mode=True),
    case(F.max_pool2d, maximum, (1, 1, 5, 4), 3, stride=2, padding=1, ceil_mode=True),
    case(F.max_pool2d, maximum, (1, 1, 3, 3), 2, stride=1, padding=((0, 1), (1, 0))),
    case(F.max_pool3d, maximum, (1, 1, 3, 4, 2), (2, 2, 1), stride=1),
    case(F.sum_pool1d, total, (2, 1, 5), 3, stride=2, padding=1),
    case(F.sum_pool2d, total, (1, 2, 5, 4), 2, stride=1, padding=1),
    case(F.sum_pool3d, total, (1, 1, 3, 3, 3), 2, ceil_mode=True),
    case(F.avg_pool1d, average, (2, 1, 5), 2, padding=1),
    case(F.avg_pool2d, average, (1, 2, 5, 4), (3, 2), stride=2, padding=1, ceil_mode=True),
    case(
        F.avg_pool2d, average_inside, (1, 1, 5, 4), 3, stride=2, padding=1,
        extra={"count_include_pad": False},
    ),
    case(F.avg_pool3d, average, (1, 1, 3, 2, 4), 2, stride=1),
    OpCase(
        "lp_pool2d p=2", lambda x: F.lp_pool2d(x, 2, 2), [(1, 2, 4, 4)],
        lambda x: pool_by_loops(lambda e, size: (e**2).sum(-1) ** 0.5, x, 2),
    ),
    OpCase(
        "lp_pool1d p=3", lambda x: F.lp_pool1d(x, 3, 2, 1), [(1, 2, 4)],
        lambda x: pool_by_loops(lambda e, size: (e**3).sum(-1) ** (1 / 3), x, 2, 1),
        low=0.2,
    ),
    OpCase(
        "adaptive_avg_pool1d 5 to 3", lambda x: F.adaptive_avg_pool1d(x, 3), [(2, 2, 5)],
        lambda x: np.stack([x[..., 0:2].mean(-1), x[..., 1:4].mean(-1), x[..., 3:5].mean(-1)], -1),
    ),
    OpCase(
        "adaptive_avg_pool2d divides", lambda x: F.adaptive_avg_pool2d(x, (2, 1)), [(1, 2, 4, 3)],
        lambda x: pool_by_loops(average, x, (2, 3)),
    ),
    OpCase(
        "adaptive_avg_pool2d global", lambda x: F.adaptive_avg_pool2d(x, 1), [(2, 2, 3, 2)],
        lambda x: x.mean((2, 3), keepdims=True), zero_size=True,
    ),
]  # fmt: skip


class TestPool(OpSuite):
    CASES = CASES


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# -- PyTorch -------------------------------------------------------------------------------------

SETTINGS = list(product((2, (3, 2)), (None, 2, (3, 1)), (0, 1), (False, True)))


def compare(ours, theirs, x, *args, **kwargs):
    """Compare value and input gradient of a function with PyTorch's of the same name."""
    torch = pytest.importorskip("torch")
    a, b = tensor(x, True), torch.tensor(x, requires_grad=True)
    y, expected = ours(a, *args, **kwargs), theirs(b, *args, **kwargs)
    if isinstance(y, tuple):
        np.testing.assert_array_equal(host(y[1]), expected[1].numpy(), err_msg=f"{args} {kwargs}")
        y, expected = y[0], expected[0]
    assert_close(host(y), expected.detach().numpy(), 1e-12, 1e-12)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    assert_close(host(a.grad), b.grad.numpy(), 1e-11, 1e-11)


def test_max_pool2d_agrees_with_pytorch_over_a_grid(backend):
    torch = pytest.importorskip("torch")
    x = random(2, 3, 7, 6)
    for kernel, stride, padding, ceil_mode in SETTINGS:
        for dilation in (1, 2):
            args = (kernel, stride, padding, dilation, ceil_mode, True)
            compare(F.max_pool2d, torch.nn.functional.max_pool2d, x, *args)


def test_avg_pool2d_agrees_with_pytorch_over_a_grid(backend):
    torch = pytest.importorskip("torch")
    x = random(2, 3, 7, 6)
    for kernel, stride, padding, ceil_mode in SETTINGS:
        for count_include_pad, divisor in ((True, None), (False, None), (True, 5)):
            args = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
            compare(F.avg_pool2d, torch.nn.functional.avg_pool2d, x, *args)


def test_other_dimensions_agree_with_pytorch(backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    line, volume = random(2, 2, 8), random(1, 2, 4, 5, 4)
    compare(F.max_pool1d, T.max_pool1d, line, 3, 2, 1, 2, True, True)
    compare(F.max_pool3d, T.max_pool3d, volume, (2, 3, 2), 2, 1, 1, True, True)
    compare(F.avg_pool1d, T.avg_pool1d, line, 3, 2, 1, True, False)
    compare(F.avg_pool3d, T.avg_pool3d, volume, (2, 3, 2), 2, 1, True, False)
    compare(F.lp_pool1d, T.lp_pool1d, np.abs(line), 3, 3, 2, True)
    compare(F.lp_pool2d, T.lp_pool2d, volume[0], 2, (3, 2), None, True)
    compare(F.lp_pool3d, T.lp_pool3d, volume, 2, 2, 1)


def test_adaptive_average_agrees_with_pytorch(backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    for out in (1, 2, 3, 5, (None, 4), (7, 1), (9, 2)):
        compare(F.adaptive_avg_pool2d, T.adaptive_avg_pool2d, random(2, 2, 7, 6), out)
    compare(F.adaptive_avg_pool1d, T.adaptive_avg_pool1d, random(2, 2, 7), 4)
    compare(F.adaptive_avg_pool3d, T.adaptive_avg_pool3d, random(1, 2, 4, 5, 3), (2, 3, None))


# -- what goes wrong elsewhere -------------------------------------------------------------------


def test_padding_of_max_pool_never_wins(backend):
    x = tensor(np.full((1, 1, 3, 3), -5.0), True)
    y, indices = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(host(y), np.full((1, 1, 2, 2), -5.0))
    np.testing.assert_array_equal(host(indices), [[[[0, 1], [3, 4]]]])
    y.sum().backward()
    assert host(x.grad).sum() == 4


def test_minus_infinity_and_nan(backend):
    y, i = F.max_pool1d(tensor(np.full((1, 1, 3), -np.inf)), 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(host(y), [[[-np.inf, -np.inf]]])
    np.testing.assert_array_equal(host(i), [[[0, 1]]])
    y = F.max_pool1d(tensor(np.array([[[1.0, np.nan, 7.0, 3.0]]])), 2)
    np.testing.assert_array_equal(host(y), [[[np.nan, 7.0]]])


def test_first_of_equal_elements_gets_the_gradient(backend):
    x = tensor(np.ones((1, 1, 2, 2)), True)
    F.max_pool2d(x, 2).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [[[[1, 0], [0, 0]]]])


def test_windows_of_more_than_256_elements(backend):
    x = random(1, 1, 20, 18)
    y, i = F.max_pool2d(tensor(x), (20, 18), return_indices=True)
    assert host(i).item() == x.argmax()
    assert host(y).item() == x.max()


def test_overlapping_windows_add_their_gradients(backend):
    x = tensor(np.array([[[0.0, 9.0, 0.0, 0.0]]]), True)
    F.max_pool1d(x, 3, 1).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [[[0, 2, 0, 0]]])


def test_average_states_what_it_counts(backend):
    x = tensor(np.ones((1, 1, 2)))
    settings = {"kernel_size": 2, "stride": 1, "padding": 1}
    np.testing.assert_array_equal(host(F.avg_pool1d(x, **settings)), [[[0.5, 1, 0.5]]])
    inside = F.avg_pool1d(x, **settings, count_include_pad=False)
    np.testing.assert_array_equal(host(inside), [[[1, 1, 1]]])


def test_gradient_of_lp_pool_is_zero_where_the_window_is(backend):
    x = tensor(np.zeros((1, 1, 4)), True)
    F.lp_pool1d(x, 2, 2).sum().backward()
    np.testing.assert_array_equal(host(x.grad), np.zeros((1, 1, 4)))


def test_sum_pool_is_a_convolution_with_ones(backend):
    x = random(2, 1, 5, 6)
    pooled = F.sum_pool2d(tensor(x), (2, 3), (2, 1), 1)
    convolved = F.conv2d(tensor(x), tensor(np.ones((1, 1, 2, 3))), None, (2, 1), 1)
    assert_close(host(pooled), host(convolved), 1e-12, 1e-12)


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_same_padding(name, stride, size, backend):
    x = random(1, 1, size, size)
    y = getattr(F, name)(tensor(x), 2, stride, "same")
    assert tuple(y.shape[2:]) == (-(-size // stride),) * 2
    np.testing.assert_allclose(
        host(y)[0, 0, 0, 0], x[0, 0, :2, :2].max() if "max" in name else x[0, 0, :2, :2].mean()
    )


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "sum_pool2d"])
def test_empty_batch_and_no_batch(name, backend):
    function = getattr(F, name)
    empty = tensor(np.zeros((0, 2, 4, 4)), True)
    y = function(empty, 2)
    assert tuple(y.shape) == (0, 2, 2, 2)
    y.sum().backward()
    assert tuple(empty.grad.shape) == (0, 2, 4, 4)
    x = random(2, 4, 4)
    single, batch = function(tensor(x), 2), function(tensor(x[None]), 2)
    np.testing.assert_array_equal(host(single), host(batch)[0])


def test_integers(backend):
    y = F.max_pool1d(tensor(np.array([[[3, 1, -4, -2]]])), 2)
    assert host(y).dtype == np.int64
    np.testing.assert_array_equal(host(y), [[[3, -2]]])


def test_nan_and_infinity_pass_through_without_a_warning(backend):
    x = tensor(np.array([[[np.inf, -np.inf, 3e38, 3e38, np.nan, 1.0]]], np.float32))
    np.testing.assert_array_equal(host(F.sum_pool1d(x, 2)), [[[np.nan, np.inf, np.nan]]])
    np.testing.assert_array_equal(host(F.avg_pool1d(x, 2)), [[[np.nan, np.inf, np.nan]]])
    y, i = F.max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(host(y), np.array([[[np.inf, 3e38, np.nan]]], np.float32))
    np.testing.assert_array_equal(host(i), [[[0, 2, 4]]])


# -- errors --------------------------------------------------------------------------------------

ERRORS = [
    ("max_pool2d", (4, 4), (2,), {}, ShapeError, "must have 4 dimensions"),
    ("max_pool2d", (1, 1, 4, 4), (5,), {}, ShapeError, "more than the padded input"),
    ("max_pool2d", (1, 1, 0, 4), (2,), {}, ShapeError, "no elements along a dimension"),
    ("max_pool2d", (1, 1, 4, 4), (2,), {"padding": 2}, ArgumentError, "at most half"),
    ("max_pool2d", (1, 1, 4, 4), (3,), {"padding": ((0, 2), (0, 0))}, ArgumentError, "most half"),
    ("max_pool2d", (1, 1, 4, 4), (0,), {}, ArgumentError, "'kernel_size' must be at least 1"),
    ("max_pool2d", (1, 1, 4, 4), (2, 0), {}, ArgumentError, "'stride' must be at least 1"),
    ("max_pool2d", (1, 1, 4, 4), ((1, 2, 3),), {}, ArgumentError, "tuple of 2 ints"),
    ("max_pool2d", (1, 1, 4, 4), (2.0,), {}, DTypeError, "'kernel_size' must be an int"),
    ("avg_pool2d", (1, 1, 4, 4), (2,), {"divisor_override": 0}, ArgumentError, "must not be 0"),
    ("lp_pool2d", (1, 1, 4, 4), (0, 2), {}, ArgumentError, "'norm_type' must not be 0"),
    ("adaptive_avg_pool2d", (1, 1, 4, 4), ((1, 2, 3),), {}, ArgumentError, "must have 2 numbers"),
    ("adaptive_avg_pool2d", (1, 1, 4, 4), (-1,), {}, ArgumentError, "must not be negative"),
    ("adaptive_avg_pool2d", (1, 1, 4, 4), (1.5,), {}, DTypeError, "ints or None"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "args", "settings", "error", "message"), ERRORS)
def test_errors(name, shape, args, settings, error, message):
    with pytest.raises(error, match=f"{name}: .*{message}"):
        getattr(F, name)(tensor(np.zeros(shape)), *args, **settings)


def test_average_of_integers_is_refused():
    with pytest.raises(DTypeError, match="avg_pool2d: argument 'input' must be floating point"):
        F.avg_pool2d(tensor(np.zeros((1, 1, 4, 4), np.int64)), 2)
