"""grid_sample, affine_grid, unpooling, adaptive maxima and folding against PyTorch."""

import numpy as np
import pytest
from against_torch import assert_same, assert_same_gradients, pair, torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from tinyconv.nn import functional as F

TF = torch.nn.functional


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 1, 3), (2, 2, 4, 3, 5)])
def test_grid_sample(shape, mode, padding, corners):
    if mode == "bicubic" and len(shape) == 5:
        pytest.skip("PyTorch has none")
    dims = len(shape) - 2
    x, grid = random(*shape), 1.5 * random(shape[0], *(6, 7, 3)[:dims], dims, seed=1)
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    assert_same_gradients(
        lambda x, g: F.grid_sample(x, g, **options), lambda x, g: TF.grid_sample(x, g, **options),
        x, grid, rtol=1e-9, atol=1e-9,
    )  # fmt: skip


def test_grid_sample_far_away_and_nan():
    x = random(1, 1, 3, 3)
    grid = np.array([[[[1e3, 0.0], [-1e3, 5.0], [1.0, 1.0]]]])
    a, b = pair(x)
    for padding in ("zeros", "border", "reflection"):
        ours = F.grid_sample(a, tc.tensor(grid), padding_mode=padding)
        theirs = TF.grid_sample(b, torch.tensor(grid), padding_mode=padding, align_corners=False)
        assert_same(ours, theirs, 1e-9, 1e-9)
    grid[:] = np.nan
    assert F.grid_sample(a, tc.tensor(grid), mode="nearest").numpy().tolist() == [[[[0, 0, 0]]]]


def test_grid_sample_second_gradient(backend):
    x = tc.tensor(random(1, 1, 3, 4), requires_grad=True)
    grid = tc.tensor(np.random.default_rng(2).uniform(-0.8, 0.8, (1, 2, 2, 2)), requires_grad=True)
    assert gradcheck(F.grid_sample, (x, grid))
    assert gradgradcheck(F.grid_sample, (x, grid))


@pytest.mark.filterwarnings("ignore:Since version 1.3.0")
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(2, 1, 3, 4), (2, 1, 1, 5), (2, 3, 2, 3, 4)])
def test_affine_grid(size, corners):
    dims = len(size) - 2
    theta = random(2, dims, dims + 1)
    assert_same_gradients(
        lambda t: F.affine_grid(t, size, corners), lambda t: TF.affine_grid(t, size, corners), theta
    )


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(0, 9)
)
@settings(deadline=None, max_examples=60)
def test_unpooling_undoes_pooling(dims, kernel, stride, padding, seed):
    padding = min(padding, kernel // 2)
    x = random(2, 2, *np.random.default_rng(seed).integers(kernel, 8, dims), seed=seed)
    name = f"max_pool{dims}d"
    a, b = pair(x, requires_grad=True)
    pool = {"kernel_size": kernel, "stride": stride, "padding": padding, "return_indices": True}
    (y, at), (ty, tat) = getattr(F, name)(a, **pool), getattr(TF, name)(b, **pool)
    del pool["return_indices"]
    size = x.shape[2:]
    ours = getattr(F, f"max_unpool{dims}d")(y, at, output_size=size, **pool)
    theirs = getattr(TF, f"max_unpool{dims}d")(ty, tat, output_size=size, **pool)
    assert_same(ours, theirs)
    kept = np.unique(ours.detach().numpy())
    assert np.isin(kept[kept != 0], x).all()


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2)])
def test_gradient_of_unpooling(kernel, stride):
    x = np.random.default_rng(0).permutation(72).reshape(1, 2, 6, 6) / 10.0
    size = None if stride == kernel else (6, 6)

    def program(x):
        y, at = F.max_pool2d(x, kernel, stride, return_indices=True)
        if stride < kernel:  # a place that wins twice is written twice
            return y * 2
        return F.max_unpool2d(y * y, at, kernel, stride, output_size=size)

    leaf = tc.tensor(x, requires_grad=True)
    assert gradcheck(program, (leaf,))
    assert gradgradcheck(program, (leaf,))


