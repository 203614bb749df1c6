"""Convolution and transposed convolution against loops, PyTorch, and their own algebra."""

from itertools import product

import numpy as np
import pytest
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, ShapeError


def pairs(padding, dims):
    """Padding as (before, after) pairs."""
    if isinstance(padding, int):
        return [(padding, padding)] * dims
    return [p if isinstance(p, tuple) else (p, p) for p in padding]


def each(value, dims):
    return (value,) * dims if isinstance(value, int) else value


def conv_by_loops(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The definition of cross-correlation, one output at a time."""
    dims = w.ndim - 2
    stride, dilation = each(stride, dims), each(dilation, dims)
    x = np.pad(x, [(0, 0), (0, 0), *pairs(padding, dims)])
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), len(w), *out))
    inputs, outputs = w.shape[1], len(w) // groups
    for o in range(len(w)):
        first = o // outputs * inputs
        for position in product(*map(range, out)):
            window = tuple(
                slice(p * s, p * s + d * (k - 1) + 1, d)
                for p, s, d, k in zip(position, stride, dilation, w.shape[2:], strict=True)
            )
            patch = x[(slice(None), slice(first, first + inputs), *window)]
            y[(slice(None), o, *position)] = (patch * w[o]).reshape(len(x), -1).sum(1)
    return y if bias is None else y + bias.reshape(1, -1, *(1,) * dims)


def clipped_by_loops(x, w, bias=None, activation="relu", **settings):
    """Clip the correlation as ReLU or ReLU6 does."""
    top = {"relu": np.inf, "relu6": 6}[activation]
    return np.clip(conv_by_loops(x, w, bias, **settings), 0, top)


def transpose_by_loops(
    y, w, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Put a scaled kernel at every stride-th position, add up, cut the padding off."""
    dims = w.ndim - 2
    stride, dilation = each(stride, dims), each(dilation, dims)
    extra, around = each(output_padding, dims), pairs(padding, dims)
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, s, d, k, e in zip(y.shape[2:], stride, dilation, w.shape[2:], extra, strict=True)
    ]
    inputs, outputs = len(w) // groups, w.shape[1]
    x = np.zeros((len(y), groups * outputs, *full))
    for c in range(len(w)):
        first = c // inputs * outputs
        for position in product(*map(range, y.shape[2:])):
            window = tuple(
                slice(p * s, p * s + d * (k - 1) + 1, d)
                for p, s, d, k in zip(position, stride, dilation, w.shape[2:], strict=True)
            )
            value = y[(slice(None), c, *position)].reshape(-1, 1, *(1,) * dims)
            x[(slice(None), slice(first, first + outputs), *window)] += value * w[c]
    inside = tuple(slice(b, n - a) for n, (b, a) in zip(full, around, strict=True))
    x = x[(slice(None), slice(None), *inside)]
    return x if bias is None else x + bias.reshape(1, -1, *(1,) * dims)


def case(name, function, oracle, shapes, **settings):
    return OpCase(
        f"{function.__name__} {name}",
        lambda *tensors: function(*tensors, **settings),
        shapes,
        lambda *arrays: oracle(*arrays, **settings),
    )


