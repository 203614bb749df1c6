"""Resizing against PyTorch, over modes, sizes and scales, and its gradients."""

import numpy as np
import pytest
from against_torch import assert_same, assert_same_gradients, pair, torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, ShapeError
from tinyconv.nn import functional as F

INTERPOLATE = torch.nn.functional.interpolate
BY_DIMS = {
    1: ("nearest", "nearest-exact", "linear", "area"),
    2: ("nearest", "nearest-exact", "bilinear", "bicubic", "area"),
    3: ("nearest", "nearest-exact", "trilinear", "area"),
}
CORNERS = ("linear", "bilinear", "bicubic", "trilinear")


@st.composite
def cases(draw):
    dims = draw(st.integers(1, 3))
    mode = draw(st.sampled_from(BY_DIMS[dims]))
    options = {"mode": mode}
    if mode in CORNERS and draw(st.booleans()):
        options["align_corners"] = draw(st.booleans())
    if mode in ("bilinear", "bicubic") and draw(st.booleans()):
        options["antialias"] = True
    least = 2 if "antialias" in options else 1  # PyTorch repeats one line where the width is 1
    spatial = tuple(draw(st.integers(least, 9)) for _ in range(dims))
    if draw(st.booleans()):
        options["size"] = tuple(draw(st.integers(least, 12)) for _ in range(dims))
    else:
        # Where a size doubles, PyTorch's "nearest" forgets the factor, but for images only.
        legal = (1.0, 2.0, 3.0, 1.5, 2.25)[: 4 if mode == "nearest" else 5]
        factors = tuple(draw(st.sampled_from(legal)) for _ in range(dims))
        options["scale_factor"] = factors
        if mode != "area" and draw(st.booleans()):
            options["recompute_scale_factor"] = True
    return spatial, options


@example(((3, 2), {"mode": "nearest-exact", "scale_factor": (1.3, 2.25)}))
@given(cases())
@settings(deadline=None, max_examples=150)
def test_any_size(case):
    spatial, options = case
    x = np.random.default_rng(len(options)).standard_normal((2, 3, *spatial))
    a, b = pair(x)
    assert_same(F.interpolate(a, **options), INTERPOLATE(b, **options), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mode", BY_DIMS[2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_at_a_usual_size(mode, dtype, layout):
    x = np.random.default_rng(0).standard_normal((2, 5, 12, 11))
    g = np.random.default_rng(1).standard_normal((2, 5, 24, 22))
    a, b = pair(x.astype(dtype), requires_grad=True)
    ours = F.interpolate(a * 1, scale_factor=2, mode=mode)
    theirs = INTERPOLATE(b.contiguous(memory_format=layout), scale_factor=2, mode=mode)
    tolerance = 1e-5 if dtype == np.float32 else 1e-9
    assert_same(ours, theirs, tolerance, tolerance)
    ours.backward(tc.from_numpy(g.astype(dtype)))
    theirs.backward(torch.from_numpy(g.astype(dtype)))
    assert_same(a.grad, b.grad, tolerance, tolerance)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"size": 5, "mode": "linear"}, (2, 3)),
        ({"size": (2, 5), "mode": "bilinear", "align_corners": True}, (3, 4)),
        ({"size": (3, 2), "mode": "bicubic", "antialias": True}, (5, 4)),
        ({"scale_factor": 1.5, "mode": "nearest-exact"}, (4, 3)),
        ({"scale_factor": (2, 3), "mode": "nearest"}, (4, 3)),
        ({"size": (3, 2), "mode": "area"}, (5, 4)),
    ],
)
def test_second_gradient(options, shape, backend):
    x = tc.tensor(np.random.default_rng(0).standard_normal((1, 2, *shape[-2:])))
    x = x[0] if options["mode"] == "linear" else x
    x = x.reshape(1, *x.shape) if x.ndim == 2 else x
    x = x.detach().requires_grad_()
    assert gradcheck(lambda x: F.interpolate(x, **options), (x,))
    assert gradgradcheck(lambda x: F.interpolate(x, **options), (x,))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("factor", [1, 2, 7, 41])
