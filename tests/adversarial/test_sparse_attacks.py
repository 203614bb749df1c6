"""JSMA and the one-pixel attack: few values, chosen well."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.attacks.jsma import best_pair
from tinyconv.errors import ArgumentError, ShapeError


def all_pairs(gain, loss, free, changed, left):
    """Return the best score over all pairs, and over single values where only one may be new."""
    best = 0.0
    for p in np.flatnonzero(free):
        for q in np.flatnonzero(free):
            new = {p, q} - set(np.flatnonzero(changed))
            if (p < q and len(new) <= left) or (p == q and left == 1 and not changed[p]):
                at = [p] if p == q else [p, q]
                a, b = gain[at].sum(), loss[at].sum()
                best = max(best, a * b if a > 0 and b > 0 else 0.0)
    return best


@pytest.mark.parametrize("seed", range(60))
def test_the_pair_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 14))
    gain = rng.normal(size=size)
    loss = rng.normal(size=size) + rng.choice([-2, 0, 0.8]) * gain
    if seed % 4 == 0:  # ties
        gain, loss = gain.round(), loss.round()
    free, changed = rng.random(size) < 0.8, rng.random(size) < 0.3
    left = int(rng.integers(0, 4))
    pair = best_pair(gain, loss, free, changed, left)
    expected = all_pairs(gain, loss, free, changed, left)
    if expected == 0:
        assert pair == (-1, -1)
        return
    at = [p for p in pair if p >= 0]
    assert gain[at].sum() * loss[at].sum() == pytest.approx(expected)
    assert free[at].all()
    assert len(set(at)) == len(at)
    assert (~changed[at]).sum() <= max(left, 0) or left >= 2


def test_a_targeted_search_on_a_linear_model_takes_the_best_pairs():
    net, weight, _ = linear_net(classes=3)
    x = tc.full((4, 3, 2, 2), 0.5, dtype=tc.float64)
    y = predictions(net, x)
    target = (y + 1) % 3
    result = adversarial.jsma(net, x, target, targeted=True, max_pixels=2, theta=0.1)
    for i, t in enumerate(target.numpy()):
        a, b = weight[t], weight.sum(0) - weight[t]
        score = (a[:, None] + a) * -(b[:, None] + b)
        score[(a[:, None] + a <= 0) | (b[:, None] + b >= 0) | np.eye(12, dtype=bool)] = 0
        p, q = np.unravel_index(score.argmax(), score.shape)
        changed = np.flatnonzero(result.x_adv[i].numpy().ravel() != 0.5)
        assert changed.tolist() == sorted([p, q])
    assert np.allclose(result.norm["linf"], 0.5)  # the same pair again, to the bound


@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_the_sign_of_theta_is_the_direction_and_values_at_the_bound_are_left_out(theta):
    net, x = small_net(), images(8)
    result = adversarial.jsma(net, x, predictions(net, x), max_pixels=6, theta=theta)
    change = (result.x_adv - x).numpy()
    assert (change * np.sign(theta) >= 0).all()
    assert change.any()
    moved = result.x_adv.numpy()[change != 0]
    assert np.array_equal(moved, np.full(len(moved), 1.0 if theta > 0 else 0.0, np.float32))


def test_untargeted_needs_no_more_values_than_any_target():
    net, x = small_net(), images(8)
    y = predictions(net, x)
    free = adversarial.jsma(net, x, y, max_pixels=16)
    least = np.full(8, np.inf)
    for shift in range(1, 5):
        towards = adversarial.jsma(net, x, (y + shift) % 5, targeted=True, max_pixels=16)
        assert (free.success >= towards.success).all()
        least = np.where(towards.success, np.minimum(least, towards.norm["l0"]), least)
    assert (free.norm["l0"][free.success] <= least[free.success]).all()


def test_an_odd_budget_is_used_up_and_the_default_is_a_share():
    net, x = small_net(), images(10, seed=4)
    y = predictions(net, x)
    results = [adversarial.jsma(net, x, y, max_pixels=n) for n in (1, 3)]
    assert (results[0].norm["l0"] <= 1).all()
    assert (results[0].norm["l0"] == 1).any()
    assert (results[1].norm["l0"] <= 3).all()
    assert (results[1].norm["l0"] == 3).any()
    assert (adversarial.jsma(net, x, y).eps_used == int(0.145 * 16)).all()


def test_the_share_of_values_that_may_change():
    net, x = small_net(), images(12)
    y = predictions(net, x)
    for gamma, count in ((0.0, 0), (0.19, 3), (0.5, 8), (1.0, 16)):
        share = adversarial.jsma(net, x, y, gamma=gamma)
        number = adversarial.jsma(net, x, y, gamma=0.9, max_pixels=count)
        assert (share.eps_used == count).all()
        assert (share.norm["l0"] <= count).all()
        assert np.array_equal(share.x_adv.numpy(), number.x_adv.numpy())
    hundred = nn.Sequential(nn.Flatten(), nn.Linear(100, 2))
    x = images(2, shape=(1, 10, 10))
    result = adversarial.jsma(hundred, x, predictions(hundred, x), gamma=0.29)
    assert (result.eps_used == 29).all()


def test_saturated_probabilities_have_no_slope_but_logits_do():
    net, x = small_net(), images(6)
    y = predictions(net, x)
    net[-1].weight.data.mul_(1000.0)
    net[-1].bias.data.mul_(1000.0)
    soft, hard = (
        adversarial.jsma(net, x, y, output=output, max_pixels=8) for output in ("softmax", "logits")
    )
    assert soft.success.sum() < hard.success.sum()


def test_the_passes_are_counted_for_each_target():
    net, x = small_net(), tc.zeros(1, 1, 4, 4)
    net[-1].bias.data[0] = 1e3
    result = adversarial.jsma(net, x, predictions(net, x), max_pixels=2)
    # Clean, the number of classes, 4 targets before and after the step, 2 to judge.
    assert result.queries[0].tolist() == [1 + 1 + 8 + 2, 16]


def test_one_pixel_finds_the_pixel_that_matters():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 25, 2))
    net[1].weight.data.fill_(0.0)
    net[1].weight.data[1, 25 + 12] = 10.0  # green in the middle
    net[1].bias.data.copy_(tc.tensor([9.0, 0.0]))
    x = tc.full((3, 3, 5, 5), 0.5)
    y = tc.zeros(3, dtype=tc.int64)
    result = adversarial.one_pixel(net, x, y, population=40, steps=60)
    assert result.success.all()
    assert (result.x_adv[:, 1, 2, 2] > 0.9).all()
    changed = (result.x_adv != x).any(1).reshape(3, -1).sum(1)
    assert changed.tolist() == [1, 1, 1]
    assert (result.norm["l0"] <= 3).all()


@pytest.mark.parametrize("pixels", [1, 3])
def test_one_pixel_paints_no_more_than_it_may(pixels):
    net, x = small_net(inputs=48), images(5, shape=(3, 4, 4))
    y = predictions(net, x)
    result = adversarial.one_pixel(net, x, y, pixels=pixels, population=12, steps=5)
    changed = (result.x_adv != x).any(1).reshape(5, -1).sum(1)
    assert (changed <= pixels).all()
    assert (result.eps_used == 3 * pixels).all()
    assert (result.queries[~result.success, 0] == 1 + 12 * 6 + 2).all()


def test_children_come_from_three_other_candidates():
    from tinyconv.adversarial.attacks.one_pixel import _breed

    x = tc.zeros(200, 1, 2, 2)
    problem = adversarial.Problem(None, x, None, attack="a", norm="l0", bounds=(0, 1e9))
    people = tc.zeros(200, 5, 1, 3)
    people[..., 2] = tc.tensor([1.0, 10.0, 100.0, 1000.0, 10000.0])[:, None] * 4
    child = _breed(problem, people, 0, 0.5)[..., 0, 2].numpy() / 4
    legal = {
        k: {
            max(a + 0.5 * (b - c), 0)
            for a in own for b in own for c in own if len({a, b, c}) == 3
        }
        for k in range(5)
        for own in [[10.0**i for i in range(5) if i != k]]
    }  # fmt: skip
    for k in range(5):
        assert {float(v) for v in child[:, k]} <= legal[k]
        assert len(np.unique(child[:, k])) > 10


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ArgumentError, match="jsma: argument 'max_pixels' must be an int"):
        adversarial.jsma(net, x, y, max_pixels=-1)
    with pytest.raises(ArgumentError, match="jsma: argument 'gamma' must be from 0 to 1, got 2"):
        adversarial.jsma(net, x, y, gamma=2)
    with pytest.raises(ArgumentError, match="jsma: argument 'theta' must be finite and other"):
        adversarial.jsma(net, x, y, theta=0.0)
    with pytest.raises(ArgumentError, match="jsma: argument 'output' must be 'logits' or"):
        adversarial.jsma(net, x, y, output="probs")
    with pytest.raises(ArgumentError, match="one_pixel: argument 'population' must be at least 4"):
        adversarial.one_pixel(net, x, y, population=3)
    with pytest.raises(ArgumentError, match="one_pixel: argument 'weight' must be above 0"):
        adversarial.one_pixel(net, x, y, weight=0.0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    x = images(1, shape=(1, 2, 2, 4))
    with pytest.raises(ShapeError, match="one_pixel: argument 'x' must be images"):
        adversarial.one_pixel(net, x, predictions(net, x))
