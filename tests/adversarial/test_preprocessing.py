"""Input transforms: values against SciPy, gradients past them, and attacks that see through."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net
from scipy import ndimage, stats

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import (
    BPDA,
    AdditiveNoise,
    BitDepthReduction,
    GaussianBlur,
    MedianFilter,
    RandomResizePad,
    pgd,
)
from tinyconv.autograd import gradcheck
from tinyconv.errors import ArgumentError, GradientError, ShapeError
from tinyconv.nn import functional as F


def pictures(n=2, channels=3, height=7, width=6, dtype=np.float64):
    return np.random.default_rng(0).uniform(0, 1, (n, channels, height, width)).astype(dtype)


TRANSFORMS = [
    BitDepthReduction(3), MedianFilter(3), GaussianBlur(3, 0.7), AdditiveNoise(0.1),
    RandomResizePad(6, 4),
]  # fmt: skip
transforms = pytest.mark.parametrize("layer", TRANSFORMS, ids=lambda m: type(m).__name__)


# -- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("bounds", [(0, 1), (-1, 3)])
def test_bit_depth(bits, bounds):
    low, high = bounds
    x = pictures() * (high - low) + low
    levels = np.linspace(low, high, 2**bits)
    nearest = levels[np.abs(x[..., None] - levels).argmin(-1)]
    found = BitDepthReduction(bits, bounds)(tc.tensor(x)).numpy(force=True)
    np.testing.assert_allclose(found, nearest, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_median_is_that_of_scipy(size):
    x = pictures()
    expected = ndimage.median_filter(x, (1, 1, size, size), mode="mirror")
    found = MedianFilter(size)(tc.tensor(x)).numpy(force=True)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("size", "sigma"), [(1, 1.0), (3, 0.5), (5, 1.3), (7, 4.0)])
def test_blur_is_that_of_scipy(size, sigma):
    x = pictures()
    expected = x
    for axis in (2, 3):
        expected = ndimage.gaussian_filter1d(expected, sigma, axis, mode="mirror", radius=size // 2)
    found = GaussianBlur(size, sigma)(tc.tensor(x)).numpy(force=True)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_noise_is_normal_in_evaluation_too():
    tc.manual_seed(0)
    x = tc.full((4, 3, 20, 20), 0.5)
    found = (AdditiveNoise(0.3).eval()(x) - x).numpy(force=True).ravel() / 0.3
    assert stats.kstest(found, "norm").pvalue > 0.001
    assert AdditiveNoise(0.0)(x).tolist() == x.tolist()


def test_resize_and_pad_places_the_image_everywhere():
    tc.manual_seed(0)
    layer, x = RandomResizePad(6, 4), tc.ones(1, 1, 6, 6)
    seen = set()
    for _ in range(300):
        image = layer(x)[0, 0].numpy()
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        side = len(rows)
        assert image.sum() == side * side == len(columns) ** 2
        seen.add((side, int(rows[0]), int(columns[0])))
    assert seen == {
        (s, top, left) for s in (4, 5, 6) for top in range(7 - s) for left in range(7 - s)
    }
    assert layer(tc.ones(2, 3, 9, 9)).shape == (2, 3, 6, 6)


def test_resize_is_that_of_interpolate():
    tc.manual_seed(1)
    x = tc.tensor(pictures(height=8, width=8))
    found = RandomResizePad(5, 5, mode="bilinear")(x)
    expected = F.interpolate(x, (5, 5), mode="bilinear")
    assert np.array_equal(found.numpy(), expected.numpy())


def test_the_seed_decides():
    x = tc.tensor(pictures(height=6))
    for layer in (AdditiveNoise(0.1), RandomResizePad(6, 3)):
        results = []
        for seed in (0, 0, 1, 2, 3):
            tc.manual_seed(seed)
            results.append(layer(x).numpy())
        assert np.array_equal(results[0], results[1])
        assert not all(np.array_equal(results[0], other) for other in results[2:])


# -- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [MedianFilter(3), GaussianBlur(3, 0.7)], ids=repr)
def test_true_gradients(layer):
    x = tc.tensor(pictures(1, 2, 4, 4), requires_grad=True)
    assert gradcheck(layer, (x,))


@transforms
def test_identity_passes_the_gradient_as_it_is(layer):
    kind = type(layer)
    arguments = {
        BitDepthReduction: (3,), MedianFilter: (3,), GaussianBlur: (3, 0.7), AdditiveNoise: (0.1,),
        RandomResizePad: (6, 4),
    }[kind]  # fmt: skip
    x = tc.tensor(pictures(height=6), requires_grad=True)
    weight = tc.tensor(np.random.default_rng(1).normal(size=x.shape))
    tc.manual_seed(3)
    y = kind(*arguments, bpda="identity")(x)
    (y * weight).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), weight.numpy())
    tc.manual_seed(3)
    plain = kind(*arguments, bpda=None)(x.detach())
    assert np.array_equal(
        y.numpy(force=True), plain.numpy()
    )  # the value is the transform's, exactly


def test_a_function_stands_in():
    x = tc.tensor(pictures(), requires_grad=True)
    blur = GaussianBlur(3, 1.0)
    y = BitDepthReduction(2, bpda=blur)(x)
    (y**2).sum().backward()
    twin = x.detach().requires_grad_()
    (blur(twin) * (2 * y.detach())).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), twin.grad.numpy(), rtol=1e-12)
    other = BPDA(lambda t: t.round(), lambda t: 3 * t)
    x.grad = None
    other(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3.0)


def test_modules_inside_are_children():
    weights = nn.Conv2d(1, 1, 1)
    layer = BPDA(weights, nn.Conv2d(1, 1, 1))
    assert len(list(layer.parameters())) == 4
    assert "backward='identity'" in repr(BPDA(weights))
    assert (
        repr(BitDepthReduction(3))
        == "BitDepthReduction(bits=3, bounds=(0.0, 1.0), bpda='identity')"
    )
    assert repr(MedianFilter(2)) == "MedianFilter(kernel_size=2)"


def test_second_derivative_goes_through():
    x = tc.tensor([0.3], dtype=tc.float64, requires_grad=True)
    y = BPDA(lambda t: t.round(), lambda t: t**3)(x)
    (slope,) = tc.autograd.grad(y.sum(), x, create_graph=True)
    (bend,) = tc.autograd.grad(slope.sum(), x)
    assert slope.item() == pytest.approx(3 * 0.3**2)
    assert bend.item() == pytest.approx(6 * 0.3)


# -- in front of a model ------------------------------------------------------------------------


@transforms
def test_in_front_of_a_model_and_under_attack(layer):
    net = nn.Sequential(layer, small_net(inputs=36))
    x = images(4, shape=(1, 6, 6))
    y = predictions(net, x)
    first, second = (pgd(net, x, y, eps=0.2, steps=3, seed=1, eot=2).x_adv for _ in range(2))
    assert np.array_equal(first.numpy(), second.numpy())


def test_rounding_blocks_the_gradient_and_bpda_finds_the_way():
    net = small_net(1)
    x = images(12, 1)
    blocked = nn.Sequential(BitDepthReduction(3, bpda=None), net)
    open_ = nn.Sequential(BitDepthReduction(3), net)
    y = predictions(open_, x)
    assert predictions(blocked, x).tolist() == y.tolist()
    honest = pgd(open_, x, y, eps=0.3, steps=20, random_start=False)
    assert honest.success.mean() > 0.4
    try:
        hidden = pgd(blocked, x, y, eps=0.3, steps=20, random_start=False)
        assert not hidden.success.any()
    except GradientError:
        pass
    # What was found through the stand-in fools the model as it is.
    assert (predictions(blocked, honest.x_adv) != y).numpy().mean() == honest.success.mean()


def test_bad_arguments_are_named():
    for call, message in [
        (lambda: BitDepthReduction(0), "BitDepthReduction: bits must be an int of at least 1"),
        (lambda: BitDepthReduction(1, (1, 0)), "'bounds' must be two finite numbers"),
        (lambda: MedianFilter(0), "MedianFilter: kernel_size must be"),
        (lambda: GaussianBlur(4, 1.0), "kernel_size must be odd, got 4"),
        (lambda: GaussianBlur(3, 0.0), "sigma must be positive and finite, got 0.0"),
        (lambda: AdditiveNoise(-1.0), "std must be finite and at least 0"),
        (lambda: RandomResizePad(4, 6), "smallest=6 must be at most size=4"),
        (lambda: MedianFilter(3, bpda="none"), "must be 'identity' or a function, got 'none'"),
        (lambda: BPDA(3), "BPDA: argument 'forward' must be callable, got 3"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            call()
    with pytest.raises(ShapeError, match=r"MedianFilter: expected images \(N, C, H, W\)"):
        MedianFilter(3)(tc.zeros(2, 9))
    with pytest.raises(
        ShapeError, match=r"gives shape \(1, 1, 9, 9\), the forward pass \(1, 1, 6, 6\)"
    ):
        RandomResizePad(6, 4, bpda="identity")(tc.zeros(1, 1, 9, 9))
