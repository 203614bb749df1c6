"""Convolutions with a normalisation by constants after them: one product, of other weights."""

import numpy as np
import pytest
from cuda_cases import OF, assert_near, launches, numbers, wide, xp
from cuda_emulator import COMPILER, emulated, emulated_device
from kernel_cases import LAYOUTS

import tinyconv as tc
from tinyconv import config, nn
from tinyconv.backend import cuda, reference
from tinyconv.backend.cuda.products import choice

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
GEOMETRY = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
EPS = 1e-3


@pytest.fixture(autouse=True)
def emulator():
    with emulated() as runner, config.override(float32_precision="highest"):
        yield runner


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that are launched."""
    return launches(monkeypatch)


def operands(dtype, channels=12):
    """Return x, w and bias, and mean, variance, weight and shift in float32."""
    x, w = numbers((2, 5, 6, 7), dtype), numbers((channels, 5, 3, 3), dtype, 1)
    vectors = [numbers((channels,), "float32", seed) for seed in range(2, 6)]
    vectors[1] = abs(vectors[1]) + np.float32(0.5)
    return x, w, numbers((channels,), dtype, 6), vectors


def check(dtype, x, w, bias, vectors, limits=None, residual=None, geometry=GEOMETRY):
    """Compare a convolution with the one of the reference in float64."""
    arguments = limits, (*vectors, EPS), residual
    y = cuda.override("conv")(xp, x, w, bias, *geometry, *arguments)
    exact = *wide(x, w, bias), *geometry, limits, (*wide(*vectors), EPS), *wide(residual)
    expected = reference.conv(np, *exact)
    # Weights and offsets are rounded before they are multiplied; clipping comes last.
    free = reference.conv(np, *exact[:7], None, *exact[8:])
    scale = max(np.abs(free).max(initial=0), 1)
    assert_near(y, expected, dtype, 64 if dtype == "float32" else 2**17, scale)
    return y


@pytest.mark.parametrize("limits", [None, (0.0, float("inf"))])
@pytest.mark.parametrize("missing", ["nothing", "bias", "weight", "shift", "all three"])
@pytest.mark.parametrize("dtype", [*OF, "float64"])
def test_values(dtype, missing, limits):
    x, w, bias, (mean, var, weight, shift) = operands(dtype)
    bias = None if missing in ("bias", "all three") else bias
    weight = None if missing in ("weight", "all three") else weight
    shift = None if missing in ("shift", "all three") else shift
    check(dtype, x, w, bias, (mean, var, weight, shift), limits)


@pytest.mark.parametrize(
    "dtypes", [("float64", "float32"), ("float32", "float64"), ("bfloat16",) * 2]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_vectors_of_other_dtypes(dtype, dtypes):
    x, w, bias, vectors = operands(dtype)
    vectors = [v.astype(OF.get(d, d)) for v, d in zip(vectors, (*dtypes, *dtypes), strict=True)]
    check(dtype, x, w, bias, vectors)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout(layout):
    x, w, bias, vectors = operands("float32")
    check("float32", x, *map(LAYOUTS[layout], (w, bias)), [LAYOUTS[layout](v) for v in vectors])


#: Shapes of weights with groups, and whether a product computes the convolution.
RESIDUALS = {
    "three taps": ((12, 5, 3, 3), 1, True),
    "one tap": ((12, 5, 1, 1), 1, True),
    "channels of 16 bytes": ((16, 8, 3, 3), 1, True),
    "groups": ((32, 16, 3, 3), 2, True),
    "groups of one tap": ((32, 16, 1, 1), 2, True),
    "depthwise": ((8, 1, 3, 3), 8, False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*OF, "float64"])
@pytest.mark.parametrize("name", RESIDUALS)
def test_a_residual(name, dtype, layout, launched):
    shape, groups, adds = RESIDUALS[name]
    reach = shape[2] // 2
    geometry = (1, 1), ((reach, reach),) * 2, (1, 1), groups
    x, w = numbers((2, shape[1] * groups, 6, 7), dtype), numbers(shape, dtype, 1)
    *_, vectors = operands(dtype, shape[0])
    residual = numbers((2, shape[0], 6, 7), dtype, 9)
    before = residual.copy()
    given = LAYOUTS[layout](residual)
    check(dtype, x, w, None, vectors, (0.0, 6.0), given, geometry)
    np.testing.assert_array_equal(given, before)
    assert ("normalise" in launched) == (dtype != "float64" and not adds)


def test_a_residual_and_slices(emulator, monkeypatch, launched):
    monkeypatch.setattr(emulator, "multiprocessors", 20, raising=False)
    monkeypatch.setattr(choice, "SHORTEST", 1)
    x, w = numbers((1, 96, 5, 6)), numbers((40, 96, 1, 1), seed=1)
    *_, vectors = operands("float32", 40)
    geometry = (1, 1), ((0, 0), (0, 0)), (1, 1), 1
    check("float32", x, w, None, vectors, (0.0, 6.0), numbers((1, 40, 5, 6), seed=2), geometry)
    assert "add_slices" in launched


def test_many_weights_of_a_channel_and_none():
    x, w = numbers((1, 100, 4, 4)), numbers((3, 100, 3, 3), seed=1)
    *_, vectors = operands("float32", 3)
    check("float32", x, w, None, vectors)
    empty = cuda.override("conv")(
        xp, x, w[:0], None, *GEOMETRY, None, (*[v[:0] for v in vectors], EPS)
    )
    assert empty.shape == (1, 0, 4, 4)


def test_the_weights_stay_what_they_were():
    x, w, bias, vectors = operands("float32")
    before = [a.copy() for a in (w, bias, *vectors)]
    check("float32", x, w, bias, vectors)
    for one, other in zip((w, bias, *vectors), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_inference_folds_by_one_launch(launched):
    def run():
        tc.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32), nn.ReLU()).eval()
        with tc.no_grad():
            net[1].running_var.fill_(2.0)
            net[1].running_mean.fill_(0.25)
            return net(tc.tensor(numbers((2, 16, 24, 24)))).numpy()

    expected = run()
    with emulated_device():
        np.testing.assert_allclose(run(), expected, rtol=1e-4, atol=1e-5)
    assert [n for n in launched if n != "philox"] == ["fold", "channels_last", "matmul"]
