"""The blocks: results against plain PyTorch, published parameter counts, gradients, errors."""

from functools import partial

import numpy as np
import pytest
from against_torch import assert_same, torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, ShapeError
from tinyconv.nn import functional as F

TF = torch.nn.functional


def count(module):
    return sum(p.numel() for p in module.parameters())


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def shaken(module):
    """Return a float64 module whose parameters are all random."""
    module = module.to(dtype=tc.float64)
    with tc.no_grad():
        for number, p in enumerate(module.parameters()):
            p.copy_(tc.tensor(random(*p.shape, seed=number) * 0.5))
    return module


class Weights:
    """Hands out the parameters of a module, in their order, to PyTorch's functions."""

    def __init__(self, module):
        self.values = [torch.from_numpy(p.detach().numpy()) for p in module.parameters()]

    def conv(self, x, bias=False, **options):
        w = self.values.pop(0)
        b = self.values.pop(0) if bias else None
        padding = options.pop("padding", tuple((side - 1) // 2 for side in w.shape[2:]))
        return TF.conv2d(x, w, b, padding=padding, **options)

    def norm(self, x):
        return TF.batch_norm(x, None, None, self.values.pop(0), self.values.pop(0), True)

    def conv_norm(self, x, **options):
        return self.norm(self.conv(x, **options))

    def conv_norm_relu(self, x, **options):
        return TF.relu(self.conv_norm(x, **options))


def check(module, x, expected):
    """Compare a module in training mode with what a function makes of its weights."""
    weights = Weights(module)
    theirs = expected(weights, torch.from_numpy(x))
    assert not weights.values, "parameters were left over"
    assert_same(module(tc.tensor(x)), theirs, 1e-9, 1e-9)


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("outputs", [4, 6])
def test_residual_of_version_1(stride, outputs):
    def expected(w, x):
        y = w.conv_norm(w.conv_norm_relu(x, stride=stride))
        same = stride == 1 and outputs == 4
        return TF.relu(y + (x if same else w.conv_norm(x, stride=stride)))

    check(shaken(nn.ResidualBlock(4, outputs, stride)), random(3, 4, 7, 6), expected)


def test_residual_bottleneck_with_groups():
    def expected(w, x):
        y = w.conv_norm_relu(x)
        y = w.conv_norm_relu(y, stride=2, groups=2, dilation=2, padding=2)
        return TF.relu(w.conv_norm(y) + w.conv_norm(x, stride=2))

    block = nn.ResidualBlock(4, 16, 2, bottleneck=True, groups=2, width=6, dilation=2)
    check(shaken(block), random(2, 4, 8, 8), expected)


@pytest.mark.parametrize(("stride", "outputs"), [(1, 4), (2, 4), (1, 8)])
def test_residual_of_version_2(stride, outputs):
    def expected(w, x):
        # The parameters of the branch come first, then those of the projection and of the norm.
        first, scale, shift, second = w.values[:4]
        projection = None if stride == 1 and outputs == 4 else w.values[4]
        before = w.values[-2:]
        w.values.clear()
        a = TF.relu(TF.batch_norm(x, None, None, *before, True))
        y = TF.conv2d(a, first, stride=stride, padding=1)
        y = TF.conv2d(TF.relu(TF.batch_norm(y, None, None, scale, shift, True)), second, padding=1)
        return y + (x if projection is None else TF.conv2d(a, projection, stride=stride))

    block = shaken(nn.ResidualBlock(4, outputs, stride, version=2))
    check(block, random(2, 4, 6, 6), expected)


def test_padded_shortcut_has_no_parameters():
    block = shaken(nn.ResidualBlock(4, 6, 2, shortcut="pad"))
    x = random(2, 4, 5, 7)
    through = np.zeros((2, 6, 3, 4))
    through[:, :4] = x[:, :, ::2, ::2]
    np.testing.assert_array_equal(block.shortcut(tc.tensor(x)).numpy(), through)
    assert count(block.shortcut) == 0


def test_squeeze_excitation():
    block = shaken(nn.SqueezeExcitation(6, 3))
    x = random(2, 6, 4, 5)
    w1, b1, w2, b2 = (p.detach().numpy() for p in block.parameters())
    hidden = np.maximum(x.mean((2, 3)) @ w1[:, :, 0, 0].T + b1, 0)
    weight = 1 / (1 + np.exp(-(hidden @ w2[:, :, 0, 0].T + b2)))
    expected = x * weight[:, :, None, None]
    np.testing.assert_allclose(block(tc.tensor(x)).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("outputs", [4, 5])
def test_inverted_residual(outputs):
    def expected(w, x):
        y = TF.relu6(w.conv_norm(x))
        y = w.conv_norm(TF.relu6(w.conv_norm(y, groups=12)))
        return y + x if outputs == 4 else y

    check(shaken(nn.InvertedResidual(4, outputs, 1, 3)), random(2, 4, 6, 5), expected)


def test_depthwise_separable():
    def mobilenet(w, x):
        return w.conv_norm_relu(w.conv_norm_relu(x, stride=2, groups=4))

    def xception(w, x):
        return w.conv_norm(w.conv(x, bias=True, groups=4, padding=2))

    check(shaken(nn.DepthwiseSeparableConv2d(4, 6, stride=2)), random(2, 4, 6, 5), mobilenet)
    block = nn.DepthwiseSeparableConv2d(
        4, 6, 5, activation=None, middle_activation=None, middle_norm=False
    )
    check(shaken(block), random(2, 4, 6, 5), xception)


@pytest.mark.parametrize("factorized", [None, "stacked", "asymmetric"])
@pytest.mark.parametrize("reduced", [None, 2])
def test_inception(factorized, reduced):
    def branch(w, x, kernels):
        for _ in range(kernels + (reduced is not None)):
            x = w.conv_norm_relu(x)
        return x

    def expected(w, x):
        small = 2 if factorized == "asymmetric" else 1
        large = {None: 1, "stacked": 2, "asymmetric": 4}[factorized]
        parts = [w.conv_norm_relu(x), branch(w, x, small), branch(w, x, large)]
        pooled = TF.max_pool2d(x, 3, 1, 1)
        return torch.cat([*parts, w.conv_norm_relu(pooled) if reduced else pooled], 1)

    cell = nn.InceptionCell(3, 4, 5, 6, reduced, reduce_3x3=reduced, reduce_5x5=reduced,
                            factorized=factorized, n=3)  # fmt: skip
    x = random(2, 3, 6, 7)
    check(shaken(cell), x, expected)
    assert cell(tc.tensor(x)).shape == (2, cell.out_channels, 6, 7)


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_dense(bottleneck):
    def expected(w, x):
        for _ in range(3):
            y = TF.relu(w.norm(x))
            y = TF.relu(w.norm(w.conv(y))) if bottleneck else y
            x = torch.cat([x, w.conv(y)], 1)
        return x

    check(shaken(nn.DenseBlock(4, 3, 5, bottleneck)), random(2, 4, 5, 6), expected)


def test_dense_transition():
    def expected(w, x):
        return TF.avg_pool2d(w.conv(TF.relu(w.norm(x))), 2)

    check(shaken(nn.DenseTransition(5)), random(2, 5, 6, 4), expected)


def test_dense_with_little_memory_has_the_same_gradients():
    x, results = random(4, 6, 8, 8), []
    for efficient in (False, True):
        block = shaken(nn.DenseBlock(6, 4, 3, memory_efficient=efficient))
        leaf = tc.tensor(x, requires_grad=True)
        y = block(leaf)
        (y * y).sum().backward()
        results.append([y.detach().numpy(), leaf.grad.numpy(), *(p.grad.numpy() for p in
                        block.parameters()), *(b.numpy() for b in block.buffers())])  # fmt: skip
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("up", ["transposed", "bilinear"])
@pytest.mark.parametrize("skip", ["concat", "add"])
def test_unet(up, skip):
    net = shaken(nn.UNet(2, 3, depth=2, base_width=3, up=up, skip=skip))
    parts = {name: Weights(child) for name, child in net.named_children()}

    def two(w, x):
        return w.conv_norm_relu(w.conv_norm_relu(x))

    def enlarged(x):
        w = parts["up"]
        if up == "transposed":
            return TF.conv_transpose2d(x, w.values.pop(0), w.values.pop(0), 2)
        x = TF.interpolate(x, scale_factor=2, mode="bilinear")
        return w.conv(x, bias=True)

    x = random(2, 2, 8, 12)
    a = two(parts["down"], torch.from_numpy(x))
    b = two(parts["down"], TF.max_pool2d(a, 2))
    y = two(parts["bottom"], TF.max_pool2d(b, 2))
    for kept in (b, a):
        y = enlarged(y)
        y = torch.cat([kept, y], 1) if skip == "concat" else kept + y
        y = two(parts["join"], y)
    theirs = parts["head"].conv(y, bias=True)
    assert not any(w.values for w in parts.values())
    assert_same(net(tc.tensor(x)), theirs, 1e-9, 1e-9)


# -- published numbers of parameters ---------------------------------------------------------------


def test_published_parameter_counts():
    assert count(nn.ResidualBlock(64)) == 73_984  # ResNet-18, layer1
    assert count(nn.ResidualBlock(64, 128, 2)) == 230_144  # layer2.0
    assert count(nn.ResidualBlock(64, 256, bottleneck=True)) == 75_008  # ResNet-50, layer1.0
    assert count(nn.ResidualBlock(256, bottleneck=True)) == 70_400  # layer1.1
    resnext = nn.ResidualBlock(256, bottleneck=True, groups=32, width=128)
    assert count(resnext) == 71_168  # ResNeXt-50 32x4d, layer1.1
    googlenet = partial(nn.InceptionCell, reduce_3x3=96, reduce_5x5=16, norm=None)
    assert count(googlenet(192, 64, 128, 32, 32)) == 163_696  # GoogLeNet, 3a
    assert count(nn.DenseBlock(64, 6)) == 335_040  # DenseNet-121, denseblock1
    assert count(nn.DenseTransition(256)) == 33_280  # transition1
    assert count(nn.InvertedResidual(24, 24)) == 8_832  # MobileNet V2, features.3
    assert count(nn.UNet(3, 1)) == 31_037_633


# -- gradients -------------------------------------------------------------------------------------

SMOOTH = [
    lambda: nn.ResidualBlock(2, 3, 2, activation=nn.Tanh),
    lambda: nn.ResidualBlock(2, 4, version=2, bottleneck=2, activation=nn.Tanh),
    lambda: nn.ResidualBlock(2, shortcut="pad", squeeze_excitation=partial(
        nn.SqueezeExcitation, squeeze_channels=1, activation=nn.Tanh), activation=nn.Tanh),
    lambda: nn.InceptionCell(2, 1, 2, 1, 1, reduce_5x5=1, activation=nn.Tanh),
    lambda: nn.DenseBlock(2, 2, 1, activation=nn.Tanh),
    lambda: nn.DenseTransition(2, activation=nn.Tanh),
    lambda: nn.InvertedResidual(2, 2, 1, 2, activation=nn.Tanh),
    lambda: nn.DepthwiseSeparableConv2d(2, 2, activation=nn.Tanh, middle_activation=nn.Tanh),
    lambda: nn.UNet(1, 1, depth=1, base_width=1, activation=nn.Tanh),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SMOOTH)))
def test_gradients(number):
    block = shaken(SMOOTH[number]())
    channels = next(m for m in block.modules() if hasattr(m, "in_channels")).in_channels
    x = np.random.default_rng(3).permutation(2 * channels * 16).reshape(2, channels, 4, 4) / 20
    x = tc.tensor(x - x.mean(), requires_grad=True)
    assert gradcheck(block, (x,), atol=1e-4)
    assert gradgradcheck(block, (x,), atol=1e-3)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: nn.ResidualBlock(0), "in_channels must be an int of at least 1, got 0"),
        (lambda: nn.ResidualBlock(4, version=3), "'version' must be one of 1, 2, got 3"),
        (lambda: nn.ResidualBlock(4, shortcut="none"), "shortcut"),
        (lambda: nn.ResidualBlock(4, 8, shortcut="identity"), "4 inputs and 8 outputs"),
        (lambda: nn.ResidualBlock(4, 2, shortcut="pad"), "'pad' adds channels"),
        (lambda: nn.InceptionCell(4, 1, 0, 1), "out_3x3"),
        (lambda: nn.InceptionCell(4, 1, 1, 1, reduce_5x5=0), "reduce_5x5"),
        (lambda: nn.InceptionCell(4, 1, 1, 1, factorized="5"), "factorized"),
        (lambda: nn.InceptionCell(4, 1, 1, 1, n=4), "'n'"),
        (lambda: nn.DenseBlock(4, 0), "n_layers"),
        (lambda: nn.DenseBlock(4, 1, dropout=1.5), "1.5"),
        (lambda: nn.DenseTransition(4, compression=0), "compression"),
        (lambda: nn.SqueezeExcitation(4, 0), "squeeze_channels"),
        (lambda: nn.InvertedResidual(4, 4, 0), "stride"),
        (lambda: nn.InvertedResidual(4, 4, 1, 0.1), "expand_ratio"),
        (lambda: nn.DepthwiseSeparableConv2d(4, 4, depth_multiplier=0), "depth_multiplier"),
        (lambda: nn.UNet(1, 1, depth=0), "depth"),
        (lambda: nn.UNet(1, 1, up="nearest"), "'up'"),
        (lambda: nn.UNet(1, 1, skip="sum"), "'skip'"),
    ],
)
def test_bad_arguments(make, part):
    with pytest.raises(ArgumentError, match=part):
        make()


def test_numbers_that_are_no_ints():
    with pytest.raises(DTypeError, match="out_channels must be an int, got 2"):
        nn.ResidualBlock(4, 2.5)


def test_unet_says_which_sizes_are_legal():
    with pytest.raises(ShapeError, match=r"multiples of 4 \(depth=2\), got \(8, 10\)"):
        nn.UNet(1, 1, depth=2, base_width=2)(tc.zeros(1, 1, 8, 10))


def test_any_norm_and_activation():
    x = tc.zeros(2, 4, 4, 4)
    group = partial(nn.GroupNorm, 2)
    for block in (nn.ResidualBlock(4, norm=group, activation=nn.GELU), nn.UNet(4, 2, 1, 4,
                  norm=None, activation=partial(nn.LeakyReLU, 0.2))):  # fmt: skip
        assert block(x).shape[0] == 2
    assert F.relu(x).shape == x.shape