@pytest.mark.parametrize("name", ["MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"])
def test_unpooling_layers(name):
    dims = int(name[-2])
    ours, theirs = getattr(nn, name)(3, 2, 1), getattr(torch.nn, name)(3, 2, 1)
    assert repr(ours) == repr(theirs)
    y, at = random(2, 3, *(2,) * dims), np.zeros((2, 3, *(2,) * dims), np.int64)
    at += np.arange(2**dims).reshape((2,) * dims)
    assert_same(ours(tc.tensor(y), tc.tensor(at)), theirs(torch.tensor(y), torch.tensor(at)))
    assert_same(
        ours(tc.tensor(y[0]), tc.tensor(at[0])), theirs(torch.tensor(y)[0], torch.tensor(at)[0])
    )


@given(st.integers(1, 3), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_adaptive_maxima_and_their_indices(dims, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, (2, 2, *rng.integers(1, 9, dims))).astype(float)  # with ties
    out = tuple(int(n) for n in rng.integers(1, 7, dims))
    name = f"adaptive_max_pool{dims}d"
    a, b = pair(x, requires_grad=True)
    ours = getattr(F, name)(a, out, return_indices=True)
    theirs = getattr(TF, name)(b, out, return_indices=True)
    assert_same(ours, theirs)
    ours[0].sum().backward()
    theirs[0].sum().backward()
    assert_same(a.grad, b.grad)


def test_fold_of_unfold_counts_windows(backend):
    x = tc.tensor(random(2, 3, 5, 6), requires_grad=True)
    options = {"kernel_size": (2, 3), "padding": 1, "stride": (1, 2)}
    count = F.fold(F.unfold(tc.ones_like(x), **options), (5, 6), **options)
    y = F.fold(F.unfold(x, **options), (5, 6), **options)
    difference = (y - count * x).abs().max().item()
    assert difference < 1e-12
    assert gradcheck(lambda x: F.unfold(x, **options), (x,))
    assert gradgradcheck(lambda x: F.unfold(x * x, 2), (x,))
    columns = F.unfold(x, **options).detach().requires_grad_()
    assert gradcheck(lambda c: F.fold(c, (5, 6), **options), (columns,))


def image(*shape):
    return tc.zeros(*shape)


@pytest.mark.parametrize(
    ("error", "part", "call"),
    [
        (ArgumentError, "'mode'", lambda: F.grid_sample(image(1, 1, 2, 2), image(1, 2, 2, 2), "x")),
        (ArgumentError, "padding_mode",
         lambda: F.grid_sample(image(1, 1, 2, 2), image(1, 2, 2, 2), padding_mode="x")),
        (ArgumentError, "volume",
         lambda: F.grid_sample(image(1, 1, 2, 2, 2), image(1, 2, 2, 2, 3), "bicubic")),
        (ShapeError, "H_out", lambda: F.grid_sample(image(1, 1, 2, 2), image(1, 2, 2, 3))),
        (ShapeError, "as many samples",
         lambda: F.grid_sample(image(2, 1, 2, 2), image(1, 2, 2, 2))),
        (DTypeError, "float64",
         lambda: F.grid_sample(image(1, 1, 2, 2), image(1, 2, 2, 2).double())),
        (ShapeError, "theta", lambda: F.affine_grid(image(1, 2, 2), (1, 1, 2, 2))),
        (ShapeError, "theta", lambda: F.affine_grid(image(1, 2, 3), (1, 1, 0, 2))),
        (DTypeError, "int64", lambda: F.max_unpool1d(image(1, 1, 2), image(1, 1, 2), 2)),
        (ShapeError, "'indices'",
         lambda: F.max_unpool1d(image(1, 1, 2), image(1, 1, 3).long(), 2)),
        (IndexRangeError, "0 to 3",
         lambda: F.max_unpool1d(image(1, 1, 2), image(1, 1, 2).long() + 4, 2)),
        (ShapeError, "output_size",
         lambda: F.max_unpool1d(image(1, 1, 2), image(1, 1, 2).long(), 2, output_size=(9,))),
        (ShapeError, "columns", lambda: F.fold(image(1, 4, 5), (3, 3), 2)),
        (ShapeError, "'input'", lambda: F.fold(image(1, 1, 4, 4), (3, 3), 2)),
        (ShapeError, "kernel", lambda: F.unfold(image(1, 1, 2, 2), 3)),
        (ArgumentError, "output_size", lambda: F.adaptive_max_pool2d(image(1, 1, 2, 2), (1, 2, 3))),
        (ShapeError, "no elements", lambda: F.adaptive_max_pool2d(image(1, 1, 0, 2), 1)),
    ],
)  # fmt: skip
def test_bad_arguments(error, part, call):
    with pytest.raises(error, match=part):
        call()
