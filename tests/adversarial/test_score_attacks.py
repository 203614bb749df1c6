"""SPSA, NES and ZOO: gradients from scores."""

import numpy as np
import pytest
from attack_cases import images, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial import losses
from tinyconv.adversarial.attacks.spsa import estimate
from tinyconv.errors import ArgumentError


class Blocked(nn.Module):
    """The model behind a wall that no gradient passes."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.detach())


@pytest.mark.parametrize("estimator", ["spsa", "nes"])
def test_the_mean_of_many_estimates_is_the_gradient(estimator):
    net, weight, _ = linear_net()
    x = tc.full((2, 3, 2, 2), 0.5, dtype=tc.float64)
    y = predictions(net, x)
    problem = adversarial.Problem(net, x, y, attack="a")
    slope = estimate(problem, x, losses.margin, 20_000, estimator, 0.01, 1).reshape(2, -1).numpy()
    exact = weight[1 - y.numpy()] - weight[y.numpy()]
    assert np.abs(slope - exact).max() < 0.06 * np.abs(exact).max()
    assert problem.queries.tolist() == [[20_000, 0]] * 2


@pytest.mark.parametrize("estimator", ["spsa", "nes"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_estimates_do_as_well_as_gradients_and_need_none(estimator, norm):
    net, x = small_net(), images(12)
    y = predictions(net, x)
    eps = {"linf": 0.15, "l2": 0.5}[norm]
    white = adversarial.pgd(net, x, y, eps=eps, norm=norm, steps=20, loss="margin")
    black = adversarial.spsa(
        Blocked(net), x, y, eps=eps, norm=norm, steps=20, samples=64, estimator=estimator
    )
    assert black.success.sum() >= white.success.sum() - 1
    assert black.success.any()
    assert (black.queries[:, 1] == 0).all()
    assert (black.queries[:, 0] <= 4 + 20 * 65).all()


def test_the_step_size_is_the_length_of_the_first_step():
    net, x = small_net(), tc.full((2, 1, 4, 4), 0.5)
    y = predictions(net, x)
    for estimator, norm in (("spsa", "linf"), ("nes", "linf"), ("nes", "l2")):
        result = adversarial.spsa(
            net, x, y, eps=0.1, norm=norm, steps=1, step_size=1e-3, estimator=estimator, samples=8
        )
        assert np.allclose(result.norm[norm], 1e-3, atol=1e-6)


def test_zoo_moves_a_few_coordinates_a_step_and_counts_its_queries():
    net, x = small_net(), tc.full((2, 1, 4, 4), 0.5)
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x.numpy(force=True).reshape(len(x), -1))
            return net(x)

    net.eval()
    arguments = {"steps": 3, "coordinates": 4, "search_steps": 1}
    result = adversarial.zoo(Watch(), x, predictions(net, x), **arguments)
    assert result.queries[:, 0].tolist() == [1 + 3 * 9 + 1 + 2] * 2
    trial = seen[2]  # clean, first image of the round, first differences
    assert trial.shape == (16, 16)
    assert ((trial != 0.5).sum(1) == 1).all()
    assert np.allclose(np.abs(trial - 0.5).max(1), 1e-4, atol=1e-6)
    moved = np.abs(seen[3] - 0.5)
    assert ((moved > 0).sum(1) <= 4).all()
    assert moved.max() == pytest.approx(0.01, rel=1e-3)  # Adam's first step


def test_zoo_needs_no_gradient_and_reaches_its_confidence():
    net, x = small_net(), images(5)
    y = predictions(net, x)
    arguments = {"steps": 80, "coordinates": 16, "search_steps": 3, "c": 1.0, "lr": 0.02}
    plain = adversarial.zoo(Blocked(net), x, y, **arguments)
    sure = adversarial.zoo(Blocked(net), x, y, confidence=0.5, **arguments)
    assert plain.success.all()
    assert (plain.queries[:, 1] == 0).all()
    assert (sure.loss[sure.success] > 0.499).all()
    assert (sure.eps_used >= plain.eps_used - 1e-6).all()


def test_each_sample_of_zoo_has_a_weight_of_its_own():
    net, x = small_net(), images(4)
    y = predictions(net, x)
    arguments = {"steps": 12, "coordinates": 8, "search_steps": 2}
    whole = adversarial.zoo(net, x, y, **arguments)
    for i in range(4):
        alone = adversarial.zoo(net, x[i : i + 1], y[i : i + 1], index=[i], **arguments)
        assert np.array_equal(alone.x_adv[0].numpy(), whole.x_adv[i].numpy())


def test_bad_arguments():
    net, x, y = small_net(), images(2), tc.zeros(2, dtype=tc.int64)
    with pytest.raises(ArgumentError, match="spsa: argument 'samples' must be even, got 7"):
        adversarial.spsa(net, x, y, eps=0.1, samples=7)
    with pytest.raises(ArgumentError, match="spsa: argument 'estimator' must be 'spsa' or 'nes'"):
        adversarial.spsa(net, x, y, eps=0.1, estimator="fd")
    with pytest.raises(ArgumentError, match="spsa: argument 'delta' must be positive"):
        adversarial.spsa(net, x, y, eps=0.1, delta=0.0)
    with pytest.raises(ArgumentError, match="zoo: argument 'lr' must be positive"):
        adversarial.zoo(net, x, y, lr=-1.0)
    with pytest.raises(ArgumentError, match="zoo: argument 'confidence' must be finite"):
        adversarial.zoo(net, x, y, confidence=-1.0)
