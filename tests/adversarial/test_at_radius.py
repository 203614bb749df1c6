"""Attacks for the least perturbation, judged within a ball; finished results put together."""

from dataclasses import replace

import numpy as np
import pytest
from attack_cases import images, least_norms, linear_net, predictions, small_net

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv.errors import ArgumentError


def least(model, x, y, *, norm="l2", bounds=(0, 1), seed=0, mask=None, index=None,
          batch_size=None):  # fmt: skip
    """Return, as DeepFool does, images just across the border of a linear model of two classes."""
    weight, bias = model[1].weight.numpy(force=True), model[1].bias.numpy(force=True)
    sign = 1 - 2 * y.numpy()[:, None]
    slope, flat = sign * (weight[1] - weight[0]), x.numpy().reshape(len(x), -1)
    gap = -(flat * slope).sum(1, keepdims=True) - sign * (bias[1] - bias[0])
    direction = np.sign(slope) if norm == "linf" else slope
    change = direction * gap / (direction * slope).sum(1, keepdims=True) * 1.001
    x_adv = (flat + change).reshape(x.shape)
    result = adv.fgsm(model, x, y, eps=0.0, bounds=bounds)
    queries = np.tile([7, 3], (len(x), 1)) + np.asarray(index)[:, None]
    return replace(result, x_adv=tc.tensor(x_adv), queries=queries)


def linear_problem(n=20):
    net, weight, bias = linear_net()
    x = images(n, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    return net, x, y, least_norms(weight, bias, x, y, "l2")


@pytest.mark.parametrize("batch_size", [None, 3])
def test_success_is_where_the_least_norm_lies_in_the_ball(batch_size):
    net, x, y, distance = linear_problem()
    eps = float(np.median(distance))
    y = y.numpy().copy()
    y[3] = 1 - y[3]  # wrong from the start: it is not attacked, and costs no passes
    y = tc.tensor(y)
    attack = adv.at_radius(least, eps=eps, norm="l2", bounds=(-9, 9), batch_size=batch_size)
    result = attack(net, x, y)
    expected = distance * 1.001 <= eps
    expected[3] = True
    assert result.success.tolist() == expected.tolist()
    assert 3 < result.success.sum() < 17
    assert (result.norm["l2"] <= eps + 1e-6).all()
    assert result.attack == "least"
    index = np.arange(20)
    assert result.queries[index != 3, 0].tolist() == (10 + index[index != 3]).tolist()
    assert result.queries[3].tolist() == [3, 0]


def test_index_reaches_the_attack():
    net, x, y, _ = linear_problem(4)
    attack = adv.at_radius(least, eps=1.0, norm="l2", bounds=(-9, 9))
    assert attack(net, x, y, index=[5, 6, 7, 8]).queries[:, 1].tolist() == [8, 9, 10, 11]


def test_own_norm_is_the_norm_of_the_ball_where_the_attack_takes_it():
    net, x, y, _ = linear_problem()
    result = adv.at_radius(least, eps=0.05, norm="linf", bounds=(-9, 9))(net, x, y)
    assert (result.norm["linf"] <= 0.05 + 1e-6).all()
    assert result.config["norm"] == "linf"


def test_attacks_with_a_radius_just_get_it():
    net, x = small_net(), images(8)
    y = predictions(net, x)
    attack = adv.at_radius(adv.pgd, eps=0.2, norm="l2", steps=4, seed=3)
    direct = adv.pgd(net, x, y, eps=0.2, norm="l2", steps=4, seed=3)
    assert np.array_equal(attack(net, x, y).x_adv.numpy(), direct.x_adv.numpy())


def test_nothing_to_attack():
    net, x, y, _ = linear_problem(4)
    attack = adv.at_radius(least, eps=1.0, norm="l2", bounds=(-9, 9))
    assert len(attack(net, x[:0], y[:0])) == 0
    assert attack(net, x, 1 - y).clean_wrong.all()


def test_worst_of_finished_results_is_the_worst_case():
    net, x = small_net(), images(30)
    y = predictions(net, x)
    y[:3] = (y[:3] + 1) % 5
    attacks = {
        "one step": adv.at_radius(adv.fgsm, eps=0.08),
        "many steps": adv.at_radius(adv.pgd, eps=0.08, steps=6),
    }
    expected = adv.worst_case(net, x, y, attacks)
    result = adv.worst_of({name: attack(net, x, y) for name, attack in attacks.items()})
    assert set(result.found_by) == {"clean", "one step", "many steps", ""}
    for name in ("success", "found_by", "queries", "loss", "restart", "success_uint8"):
        assert np.array_equal(getattr(result, name), getattr(expected, name)), name
    assert np.array_equal(result.x_adv.numpy(), expected.x_adv.numpy())
    assert all(np.array_equal(result.norm[p], expected.norm[p]) for p in result.norm)


def test_worst_of_results_that_do_not_belong_together():
    net, x = small_net(), images(4)
    y = predictions(net, x)
    one, two = adv.fgsm(net, x, y, eps=0.1), adv.fgsm(net, x[:2], y[:2], eps=0.1)
    with pytest.raises(ArgumentError, match=r"'one': 4, 'two': 2"):
        adv.worst_of({"one": one, "two": two})
    with pytest.raises(ArgumentError, match="at least one result"):
        adv.worst_of({})


def test_take_keeps_each_sample_together():
    net, x = small_net(), images(6)
    result = adv.pgd(net, x, predictions(net, x), eps=0.1, steps=3)
    part = result.take(np.array([4, 1]))
    assert len(part) == 2
    assert np.array_equal(part.x_adv.numpy(), result.x_adv.numpy()[[4, 1]])
    assert part.norm["l2"].tolist() == result.norm["l2"][[4, 1]].tolist()
    assert part.queries.tolist() == result.queries[[4, 1]].tolist()
    assert len(result.take(np.zeros(0, np.int64)).x_adv) == 0