CASES = [
    case("plain", F.conv1d, conv_by_loops, [(2, 2, 5), (3, 2, 2), (3,)]),
    case("stride does not divide", F.conv1d, conv_by_loops, [(1, 2, 8), (2, 2, 3)], stride=2),
    case("dilation", F.conv1d, conv_by_loops, [(2, 1, 7), (2, 1, 3)], dilation=2, padding=1),
    case("plain", F.conv2d, conv_by_loops, [(2, 2, 4, 3), (2, 2, 2, 2), (2,)]),
    case("1x1", F.conv2d, conv_by_loops, [(2, 3, 2, 3), (2, 3, 1, 1), (2,)]),
    case(
        "strided", F.conv2d, conv_by_loops, [(1, 2, 5, 4), (2, 2, 3, 2), (2,)],
        stride=(2, 3), padding=(1, 2),
    ),
    case(
        "asymmetric", F.conv2d, conv_by_loops, [(1, 1, 3, 4), (2, 1, 2, 3)],
        padding=((0, 1), (2, 1)), stride=(1, 2),
    ),
    case(
        "groups", F.conv2d, conv_by_loops, [(1, 4, 3, 3), (4, 2, 2, 2), (4,)],
        groups=2, padding=1, stride=2,
    ),
    case(
        "depthwise", F.conv2d, conv_by_loops, [(1, 2, 4, 4), (4, 1, 3, 3), (4,)],
        groups=2, dilation=(2, 1), padding=1,
    ),
    case("relu", F.conv1d, clipped_by_loops, [(2, 2, 5), (3, 2, 2), (3,)], activation="relu"),
    case("relu", F.conv2d, clipped_by_loops, [(2, 2, 4, 3), (2, 2, 2, 2)], activation="relu"),
    case(
        "relu6", F.conv2d, clipped_by_loops, [(1, 4, 3, 3), (4, 2, 2, 2), (4,)],
        groups=2, padding=1, activation="relu6",
    ),
    case(
        "relu6", F.conv3d, clipped_by_loops, [(1, 1, 3, 3, 3), (2, 1, 2, 1, 3), (2,)],
        activation="relu6",
    ),
    case("plain", F.conv3d, conv_by_loops, [(1, 1, 3, 3, 3), (2, 1, 2, 1, 3), (2,)], padding=1),
    case("plain", F.conv_transpose1d, transpose_by_loops, [(2, 2, 3), (2, 3, 2), (3,)], stride=2),
    case(
        "strided", F.conv_transpose2d, transpose_by_loops, [(1, 2, 2, 3), (2, 1, 3, 2), (1,)],
        stride=(2, 3), padding=(1, 0), output_padding=(1, 2),
    ),
    case(
        "groups", F.conv_transpose2d, transpose_by_loops, [(1, 4, 2, 2), (4, 1, 2, 3), (2,)],
        groups=2, dilation=2, stride=2, padding=1,
    ),
    case(
        "output padding beyond the stride", F.conv_transpose1d, transpose_by_loops,
        [(1, 1, 3), (1, 2, 2), (2,)], output_padding=3, dilation=4, padding=1, stride=2,
    ),
    case("plain", F.conv_transpose3d, transpose_by_loops, [(1, 1, 2, 1, 2), (1, 1, 2, 2, 1)]),
]  # fmt: skip


class TestConv(OpSuite):
    CASES = CASES


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# -- PyTorch -------------------------------------------------------------------------------------

