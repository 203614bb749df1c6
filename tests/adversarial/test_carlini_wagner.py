"""Carlini and Wagner: the change of variables, the search over c, Adam, Linf and L0."""

import numpy as np
import pytest
from attack_cases import images, least_norms, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import nn
from tinyconv.adversarial import carlini_wagner, deepfool
from tinyconv.adversarial.attacks.adam import Adam
from tinyconv.adversarial.attacks.constant_search import ConstantSearch, Settings, Stall
from tinyconv.adversarial.attacks.tanh_space import TanhSpace
from tinyconv.adversarial.attacks.tightening import LargestChange
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError

QUICK = {"steps": 60, "binary_search_steps": 5, "initial_const": 0.1, "lr": 0.05}
PAPER = {"n_target_classes": None}  # without the race of classes, which has a file of its own


class Sign(nn.Module):
    """Two classes, split where the sum of all values is a threshold."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        over = x.reshape(len(x), -1).sum(1, keepdim=True) - self.threshold
        return tc.cat([-over, over], 1)


@pytest.mark.parametrize("norm", ["l2", "linf", "l0"])
@pytest.mark.parametrize(("value", "label", "threshold"), [(0.0, 0, 1.0), (1.0, 1, 3.0)])
def test_defect_1_values_at_the_bounds_move(norm, value, label, threshold):
    # Without the factor of 0.999999 they would be at infinity in the space of tanh, forever.
    x = tc.full((2, 1, 2, 2), value)
    y = tc.full((2,), label, dtype=tc.int64)
    result = carlini_wagner(Sign(threshold), x, y, norm=norm, steps=200, lr=0.1)
    assert result.success.all()
    if norm == "l2":
        assert np.allclose(result.norm["l2"], 0.5, rtol=0.02)
    elif norm == "linf":
        assert (result.norm["linf"] < 0.25 * 1.15).all()
    else:
        assert (result.norm["l0"] <= 2).all()


def test_defect_2_a_failure_returns_the_image_and_no_success():
    # Not a black one, which may even count as a success.
    class Black(nn.Module):
        def forward(self, x):
            flat = x.reshape(len(x), -1)
            black = (flat.sum(1, keepdim=True) == 0).to(x.dtype)
            return tc.cat([flat[:, :1] * 0 + 0.5, black], 1)

    x = images(3, shape=(1, 2, 2)) * 0.5 + 0.2
    for norm in ("l2", "linf", "l0"):
        result = carlini_wagner(Black(), x, tc.zeros(3, dtype=tc.int64), norm=norm, **QUICK)
        assert not result.success.any()
        assert np.array_equal(result.x_adv.numpy(), x.numpy())


def test_defect_3_a_round_equals_a_fresh_run_at_its_c():
    # Neither Adam nor the image is carried over from the round before.
    net, x = small_net(), images(6)
    y = predictions(net, x)
    arguments = {"steps": 40, "lr": 0.02, **PAPER}
    short = carlini_wagner(net, x, y, initial_const=1e-9, binary_search_steps=2, **arguments)
    fresh = carlini_wagner(net, x, y, initial_const=1e-8, binary_search_steps=1, **arguments)
    assert not short.success.any()
    assert not fresh.success.any()
    three = carlini_wagner(net, x, y, initial_const=0.05, binary_search_steps=2, **arguments)
    first = carlini_wagner(net, x, y, initial_const=0.05, binary_search_steps=1, **arguments)
    failed = ~first.success
    assert failed.any()
    fresh = carlini_wagner(net, x, y, initial_const=0.5, binary_search_steps=1, **arguments)
    assert fresh.success[failed].any()
    assert np.array_equal(three.x_adv.numpy()[failed], fresh.x_adv.numpy()[failed])


def test_defect_1_a_sample_is_the_same_alone_and_in_a_batch():
    # The loss that decides on giving up is that of the sample, not the sum over the batch.
    net, x = small_net(), images(5)
    y = predictions(net, x)
    for norm in ("l2", "linf", "l0"):
        whole = carlini_wagner(net, x, y, norm=norm, **QUICK)
        for row in (1, 4):
            one = carlini_wagner(net, x[row : row + 1], y[row : row + 1], norm=norm, **QUICK)
            assert np.array_equal(one.x_adv.numpy()[0], whole.x_adv.numpy()[row])
            assert np.array_equal(one.queries[0], whole.queries[row])


def test_the_search_grows_tenfold_then_bisects():
    search = ConstantSearch(3, 0.001)
    tried = []
    for success in ([0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 1, 1]):
        tried.append(search.c.tolist())
        search.update(np.array(success, bool))
    tried.append(search.c.tolist())
    expected = [
        [0.001, 0.001, 0.001], [0.01, 0.01, 0.0005], [0.1, 0.0055, 0.00075],
        [1, 0.00775, 0.000875], [10, 0.006625, 0.0008125],
    ]  # fmt: skip
    assert np.allclose(tried, expected)


def test_a_slow_start_is_no_stall():
    settings = Settings("x", 30, 1, 1.0, 1.0, 0.0, True)
    stall = Stall(4, settings)
    losses = np.array([
        [100.0, 100.0, 100.0, 100.0],
        [99.99999, 90.0, 100.0, 100.0],
        [99.9999, 80.0, 99.0, np.nan],
        [99.99985, 79.9999, 98.0, np.nan],
    ])  # fmt: skip
    seen = [
        stall(loss, np.full(4, age)).tolist()
        for loss, age in zip(losses, (0, 3, 6, 9), strict=True)
    ]
    assert seen == [
        [False, False, False, False],
        [False, False, True, True],
        [False, False, False, True],
        [True, True, False, True],
    ]
    assert not stall(losses[0], np.full(4, 10)).any()
    assert not stall(losses[0], np.full(4, 0)).any()


def test_more_confidence_is_a_larger_margin():
    net, x = small_net(), images(8)
    y = predictions(net, x)
    before = np.zeros(8)
    for confidence in (0.0, 0.2, 0.4):
        result = carlini_wagner(net, x, y, confidence=confidence, **QUICK)
        assert result.success.sum() >= 6
        assert (result.loss[result.success] > confidence).all()
        assert (result.eps_used > before).all()
        before = result.eps_used


def test_abort_early_saves_passes():
    net, x = small_net(), images(6)
    y = predictions(net, x)
    arguments = {
        "steps": 100, "lr": 0.05, "initial_const": 0.1, "binary_search_steps": 4, **PAPER
    }  # fmt: skip
    early = carlini_wagner(net, x, y, **arguments)
    late = carlini_wagner(net, x, y, abort_early=False, **arguments)
    assert early.queries[:, 1].mean() < 0.95 * late.queries[:, 1].mean()
    assert (late.queries[:, 1] == 100 * 4).all()
    assert (early.eps_used <= late.eps_used * 1.1).all()


def test_it_beats_deepfool():
    net, x = small_net(3), images(16)
    y = predictions(net, x)
    fine = carlini_wagner(net, x, y, steps=300, initial_const=0.1, binary_search_steps=8, lr=0.02)
    quick = deepfool(net, x, y)
    both = fine.success & quick.success
    assert both.sum() >= 10
    assert np.median(fine.norm["l2"][both]) < np.median(quick.norm["l2"][both])


@pytest.mark.parametrize("classes", [2, 4])
def test_linf_ends_within_a_tenth_of_the_least_or_a_grey_level(classes):
    net, weight, bias = linear_net(classes=classes)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    box = (-1.0, 2.0)
    least = least_norms(weight, bias, x, y, "linf")
    # The race of classes would end nearer still.
    found = carlini_wagner(net, x, y, norm="linf", bounds=box, steps=300, confidence=1e-9).eps_used
    assert (found >= least - 1e-9).all()
    assert (found <= np.maximum(least / 0.9 * 1.02, 3 / 256 / 0.9)).all(), found / least


def test_tau_follows_the_largest_change_and_is_kept_by_sample():
    limit = LargestChange(3, (0.0, 2.0))
    change = tc.tensor([[0.5, -1.0], [0.1, 0.2], [0.005, 0.0]])
    end = limit.tighten(change, change, np.array([True, False, True]))
    assert np.allclose(limit.tau, [0.9, 2.0, 0.0045])
    assert end.tolist() == [False, False, True]
    assert limit.holds(change).tolist() == [False, True, False]
    value, slope = limit.distance(change)
    assert np.allclose(value.numpy(), [0.1, 0.0, 0.0005])
    assert np.array_equal(slope.numpy(), [[0, -1], [0, 0], [1, 0]])


def test_l0_finds_the_fewest_values_of_a_linear_classifier():
    net, weight, bias = linear_net(seed=1, inputs=12)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    result = carlini_wagner(net, x, y, norm="l0", steps=300, initial_const=0.1, lr=0.05)
    for row in np.flatnonzero(result.success):
        image, label = x[row].numpy().ravel(), int(y[row])
        slope = weight[1 - label] - weight[label]
        gap = -(slope @ image + bias[1 - label] - bias[label])
        gains = np.abs(slope) * np.where(slope > 0, 1 - image, image)
        fewest = 1 + np.searchsorted(np.cumsum(np.sort(gains)[::-1]), gap)
        assert fewest <= result.norm["l0"][row] <= fewest + 1
    assert result.success.sum() >= 5


def test_the_space_of_tanh():
    space = TanhSpace((-2.0, 3.0))
    x = tc.tensor(np.linspace(-2, 3, 11)[None])
    w = space.variables(x)
    assert w.isfinite().all()
    assert np.allclose(space.images(w).numpy(), x.numpy(), atol=5e-6)
    w = tc.tensor(np.random.default_rng(0).normal(size=(2, 5)), requires_grad=True)
    (expected,) = grad((space.images(w) ** 3).sum(), w)
    ours = space.slope(3 * space.images(w) ** 2, w)
    assert np.allclose(ours.numpy(force=True), expected.numpy())


def test_adam_is_that_of_the_optimizer_and_forgets_by_sample():
    start, slopes = np.random.default_rng(0).normal(size=(2, 3)), np.eye(3)[:2] + 0.1
    w, adam = tc.tensor(start), Adam(tc.tensor(start))
    parameter = nn.Parameter(tc.tensor(start))
    optimizer = tc.optim.Adam([parameter], lr=0.1)
    for step in range(4):
        slope = tc.tensor(slopes * (step - 1.5))
        w = w + adam.step(slope, 0.1)
        parameter.grad = slope
        optimizer.step()
    assert np.allclose(w.numpy(), parameter.numpy(force=True), atol=1e-7)
    adam.reset(np.array([True, False]))
    assert adam.age.tolist() == [0, 4]
    assert np.abs(adam.mean.numpy()[0]).max() == 0
    assert np.abs(adam.mean.numpy()[1]).max() > 0
    first = adam.step(tc.tensor(slopes), 0.1).numpy()[0]
    assert np.allclose(first, -0.1 * np.sign(slopes[0]), atol=1e-6)


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    for name in ("lr", "initial_const"):
        with pytest.raises(ArgumentError, match=f"'{name}' must be positive and finite, got 0"):
            carlini_wagner(net, x, y, **{name: 0})
    for name in ("steps", "binary_search_steps"):
        with pytest.raises(ArgumentError, match=f"'{name}' must be an int of at least 1, got 0"):
            carlini_wagner(net, x, y, **{name: 0})
    with pytest.raises(ArgumentError, match="'confidence' must be finite and at least 0, got -1"):
        carlini_wagner(net, x, y, confidence=-1)
    with pytest.raises(ArgumentError, match="'norm' must be one of 'l2', 'linf', 'l0', got 'l1'"):
        carlini_wagner(net, x, y, norm="l1")
