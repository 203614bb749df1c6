"""Attacks that transfer: what each does to the gradient, by hand."""

import numpy as np
import pytest
from attack_cases import images, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial, nn
from tinyconv.adversarial.attacks.momentum import _gaussian, _shrink
from tinyconv.errors import ArgumentError, ShapeError


def steps_by_hand(net, x, y, eps, steps, decay, ahead):
    """MI-FGSM, or NI-FGSM, for one norm and one loss, written out."""
    net.eval()
    momentum, now, length = tc.zeros_like(x), x, eps / steps
    for _ in range(steps):
        point = (now + decay * length * momentum if ahead else now).detach().requires_grad_()
        loss = nn.functional.cross_entropy(net(point), y, reduction="sum")
        (slope,) = tc.autograd.grad(loss, point)
        slope = slope / slope.abs().mean((1, 2, 3), keepdim=True)
        momentum = decay * momentum + slope
        now = (now + length * momentum.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return now


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_last_image_against_the_formulas(ahead, decay):
    net, x = small_net(), images(6)
    y = predictions(net, x)
    attack = adversarial.ni_fgsm if ahead else adversarial.mi_fgsm
    result = attack(net, x, y, eps=0.4, steps=5, decay=decay)
    expected = steps_by_hand(net, x, y, 0.4, 5, decay, ahead).numpy()
    same = np.isclose(result.x_adv.numpy(), expected, atol=1e-6).all((1, 2, 3))
    assert same.sum() >= 5  # an earlier image may have had the larger loss


def test_zero_gradient_gives_no_nan():
    # Dividing by the mean size without a floor is 0/0 on a dead net.
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU())
    net[1].bias.data.fill_(-50.0)
    x = images(2)
    for attack in (adversarial.mi_fgsm, adversarial.ni_fgsm, adversarial.di_fgsm):
        result = attack(net, x, tc.tensor([0, 0]), eps=0.1)
        assert np.isfinite(result.x_adv.numpy()).all()


def test_one_window_pixel_is_plain_momentum():
    net, x = small_net(), images(5)
    y = predictions(net, x)
    plain = adversarial.mi_fgsm(net, x, y, eps=0.1, decay=0.5)
    smooth = adversarial.ti_fgsm(net, x, y, eps=0.1, decay=0.5, kernel_size=1)
    assert np.array_equal(plain.x_adv.numpy(), smooth.x_adv.numpy())


def test_gaussian_window():
    window = _gaussian(5, 1.0)[0, 0]
    assert window.sum() == pytest.approx(1)
    assert np.allclose(window, window.T)
    assert window[2, 3] / window[2, 2] == pytest.approx(np.exp(-0.5))


def test_shrinking_moves_the_whole_picture_into_the_frame():
    x = tc.ones(1, 1, 8, 8)
    theta = tc.tensor([[[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]]])  # half the size, at the upper left
    seen = _shrink(x, theta)
    assert seen[0, 0, :4, :4].min().item() == 1
    assert seen[0, 0, 5:].max().item() == 0


def test_diversity_without_shrinking_is_plain():
    net, x = small_net(), images(5)
    y = predictions(net, x)
    plain = adversarial.mi_fgsm(net, x, y, eps=0.1, decay=0.0)
    diverse = adversarial.di_fgsm(net, x, y, eps=0.1, diversity=0.0)
    assert np.allclose(plain.x_adv.numpy(), diverse.x_adv.numpy(), atol=1e-6)


def test_bad_arguments():
    net, x, y = small_net(inputs=4), tc.rand(1, 4), tc.tensor([0])
    for attack in (adversarial.di_fgsm, adversarial.ti_fgsm):
        y = predictions(net, x)
        with pytest.raises(ShapeError, match=r"must be images \(N, C, H, W\), got shape \(1, 4\)"):
            attack(net, x, y, eps=0.1)
    with pytest.raises(ArgumentError, match="'diversity' must be between 0 and 1, got 2"):
        adversarial.di_fgsm(net, x, y, eps=0.1, diversity=2)
    with pytest.raises(ArgumentError, match=r"'kernel_size' must be an odd int .*, got 4"):
        adversarial.ti_fgsm(net, x, y, eps=0.1, kernel_size=4)
    with pytest.raises(ArgumentError, match="'decay' must be at least 0, got -1"):
        adversarial.mi_fgsm(net, x, y, eps=0.1, decay=-1)
    with pytest.raises(ArgumentError, match="'norm' must be one of 'linf', 'l2', got 'l1'"):
        adversarial.mi_fgsm(net, x, y, eps=0.1, norm="l1")