GRID = [
    (stride, padding, dilation, groups)
    for stride, padding, dilation, groups in product(
        (1, (3, 2)), (2, (1, 0), "valid", "same"), (1, (1, 2)), (1, 2)
    )
    if padding != "same" or stride == 1
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv2d_agrees_with_pytorch_over_a_grid(backend):
    torch = pytest.importorskip("torch")
    x, b = random(2, 4, 9, 8), random(6)
    for stride, padding, dilation, groups in GRID:
        w = random(6, 4 // groups, 3, 2)
        ours = [tensor(a, True) for a in (x, w, b)]
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        settings = (stride, padding, dilation, groups)
        y, expected = F.conv2d(*ours, *settings), torch.nn.functional.conv2d(*theirs, *settings)
        assert_close(host(y), expected.detach().numpy(), 1e-10, 1e-10)
        (y * y).sum().backward()
        (expected * expected).sum().backward()
        for o, t in zip(ours, theirs, strict=True):
            assert_close(host(o.grad), t.grad.numpy(), 1e-9, 1e-9)


def test_conv_transpose2d_agrees_with_pytorch_over_a_grid(backend):
    torch = pytest.importorskip("torch")
    x, w, b = random(2, 4, 4, 3), random(4, 3, 3, 2), random(6)
    for stride, padding, extra, groups, dilation in product(
        (1, (3, 2)), (0, (2, 1)), (0, (1, 0), (2, 1)), (1, 2), (1, (3, 2))
    ):
        limits = [max(s, d) for s, d in zip(each(stride, 2), each(dilation, 2), strict=True)]
        if any(e >= m for e, m in zip(each(extra, 2), limits, strict=True)):
            continue
        arrays = (x, w, b[: 3 * groups])
        settings = (stride, padding, extra, groups, dilation)
        ours = [tensor(a, True) for a in arrays]
        theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        y = F.conv_transpose2d(*ours, *settings)
        expected = torch.nn.functional.conv_transpose2d(*theirs, *settings)
        assert_close(host(y), expected.detach().numpy(), 1e-10, 1e-10)
        (y * y).sum().backward()
        (expected * expected).sum().backward()
        for o, t in zip(ours, theirs, strict=True):
            assert_close(host(o.grad), t.grad.numpy(), 1e-9, 1e-9)


@pytest.mark.parametrize(
    ("name", "x", "w"),
    [
        ("conv1d", (3, 7), (2, 3, 3)),
        ("conv2d", (3, 5, 4), (2, 3, 3, 3)),
        ("conv3d", (1, 3, 3, 4), (2, 1, 2, 2, 2)),
        ("conv_transpose1d", (3, 4), (3, 2, 3)),
        ("conv_transpose2d", (3, 2, 3), (3, 2, 3, 2)),
        ("conv_transpose3d", (1, 2, 1, 2), (1, 2, 2, 2, 2)),
    ],
)
def test_without_a_batch_as_with_a_batch_of_one(name, x, w, backend):
    x, w = random(*x), random(*w)
    function = getattr(F, name)
    single, batch = function(tensor(x), tensor(w)), function(tensor(x[None]), tensor(w))
    np.testing.assert_array_equal(host(single), host(batch)[0])


# -- algebra -------------------------------------------------------------------------------------


def test_transposed_convolution_is_the_adjoint(backend):
    for settings in (
        {"stride": 2, "padding": 1}, {"stride": (1, 3), "dilation": 2, "groups": 2}
    ):  # fmt: skip
        w = tensor(random(4, 4 // settings.get("groups", 1), 3, 2))
        x = tensor(random(2, 4, 9, 7, seed=1))
        y = F.conv2d(x, w, **settings)
        other = tensor(random(*y.shape, seed=2))
        tails = [n - m for n, m in zip(
            x.shape[2:], F.conv_transpose2d(other, w, **settings).shape[2:], strict=True
        )]  # fmt: skip
        back = F.conv_transpose2d(other, w, output_padding=tuple(tails), **settings)
        np.testing.assert_allclose(float((y * other).sum()), float((x * back).sum()), rtol=1e-12)


def test_convolution_is_unfold_and_matmul(backend):
    x, w = random(2, 3, 5, 6), random(4, 3, 3, 2)
    patches = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(2, 3))
    expected = np.einsum("nchwij,ocij->nohw", patches, w)
    assert_close(host(F.conv2d(tensor(x), tensor(w))), expected, 1e-12, 1e-12)


def test_flipped_kernel_is_the_convolution_of_signal_processing(backend):
    signal = pytest.importorskip("scipy.signal")
    x, w = random(6, 5), random(3, 2)
    flipped = tensor(w[::-1, ::-1].copy()[None, None])
    # In "same", scipy puts the odd zero of an even kernel at the start, we put it at the end.
    for mode, padding in (("full", (2, 1)), ("valid", 0), ("same", ((1, 1), (1, 0)))):
        y = F.conv2d(tensor(x[None, None]), flipped, padding=padding)
        assert_close(host(y)[0, 0], signal.convolve2d(x, w, mode), 1e-12, 1e-12)


def test_second_order_through_the_weights(backend):
    """R-operator by hand: d/dw of <dL/dx, v> for L = sum(y**3)/3 has the closed form below."""
    x, w = tensor(random(1, 1, 4), True), tensor(random(1, 1, 2), True)
    y = F.conv1d(x, w)
    (dx,) = grad((y * y * y).sum() / 3, x, create_graph=True)
    (dw,) = grad(dx.sum(), w)
    signal, (a, b) = host(x)[0, 0], host(w)[0, 0]
    out = a * signal[:-1] + b * signal[1:]
    expected = [
        (2 * out * signal[:-1] * (a + b) + out**2).sum(),
        (2 * out * signal[1:] * (a + b) + out**2).sum(),
    ]
    np.testing.assert_allclose(host(dw)[0, 0], expected, rtol=1e-12)


# -- edges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_empty_batch(name, backend):
    x, w = tensor(random(0, 2, 4, 4), True), tensor(random(2, 2, 3, 3), True)
    y = getattr(F, name)(x, w, tensor(random(2), True), 1, 1)
    assert tuple(y.shape) == (0, 2, 4, 4)
    y.sum().backward()
    assert tuple(x.grad.shape) == (0, 2, 4, 4)
    assert not host(w.grad).any()


def test_same_puts_the_extra_zero_at_the_end(backend):
    x, w = tensor(np.ones((1, 1, 3))), tensor(np.array([[[1.0, 10.0]]]))
    np.testing.assert_array_equal(host(F.conv1d(x, w, padding="same")), [[[11.0, 11.0, 1.0]]])


@pytest.mark.parametrize("size", [5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_gives_size_over_stride_rounded_up(size, stride):
    y = F.conv1d(tensor(random(1, 1, size)), tensor(random(1, 1, 4)), None, stride, "same")
    assert y.shape[2] == -(-size // stride)


def test_integers_stay_integers(backend):
    x = tensor(np.arange(4).reshape(1, 1, 4))
    y = F.conv1d(x, tensor(np.array([[[1, -1]]])))
    assert host(y).dtype == np.int64
    np.testing.assert_array_equal(host(y), [[[-1, -1, -1]]])


def test_only_wanted_gradients_are_computed(monkeypatch):
    from tinyconv.ops.convolution import correlation

    def refuse(*args):
        raise AssertionError("the gradient of an input that wants none was computed")

    x, w = tensor(random(1, 1, 4)), tensor(random(1, 1, 2), True)
    y = F.conv1d(x, w)
    monkeypatch.setattr(correlation, "_input_grad", refuse)
    y.sum().backward()
    assert w.grad is not None


# -- errors --------------------------------------------------------------------------------------

ERRORS = [
    ((1, 3, 8, 8), (4, 5, 3, 3), {}, ShapeError,
     r"conv2d: argument 'weight' has shape \(4, 5, 3, 3\) and groups=1, so input must have 5 "
     r"channels, got 3 \(input shape \(1, 3, 8, 8\)\)"),
    ((1, 4, 8, 8), (3, 2, 3, 3), {"groups": 2}, ShapeError, "must divide the 3 output channels"),
    ((8, 8), (4, 5, 3, 3), {}, ShapeError, r"must have 4 dimensions \(N, C, H, W\), or 3"),
    ((1, 3, 8, 8), (4, 3, 3), {}, ShapeError, "'weight' must have 4 dimensions"),
    ((1, 3, 2, 2), (4, 3, 3, 3), {}, ShapeError, "more than the padded input"),
    ((1, 3, 4, 4), (4, 3, 3, 3), {"dilation": 2}, ShapeError, "covers \\(5, 5\\) positions"),
    ((1, 3, 8, 8), (4, 3, 0, 3), {}, ShapeError, "no size may be 0"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": -1}, ArgumentError, "'stride' must be at least 1"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": 0}, ArgumentError, "'stride' must be at least 1"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": -1}, ArgumentError, "'padding' must be at least 0"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": "full"}, ArgumentError, "'same', 'valid'"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": ((1, 1),)}, ArgumentError, "one \\(before, after\\)"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": (1, 2, 3)}, ArgumentError, "tuple of 2 ints"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": 1.5}, DTypeError, "must be an int or a tuple"),
    ((1, 3, 8, 8), (4, 3, 3, 3), {"groups": 0}, ArgumentError, "'groups' must be an int"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "w", "settings", "error", "message"), ERRORS)
def test_errors_name_argument_and_shapes(x, w, settings, error, message):
    with pytest.raises(error, match=message):
        F.conv2d(tensor(np.zeros(x)), tensor(np.zeros(w)), **settings)


def test_errors_of_dtype_bias_and_type():
    x, w = np.zeros((1, 3, 8, 8)), np.zeros((4, 3, 3, 3))
    with pytest.raises(DTypeError, match=r"'weight' is tinyconv.float32, but input is"):
        F.conv2d(tensor(x), tensor(w.astype(np.float32)))
    with pytest.raises(DTypeError, match=r"'bias' is tinyconv.float32"):
        F.conv2d(tensor(x), tensor(w), tensor(np.zeros(4, np.float32)))
    with pytest.raises(ShapeError, match=r"'bias' must have shape \(4,\)"):
        F.conv2d(tensor(x), tensor(w), tensor(np.zeros(3)))
    with pytest.raises(ShapeError, match=r"'bias' must have shape \(6,\)"):
        F.conv_transpose2d(tensor(x), tensor(np.zeros((3, 6, 2, 2))), tensor(np.zeros(3)))
    with pytest.raises(DTypeError, match="'weight' must be a Tensor, got ndarray"):
        F.conv2d(tensor(x), w)
    with pytest.raises(DTypeError, match="must hold numbers"):
        F.conv2d(tensor(x > 0), tensor(w > 0))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"output_padding": 2}, ArgumentError, "smaller than stride or dilation"),
        ({"padding": 5}, ShapeError, "nothing is left"),
        ({"padding": "same"}, ArgumentError, "must be numbers"),
        ({"groups": 2}, ShapeError, "divisible by groups"),
    ],
)
def test_errors_of_transposed_convolution(settings, error, message):
    x = tensor(np.zeros((1, 3, 4, 4)))
    with pytest.raises(error, match=message):
        F.conv_transpose2d(x, tensor(np.zeros((3, 2, 3, 3))), **settings)
    with pytest.raises(ShapeError, match="must have 2 channels"):
        F.conv_transpose2d(x, tensor(np.zeros((2, 2, 3, 3))))


def test_nan_and_infinity_pass_through_without_a_warning(backend):
    x = tensor(np.array([[[np.inf, 1.0, 3e38, 3e38, np.nan]]], np.float32), True)
    w = tensor(np.array([[[0.0, 2.0]]], np.float32), True)
    y = F.conv1d(x, w)
    np.testing.assert_array_equal(host(y), [[[np.nan, np.inf, np.inf, np.nan]]])
    F.conv_transpose1d(x, w).sum().backward()
