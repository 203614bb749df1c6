"""Attacks against known optima: linear classifiers in closed form, ReLU nets by brute force."""

from functools import cache

import numpy as np
import pytest
from attack_cases import CASES, images, least_norms, linear_net, predictions

import tinyconv as tc
from tinyconv import nn

WIDE = (-50.0, 50.0)  # a box that is never met
#: Attacks that are exact on a linear model as soon as the radius allows it, and their arguments.
EXACT = {
    "fgsm": {},
    "bim": {"steps": 10},
    "pgd": {"steps": 60, "step_size": 0.3},
    "apgd": {"steps": 100},
    "mi_fgsm": {},
    "ni_fgsm": {},
}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", sorted(EXACT))
def test_a_radius_suffices_exactly_when_it_reaches_the_closed_form(name, norm):
    case = next(case for case in CASES if case.name == name)
    if norm not in case.norms:
        pytest.skip("not a norm of the attack")
    net, weight, bias = linear_net()
    x = images(20, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    least = least_norms(weight, bias, x, y, norm)
    for factor, expected in ((0.999, False), (1.001, True)):
        result = case.attack(
            net, x, y, eps=least * factor, norm=norm, bounds=WIDE, **EXACT[name]
        )  # fmt: skip
        assert (result.success == expected).all(), (factor, result.success)


#: Attacks that look for the least perturbation: arguments, and the excess over the optimum by norm.
LEAST: dict[str, tuple[dict, dict[str, float]]] = {
    "boundary": ({"steps": 1500}, {"l2": 0.3}),
    "hop_skip_jump": ({"steps": 25}, {"l2": 0.05, "linf": 0.05}),
    "zoo": ({"steps": 150, "coordinates": 12, "search_steps": 4, "c": 1.0}, {"l2": 0.2}),
    "carlini_wagner": (
        {"steps": 100, "lr": 0.01, "initial_const": 1.0, "binary_search_steps": 6,
         "bounds": (-2, 3)},
        {"l2": 0.05},
    ),
    "deepfool": ({}, dict.fromkeys(["linf", "l2", "l1"], 0.02 + 1e-9)),
    "fab": ({"steps": 20}, dict.fromkeys(["linf", "l2", "l1"], 0.001)),
    "fmn": ({"steps": 300}, dict.fromkeys(["linf", "l2", "l1"], 0.05)),
}  # fmt: skip


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", sorted(LEAST))
@pytest.mark.parametrize("classes", [2, 4])
def test_least_perturbations_of_a_linear_classifier(name, norm, classes):
    arguments, excess = LEAST[name]
    if norm not in excess:
        pytest.skip("not a norm of the attack, or bounded in a test of its own")
    case = next(case for case in CASES if case.name == name)
    net, weight, bias = linear_net(classes=classes)
    x = images(10, shape=(3, 2, 2)).double()
    y = predictions(net, x)
    least = least_norms(weight, bias, x, y, norm)
    arguments = {"bounds": WIDE, **arguments}
    if len(case.norms) > 1:
        arguments["norm"] = norm
    result = case.attack(net, x, y, **arguments)
    assert result.success.all()
    ratio = result.eps_used / least
    assert (ratio >= 1 - 1e-9).all()
    assert (ratio <= 1 + excess[norm]).all(), ratio


def plane_net(seed):
    """Return a ReLU net on two inputs, float64."""
    tc.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(2, 8, dtype=tc.float64), nn.ReLU(), nn.Linear(8, 3, dtype=tc.float64)
    )
    for parameter in net.parameters():
        parameter.data.mul_(2.0)
    return net


def brute_force(net, x, y, norm, cells=800):
    """Return the least perturbation found on a grid over the unit square, one a sample."""
    axis = np.linspace(0, 1, cells + 1)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    found = net(tc.tensor(points)).argmax(1).numpy(force=True)
    least = []
    for image, label in zip(x.numpy(), y.numpy(), strict=True):
        change = np.abs(points[found != label] - image)
        measure = {"linf": np.maximum, "l1": np.add, "l2": np.hypot}[norm]
        least.append(measure(*change.T).min(initial=np.inf))
    return np.array(least), 2.0 / cells  # no attack beats it by more than a cell


@cache
def plane(norm, seed):
    """Return a net on the plane, samples with labels, their least perturbations and an error."""
    net = plane_net(seed)
    x = tc.tensor(np.random.default_rng(seed).uniform(0.05, 0.95, (12, 2)))
    y = predictions(net, x)
    least, cell = brute_force(net, x, y, norm)
    keep = np.isfinite(least) & (least > 0.02)
    return net, x[tc.tensor(keep)], y[tc.tensor(keep)], least[keep], cell


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_attack_beats_brute_force_in_the_plane(norm, seed):
    net, x, y, least, cell = plane(norm, seed)
    if not len(x):
        pytest.skip("the net has one class only")
    for case in CASES:
        if norm not in case.norms or case.coupled or not case.flat:
            continue
        if case.within is None:
            result = case.run(net, x, y, norm)
            assert (result.norm[norm][result.success] >= (least - cell)[result.success]).all()
        else:
            result = case.run(net, x, y, norm, eps=np.maximum(least - cell, 0) * 0.999)
            assert not result.success.any(), case.name


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_attack_comes_close_to_brute_force_in_the_plane(norm, seed):
    net, x, y, least, cell = plane(norm, seed)
    if not len(x):
        pytest.skip("the net has one class only")
    eps = (least + cell) * 1.05
    success = np.zeros(len(x), bool)
    for case in CASES:
        if norm not in case.norms or case.coupled or not case.flat:
            continue
        if case.within is not None:
            more = {"steps": 40, "restarts": 20, "loss": "margin"} if case.name == "pgd" else {}
            success |= case.run(net, x, y, norm, eps=eps, **more).success
        else:
            result = case.run(net, x, y, norm)
            success |= result.success & (result.norm[norm] <= eps)
    assert success.all()
