"""The largest error of a float32 kernel is at most twice PyTorch's, on the same input."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import config
from tinyconv.nn import functional as F

torch = pytest.importorskip("torch")

CASES = {
    "direct": (F.conv2d, (4, 24, 17, 15), (40, 24, 3, 3), {"stride": 2, "padding": 1}),
    "direct, 5x5": (F.conv2d, (2, 40, 24, 24), (36, 40, 5, 5), {"padding": 2}),
    "direct, groups": (F.conv2d, (2, 24, 20, 20), (48, 12, 3, 3), {"groups": 2, "dilation": 2}),
    "first layer": (F.conv2d, (4, 3, 32, 32), (24, 3, 3, 3), {"padding": 1}),
    "positions": (F.conv2d, (16, 96, 2, 2), (64, 96, 3, 3), {"padding": 1}),
    "narrow": (F.conv2d, (4, 16, 20, 20), (4, 16, 5, 5), {"padding": 2}),
    "joined": (F.conv2d, (8, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
    "small groups": (F.conv2d, (4, 64, 28, 28), (64, 4, 3, 3), {"groups": 16, "padding": 1}),
    "pointwise": (F.conv2d, (4, 96, 14, 14), (64, 96, 1, 1), {}),
    "depthwise": (F.conv2d, (4, 48, 20, 20), (48, 1, 3, 3), {"groups": 48, "padding": 1}),
    "sequence": (F.conv1d, (4, 24, 200), (32, 24, 5), {"padding": 2}),
    "volume": (F.conv3d, (2, 8, 8, 10, 12), (16, 8, 3, 3, 3), {"padding": 1}),
    "transposed": (F.conv_transpose2d, (2, 24, 12, 12), (24, 16, 4, 4), {"stride": 2}),
    "linear": (F.linear, (64, 784), (128, 784), {}),
}


def results(lib, function, arrays, options, dtype):
    """Return output and gradients for a fixed output gradient, as float64."""
    x, w = (lib.tensor(a.astype(dtype), requires_grad=True) for a in arrays)
    y = function(x, w, **options)
    dy = np.random.default_rng(2).standard_normal(tuple(y.shape)).astype(dtype)
    (y * lib.tensor(dy)).sum().backward()
    return [t.detach().numpy().astype(float) for t in (y, x.grad, w.grad)]


@pytest.mark.parametrize("name", CASES)
def test_as_exact_as_pytorch(name):
    function, x_shape, w_shape, options = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype("float32") for shape in (x_shape, w_shape)]
    theirs = getattr(torch.nn.functional, function.__name__)
    exact = results(torch, theirs, arrays, options, "float64")
    rival = results(torch, theirs, arrays, options, "float32")
    with config.override(float32_precision="highest"):
        ours = results(tc, function, arrays, options, "float32")
    for part, a, b, c in zip(("output", "dx", "dw"), ours, rival, exact, strict=True):
        rounding = np.finfo(np.float32).eps * np.abs(c).max()
        assert np.abs(a - c).max() <= 2 * np.abs(b - c).max() + rounding, part
