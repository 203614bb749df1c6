"""Least steps onto a hyperplane within the box, against linear and quadratic programs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

import tinyconv as tc
from tinyconv.adversarial.attacks.hyperplane import nearest, step_onto

BOX = (0.0, 1.0)


def least_in_box(x, slope, gap, norm):
    """Return the norm of the least step with ``slope @ step == gap`` within the box, by a solver.

    ``x`` and ``slope`` are ``(D,)``. A step is split into its positive and negative part.
    """
    d = len(x)
    room = [(0, v) for v in 1 - x] + [(0, v) for v in x]
    both = np.concatenate([slope, -slope])[None]
    if norm == "l1":
        return linprog(np.ones(2 * d), A_eq=both, b_eq=[gap], bounds=room).fun
    if norm == "linf":
        # One more variable, the largest size of all.
        cost = np.r_[np.zeros(2 * d), 1.0]
        below = np.c_[np.eye(2 * d), -np.ones(2 * d)]
        equal = np.c_[both, [[0.0]]]
        return linprog(
            cost,
            A_ub=below,
            b_ub=np.zeros(2 * d),
            A_eq=equal,
            b_eq=[gap],
            bounds=[*room, (0, None)],
        ).fun
    solved = minimize(
        lambda step: (step**2).sum() * 50,
        np.zeros(d),
        jac=lambda step: 100 * step,
        bounds=[(-v, 1 - v) for v in x],
        constraints={"type": "eq", "fun": lambda s: slope @ s - gap, "jac": lambda s: slope},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    return np.sqrt(solved.fun / 50)


def order(norm):
    return {"l2": 2, "linf": np.inf, "l1": 1}[norm]


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
@settings(deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 0.99), sign=st.sampled_from([-1, 1]))
def test_the_step_is_the_least_one_within_the_box(norm, seed, share, sign):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.3, 1.3, (1, 2, 4)).clip(0, 1)
    slope = rng.normal(size=(1, 2, 4)) * rng.choice([0.0, 0.1, 1.0], (1, 2, 4))
    towards = sign * slope
    reach = (np.abs(slope) * np.where(towards > 0, 1 - x, x)).sum()
    gap = sign * share * reach
    step = step_onto(tc.tensor(x), tc.tensor(slope), tc.tensor([gap]), norm, BOX).numpy()
    assert ((x + step >= -1e-12) & (x + step <= 1 + 1e-12)).all()
    assert (step * slope).sum() == pytest.approx(gap, abs=1e-9)
    best = least_in_box(x.ravel(), slope.ravel(), gap, norm)
    assert np.linalg.norm(step.ravel(), order(norm)) == pytest.approx(best, abs=2e-5)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_out_of_reach_is_the_nearest_corner(norm):
    x, slope = tc.tensor([[0.2, 0.5, 0.9]]), tc.tensor([[1.0, -2.0, 0.0]])
    step = step_onto(x, slope, tc.tensor([100.0]), norm, BOX)
    assert np.allclose(step.numpy(), [[0.8, -0.5, 0.0]], atol=1e-6)
    step = step_onto(x, slope, tc.tensor([-100.0]), norm, BOX)
    assert np.allclose(step.numpy(), [[-0.2, 0.5, 0.0]], atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "linf", "l1"])
def test_no_slope_no_step(norm):
    slope = tc.tensor([[0.0, 0.0], [float("nan"), 0.0], [1e-30, 0.0]])
    step = step_onto(tc.full((3, 2), 0.5), slope, tc.full((3,), 1e-31), norm, BOX)
    assert np.allclose(step.numpy(), [[0, 0], [0, 0], [0.1, 0]])


@pytest.mark.parametrize(("norm", "chosen"), [("l2", 1), ("linf", 2), ("l1", 0)])
def test_the_nearest_border_is_by_the_dual_norm(norm, chosen):
    # The gaps over the L2, L1 and Linf norms of the slopes: one border is nearest in each.
    slopes = tc.tensor([[[3.0, 0.0, 0.0], [2.4, 2.4, 0.0], [2.0, 2.0, 1.9], [0.0, 0.0, 0.0]]])
    values = -tc.tensor([[1.0, 1.0, 1.03, 1e-9]])
    value, slope = nearest(values, slopes, norm)
    assert value.item() == values[0, chosen].item()
    assert np.array_equal(slope[0].numpy(), slopes[0, chosen].numpy())
