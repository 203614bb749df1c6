"""Interval bounds: hold for every point, are exact where they can be, and are below any attack."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import (
    Interval,
    certified_margin,
    certified_radius,
    fab,
    fmn,
    interval_bounds,
    interval_loss,
    interval_rule,
    pgd,
)
from tinyconv.adversarial.defences.interval_norms import variance
from tinyconv.adversarial.defences.interval_rules import propagate
from tinyconv.errors import ArgumentError
from tinyconv.nn import functional as F

ELEMENTWISE = [
    nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.1), nn.LeakyReLU(-0.5), nn.PReLU(),
    nn.PReLU(init=-0.3), nn.RReLU(), nn.ELU(), nn.ELU(-1.0), nn.CELU(0.5), nn.SELU(), nn.SiLU(),
    nn.Mish(), nn.GELU(), nn.GELU("tanh"), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid(),
    nn.LogSigmoid(), nn.Tanh(), nn.Softsign(), nn.Softplus(), nn.Softplus(2.0, 0.5),
    nn.Softplus(-1.0, 0.2), nn.Hardtanh(), nn.Hardshrink(),
    nn.Softshrink(), nn.Tanhshrink(),
]  # fmt: skip


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=repr)
def test_elementwise_layers_give_the_exact_range(layer):
    layer = layer.double()
    rng = np.random.default_rng(0)
    lower = rng.uniform(-4, 4, 300)
    upper = lower + rng.choice([0.0, 0.1, 1.0, 4.0], 300)
    box = Interval(tc.tensor(lower), tc.tensor(upper))
    found = propagate(layer, box, "test")
    grid = lower + np.linspace(0, 1, 2001)[:, None] * (upper - lower)
    values = layer.eval()(tc.tensor(grid)).numpy(force=True)
    low, high = found.lower.numpy(force=True), found.upper.numpy(force=True)
    assert (low <= values.min(0) + 1e-12).all()
    assert (high >= values.max(0) - 1e-12).all()
    # Exact but for what a grid cannot see; two of the functions jump.
    assert np.abs(low - values.min(0)).max() < 1e-2
    assert np.abs(high - values.max(0)).max() < 1e-2
    assert np.array_equal(box.lower.numpy(), lower)


def batch_norm(features, kind=nn.BatchNorm2d):
    layer = kind(features, dtype=tc.float64)
    layer.running_mean.copy_(tc.randn(features, dtype=tc.float64))
    layer.running_var.copy_(tc.rand(features, dtype=tc.float64) + 0.5)
    layer.weight.data.copy_(tc.randn(features, dtype=tc.float64))  # of both signs
    return layer


def layers():
    tc.manual_seed(0)
    d = {"dtype": tc.float64}
    return [
        nn.Conv2d(2, 3, 3, padding=1, **d), nn.Conv2d(2, 4, 2, stride=2, groups=2, bias=False, **d),
        nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect", **d), batch_norm(2),
        nn.MaxPool2d(2, padding=1), nn.AvgPool2d(2), nn.AvgPool2d(2, divisor_override=-3),
        nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d((1, 3)), nn.Flatten(), nn.ZeroPad2d(1),
        nn.ReflectionPad2d(2), nn.ConstantPad2d(1, 3.5),
        nn.Normalize([0.1, 0.2], [2.0, 0.5]).double(),
        nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.UpsamplingBilinear2d(scale_factor=2),
        nn.Dropout(0.9), nn.StochasticDepth(0.9, "row"), nn.Identity(),
        nn.ResidualBlock(2, 4, 2).double(), nn.ResidualBlock(2, 4, 2, shortcut="pad").double(),
        nn.ResidualBlock(2, version=2).double(), nn.InvertedResidual(2, 2).double(),
        nn.DepthwiseSeparableConv2d(2, 3).double(), nn.SqueezeExcitation(2).double(),
        nn.InvertedResidual(2, 2, squeeze_excitation=nn.SqueezeExcitation).double(),
        nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, **d),
        nn.ConvTranspose2d(2, 4, 2, groups=2, bias=False, output_padding=1, stride=2, **d),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample(size=3),
        nn.DenseTransition(2, 2).double(),
        nn.DenseBlock(2, 2, growth_rate=2).double(),
        nn.DenseBlock(2, 2, growth_rate=2, bottleneck=None, memory_efficient=True).double(),
        nn.InceptionCell(2, 2, 2, 2, 1, reduce_3x3=1).double(),
        nn.UNet(2, 2, depth=1, base_width=2).double(),
        nn.UNet(2, 2, depth=2, base_width=2, up="bilinear", skip="add").double(),
        *normalisations(),
    ]  # fmt: skip


def normalisations():
    """Return layers for (N, 2, 4, 4) that normalise within the sample."""
    d = {"dtype": tc.float64}
    result = [
        nn.GroupNorm(1, 2, **d), nn.GroupNorm(2, 2, eps=0.1, **d),
        nn.GroupNorm(1, 2, bias=False, **d), nn.GroupNorm(1, 2, eps=0.0, **d),
        nn.LayerNorm(4, **d), nn.LayerNorm((2, 4, 4), **d), nn.LayerNorm((4, 4), bias=False, **d),
        nn.LayerNorm(4, elementwise_affine=False), nn.InstanceNorm2d(2, **d),
        nn.InstanceNorm2d(2, affine=True, track_running_stats=True, **d),
        nn.InstanceNorm2d(2, affine=True, **d), nn.RMSNorm(4, **d),
        nn.RMSNorm((4, 4), eps=0.1, **d),
    ]  # fmt: skip
    for layer in result:
        for parameter in layer.parameters():
            parameter.data.copy_(tc.randn(*parameter.shape, **d))  # of both signs
    return result


@pytest.mark.parametrize("layer", layers(), ids=lambda m: type(m).__name__)
def test_no_point_of_the_box_leaves_the_bounds(layer):
    rng = np.random.default_rng(1)
    x, eps = rng.normal(size=(2, 2, 4, 4)), 0.3
    layer.train()  # the bounds are those of eval mode all the same
    found = propagate(layer, Interval(tc.tensor(x - eps), tc.tensor(x + eps)), "test")
    corners = x + eps * rng.choice([-1.0, 1.0, 0.3], (500, *x.shape))
    layer.eval()
    low, high = np.inf, -np.inf
    for point in corners:
        value = layer(tc.tensor(point)).numpy(force=True)
        low, high = np.minimum(low, value), np.maximum(high, value)
    assert found.lower.shape == low.shape
    assert (found.lower.numpy(force=True) <= low + 1e-12).all()
    assert (found.upper.numpy(force=True) >= high - 1e-12).all()
    wider = propagate(layer, Interval(tc.tensor(x - 2 * eps), tc.tensor(x + 2 * eps)), "test")
    assert (wider.lower <= found.lower + 1e-9).all()
    assert (wider.upper >= found.upper - 1e-9).all()
    point = propagate(layer, Interval(tc.tensor(x), tc.tensor(x)), "test")
    assert np.allclose(point.lower.numpy(force=True), layer(tc.tensor(x)).numpy(force=True))
    assert np.allclose(point.upper.numpy(force=True), layer(tc.tensor(x)).numpy(force=True))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([0.0, 0.1, 1.0, 10.0]))
def test_range_of_the_variance(seed, n, width):
    rng = np.random.default_rng(seed)
    lower = rng.normal(size=(1, n))
    upper = lower + rng.uniform(0, width, (1, n))
    least, most = (v.item() for v in variance(Interval(tc.tensor(lower), tc.tensor(upper))))
    share = np.array(list(np.ndindex((2,) * n)))
    corners = np.where(share, upper, lower).var(1)
    assert corners.max() - 1e-9 <= most <= corners.max() * 2 + 1e-9
    inside = (lower + rng.uniform(size=(200, n)) * (upper - lower)).var(1)
    # The nearest points to some c, of which one has the least variance of all.
    near = np.linspace(lower.min(), upper.max(), 2001)[:, None].clip(lower, upper).var(1)
    assert least <= min(inside.min(), near.min(), corners.min()) + 1e-12
    assert least == pytest.approx(near.min(), abs=((upper.max() - lower.min()) / 1000) ** 2)


def test_width_of_a_normalisation_with_a_small_radius():
    x, eps = np.random.default_rng(3).normal(size=(5, 16)) * 3, 1e-7
    box = Interval(tc.tensor(x - eps), tc.tensor(x + eps))
    found = propagate(nn.LayerNorm(16, elementwise_affine=False), box, "test")
    y = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    # Of value and mean, and of the deviation that they are divided by.
    expected = 2 * eps * (2 - 2 / 16 + np.abs(y)) / x.std(1, keepdims=True)
    width = (found.upper - found.lower).numpy()
    assert (width <= expected * 1.001).all()
    assert (width >= expected * 0.6).all()


@pytest.mark.parametrize("layer", normalisations(), ids=lambda m: type(m).__name__)
def test_bounds_of_a_normalisation_are_finite_for_any_radius(layer):
    x = np.zeros((2, 2, 4, 4))
    for radius in (0.0, 1e9):
        box = Interval(tc.tensor(x - radius), tc.tensor(x + radius))
        found = propagate(layer.eval(), box, "test")
        assert (found.lower <= found.upper).all()
        if not getattr(layer, "track_running_stats", False):
            largest = max([float(p.abs().max()) for p in layer.parameters()], default=1.0)
            assert found.upper.abs().max().item() <= largest * (np.sqrt(32) + 1)


def normalised_net(norm, seed):
    tc.manual_seed(seed)
    norms = {
        "group": lambda c: nn.GroupNorm(2, c), "layer": lambda c: nn.GroupNorm(1, c),
        "instance": lambda c: nn.InstanceNorm2d(c, affine=True), "batch": nn.BatchNorm2d,
    }  # fmt: skip
    if norm == "last":
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 12), nn.LayerNorm(12), nn.ReLU(), nn.RMSNorm(12),
            nn.Linear(12, 4),
        )  # fmt: skip
    elif norm == "blocks":
        net = nn.Sequential(
            nn.InceptionCell(1, 2, 2, 2, 1, reduce_5x5=1), nn.DenseBlock(7, 1, growth_rate=3),
            nn.ConvTranspose2d(10, 2, 2, stride=2), nn.SqueezeExcitation(2), nn.Flatten(),
            nn.Linear(128, 4),
        )  # fmt: skip
    elif norm == "unet":
        net = nn.Sequential(
            nn.UNet(1, 3, depth=1, base_width=4, norm=None), nn.Flatten(), nn.Linear(48, 4)
        )
    else:
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), norms[norm](4), nn.ReLU(), nn.Flatten(),
            nn.Linear(64, 4),
        )  # fmt: skip
    for parameter in net.parameters():
        parameter.data.mul_(2.0 if norm == "unet" else 1.5)
    return net.eval()


@pytest.mark.parametrize("norm", ["group", "layer", "instance", "batch", "last", "blocks", "unet"])
@pytest.mark.parametrize("seed", [0, 1])
def test_bounds_of_normalised_nets_and_blocks_never_exceed_an_attack(norm, seed):
    net, x = normalised_net(norm, seed), images(8, seed)
    y = predictions(net, x)
    certain = certified_radius(net, x, y)
    assert (certain > 0).all()
    broken = 0
    for attack in (fab, fmn):
        found = attack(net, x, y, norm="linf", steps=30)
        broken += found.success.sum()
        assert (found.norm["linf"][found.success] >= certain[found.success]).all()
    assert broken
    assert not pgd(net, x, y, eps=certain * 0.999, steps=20, loss="margin").success.any()
    margins = [certified_margin(net, x, y, eps) for eps in (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0)]
    assert (np.diff(margins, axis=0) <= 1e-5).all()
    assert np.isfinite(margins).all()


def test_loss_goes_through_normalisations():
    net, x = normalised_net("group", 0).double(), images(4).double()
    y = predictions(net, x)
    interval_loss(net, x, y, 0.01).backward()
    weight = net[1].weight
    slope, values = weight.grad[0].item(), []
    for step in (1e-6, -2e-6):
        weight.data[0] += step
        values.append(interval_loss(net, x, y, 0.01).item())
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-4)


def test_linear_layer_is_exact():
    net, weight, bias = linear_net(classes=4)
    x = images(5, shape=(3, 2, 2)).double()
    lower, upper = interval_bounds(net, x, 0.2, bounds=(-9, 9))
    flat = x.reshape(5, -1).numpy()
    reach = 0.2 * np.abs(weight).sum(1)
    assert np.allclose(lower.numpy(force=True), flat @ weight.T + bias - reach)
    assert np.allclose(upper.numpy(force=True), flat @ weight.T + bias + reach)


def test_box_and_radii_by_sample_and_channel():
    net, weight, bias = linear_net(classes=2)
    x = images(3, shape=(3, 2, 2)).double()
    eps = np.array([0.0, 0.1, 0.5])[:, None, None, None]
    per_channel = np.array([0.3, 0.0, 0.1])[:, None, None]
    for radii, full in [(eps.ravel(), eps), (per_channel, per_channel[None])]:
        lower, _ = interval_bounds(net, x, radii)
        low = np.clip(x.numpy() - full, 0, 1).reshape(3, -1)
        high = np.clip(x.numpy() + full, 0, 1).reshape(3, -1)
        positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
        assert np.allclose(lower.numpy(force=True), low @ positive.T + high @ negative.T + bias)


def test_margin_of_a_linear_classifier_is_exact():
    net, weight, bias = linear_net(classes=4)
    x = images(6, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    found = certified_margin(net, x, y, 0.05, bounds=(-9, 9), batch_size=4)
    logits = x.reshape(6, -1).numpy() @ weight.T + bias
    for i, label in enumerate(y.tolist()):
        others = [
            logits[i, label] - logits[i, j] - 0.05 * np.abs(weight[label] - weight[j]).sum()
            for j in range(4) if j != label
        ]  # fmt: skip
        assert found[i] == pytest.approx(min(others))


def test_margin_without_a_last_linear_layer_is_the_difference_of_bounds():
    net = nn.Sequential(small_net().eval(), nn.Tanh())
    x = images(4)
    y = predictions(net, x)
    lower, upper = interval_bounds(net, x, 0.02)
    below = lower.gather(1, y.reshape(-1, 1)) - upper
    below.scatter_(1, y.reshape(-1, 1), float("inf"))
    assert np.allclose(certified_margin(net, x, y, 0.02), below.amin(1).numpy(force=True))


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_sandwich_no_attack_succeeds_within_the_certified_radius(seed):
    net, x = small_net(seed), images(12, seed)
    y = predictions(net, x)
    certain = certified_radius(net, x, y)
    assert (certain > 0).all()
    attack = pgd(net, x, y, eps=certain * 0.999, steps=20, restarts=3, loss="margin")
    assert not attack.success.any()
    assert (certified_margin(net, x, y, certain) > 0).all()
    assert (certified_margin(net, x, y, certain + 1e-6) <= 0).all()


def test_radius_of_a_linear_classifier_and_of_errors():
    net, weight, bias = linear_net()
    x = images(8, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    difference = weight[1] - weight[0]
    margin = np.abs(x.reshape(8, -1).numpy() @ difference + bias[1] - bias[0])
    truth = margin / np.abs(difference).sum()
    found = certified_radius(net, x, y, bounds=(-50, 50), steps=40)
    assert np.allclose(found, truth, rtol=1e-6)
    assert (certified_radius(net, x, 1 - y) == 0).all()
    assert certified_radius(net, x[:0], y[:0]).shape == (0,)


def test_a_net_that_never_changes_is_certain_of_the_whole_box():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    net[1].weight.data.zero_()
    net[1].bias.data.copy_(tc.tensor([0.0, 1.0, 0.0]))
    assert (certified_radius(net, images(3), tc.tensor([1, 1, 1])) == 1.0).all()


def test_own_forward_with_sums_reshapes_and_scales():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(16, 4), nn.Linear(16, 4)

        def forward(self, x):
            x = x.reshape(len(x), -1)
            return (1.0 - self.a(x).relu() * -2.0 - self.b(x[:, ::1]) / 3)[:, :3]

    tc.manual_seed(0)
    net, x = Own(), images(4)
    lower, upper = interval_bounds(net, x, 0.1)
    rng = np.random.default_rng(0)
    for _ in range(200):
        move = tc.tensor(rng.choice([-0.1, 0.1], x.shape).astype(np.float32))
        logits = net((x + move).clamp(0, 1))
        assert ((logits >= lower - 1e-5) & (logits <= upper + 1e-5)).all()
    point = interval_bounds(net, x, 0.0)[0]
    assert np.allclose(point.numpy(force=True), net(x).numpy(force=True), atol=1e-6)


def test_a_subclass_with_another_forward_is_not_taken_for_its_parent():
    class Squares(nn.Linear):
        def forward(self, x):
            return super().forward(x * x)

    net = nn.Sequential(nn.Flatten(), Squares(16, 3))
    with pytest.raises(ArgumentError, match=r"interval_bounds: Squares \('1' in the model\)"):
        interval_bounds(net, images(2), 0.1)


@pytest.mark.parametrize(
    "layer",
    [nn.Bilinear(2, 2, 2), nn.Softmax(1), nn.BatchNorm1d(16, track_running_stats=False), nn.GLU()],
    ids=lambda m: type(m).__name__,
)
def test_unsupported_modules_are_named(layer):
    net = nn.Sequential(nn.Flatten(), nn.Sequential(layer), nn.Linear(16, 2))
    name = type(layer).__name__
    with pytest.raises(ArgumentError, match=rf"{name} \('1\.0' in the model\) cannot be bounded"):
        interval_bounds(net, images(2), 0.1)
    assert "forward" not in vars(layer)
    assert net[2](tc.zeros(1, 16)).shape == (1, 2)


def test_own_rules():
    class Square(nn.Module):
        def forward(self, x):
            return x**2

    @interval_rule(Square)
    def square(module, x):
        ends = [x.lower**2, x.upper**2, x.lower.clamp(min=0).minimum(x.upper) ** 2]
        return Interval(ends[0].minimum(ends[1]).minimum(ends[2]), ends[0].maximum(ends[1]))

    lower, upper = interval_bounds(Square(), tc.tensor([[0.5, 0.1]]), 0.25, bounds=(-1, 1))
    assert lower.tolist()[0] == pytest.approx([0.0625, 0.0])
    assert upper.tolist()[0] == pytest.approx([0.5625, 0.1225])


def test_loss_is_the_mixture_and_bounds_every_attack():
    net, x = small_net().eval(), images(8)
    y = predictions(net, x)
    clean, worst = (interval_loss(net, x, y, 0.05, kappa).item() for kappa in (1.0, 0.0))
    assert clean == pytest.approx(F.cross_entropy(net(x), y).item(), rel=1e-6)
    mixed = interval_loss(net, x, y, 0.05, 0.25).item()
    assert mixed == pytest.approx(0.25 * clean + 0.75 * worst, rel=1e-5)
    assert interval_loss(net, x, y, 0.05, 0.25, logits=net(x)).item() == pytest.approx(mixed)
    found = pgd(net, x, y, eps=0.05, steps=20, stop="never").x_adv
    assert F.cross_entropy(net(found), y).item() <= worst
    assert interval_loss(net, x, y, 0.0, 0.0).item() == pytest.approx(clean, rel=1e-5)


def test_gradient_of_the_loss_against_differences():
    tc.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 6, dtype=tc.float64), nn.ReLU(),
        nn.Linear(6, 3, dtype=tc.float64),
    )  # fmt: skip
    x, y = images(4).double(), tc.tensor([0, 1, 2, 0])
    interval_loss(net, x, y, 0.1, 0.5).backward()
    for parameter in net.parameters():
        direction = tc.randn(*parameter.shape, dtype=tc.float64)
        slope = (parameter.grad * direction).sum().item()
        values = []
        for step in (1e-6, -2e-6):
            parameter.data.add_(direction * step)
            values.append(interval_loss(net, x, y, 0.1, 0.5).item())
        parameter.data.add_(direction * 1e-6)
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_bad_arguments_are_named():
    net, x, y = small_net(), images(2), tc.tensor([0, 1])
    with pytest.raises(ArgumentError, match="interval_loss: argument 'kappa' must be from 0 to 1"):
        interval_loss(net, x, y, 0.1, 1.5)
    with pytest.raises(ArgumentError, match=r"certified_margin: .*outside of bounds"):
        certified_margin(net, x * 3, y, 0.1)
    with pytest.raises(ArgumentError, match="'eps' must be finite and at least 0"):
        interval_bounds(net, x, -0.1)
    with pytest.raises(ArgumentError, match=r"'model' must be a Module.* got function"):
        interval_bounds(lambda x: x, x, 0.1)
    with pytest.raises(ArgumentError, match="'steps' must be an int of at least 1"):
        certified_radius(net, x, y, steps=0)