def test_whole_factors(factor, mode):
    # In float32, 1 / 41 is rounded: some pixels are repeated 40 times, others 42 times.
    x = np.random.default_rng(0).standard_normal((2, 3, 5), np.float32)
    a, b = pair(x, requires_grad=True)
    ours, theirs = (
        f(y, scale_factor=factor, mode=mode) for f, y in ((F.interpolate, a * 1), (INTERPOLATE, b))
    )
    assert_same(ours, theirs)
    g = np.random.default_rng(1).standard_normal(ours.shape, np.float32)
    ours.backward(tc.from_numpy(g))
    theirs.backward(torch.from_numpy(g))
    assert_same(a.grad, b.grad, 1e-5, 1e-5)


@pytest.mark.parametrize("size", [(8, 12), (8, 18)])
def test_whole_factors_need_one_pass(size):
    x = tc.randn(2, 3, 4, 6, requires_grad=True)
    assert F.interpolate(x, size).grad_fn.name() == "SumPoolGradBackward"


def test_whole_numbers_stay_whole():
    a, b = pair(np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4))
    assert_same(F.interpolate(a, scale_factor=2), INTERPOLATE(b, scale_factor=2))


def test_nan_stays_where_it_is_read():
    x = np.arange(5.0).reshape(1, 1, 5)
    x[0, 0, 4] = np.nan
    y = F.interpolate(tc.tensor(x, requires_grad=True), 10, mode="nearest")
    assert np.isnan(y.detach().numpy()).sum() == 2


@pytest.mark.parametrize(
    ("error", "part", "shape", "options"),
    [
        (ArgumentError, "mode", (1, 1, 4, 4), {"size": 2, "mode": "cubic"}),
        (ArgumentError, "either size or scale_factor", (1, 1, 4, 4), {}),
        (ArgumentError, "either size or scale_factor", (1, 1, 4), {"size": 2, "scale_factor": 2}),
        (ArgumentError, "'size' must be a number or 2", (1, 1, 4, 4), {"size": (1, 2, 3)}),
        (ArgumentError, "must be positive", (1, 1, 4, 4), {"scale_factor": -1.0}),
        (ArgumentError, "must be positive", (1, 1, 4, 4), {"scale_factor": float("nan")}),
        (ArgumentError, "at least 1", (1, 1, 4, 4), {"scale_factor": 0.2}),
        (ArgumentError, "at least 1", (1, 1, 4, 4), {"size": 0}),
        (ArgumentError, "align_corners", (1, 1, 4, 4), {"size": 2, "align_corners": True}),
        (ArgumentError, "antialias", (1, 1, 4), {"size": 2, "mode": "linear", "antialias": True}),
        (ArgumentError, "recompute", (1, 1, 4), {"size": 2, "recompute_scale_factor": True}),
        (ShapeError, "4 dimensions", (1, 1, 4), {"size": 2, "mode": "bilinear"}),
        (ShapeError, "empty", (1, 0, 4), {"size": 2}),
    ],
)
def test_bad_arguments(error, part, shape, options):
    with pytest.raises(error, match=part):
        F.interpolate(tc.zeros(shape), **options)


def test_bad_dtypes():
    with pytest.raises(DTypeError, match="floating"):
        F.interpolate(tc.zeros(1, 1, 4, 4, dtype=tc.int64), 2, mode="bilinear")
    with pytest.raises(DTypeError, match="numbers"):
        F.interpolate(tc.zeros(1, 1, 4, dtype=tc.bool), 2)


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("Upsample", (5,), {}),
        ("Upsample", (), {"scale_factor": (2, 1.5), "mode": "bilinear", "align_corners": False}),
        ("Upsample", (), {"scale_factor": 2, "mode": "bicubic", "recompute_scale_factor": True}),
        ("UpsamplingNearest2d", (), {"scale_factor": 2}),
        ("UpsamplingBilinear2d", ((7, 5),), {}),
    ],
)
def test_layers(name, args, options):
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    assert_same_gradients(ours, theirs, x)
