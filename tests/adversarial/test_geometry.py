"""Projections are feasible, idempotent and nearest; steps are the steepest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import tinyconv as tc
from tinyconv.adversarial import geometry

BOX = (0.0, 1.0)


def pair(seed, shape=(4, 2, 3)):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.3, 1.3, shape).clip(0, 1)
    far = x + rng.normal(size=shape) * rng.choice([0.01, 0.3, 2.0], (shape[0], 1, 1))
    return tc.tensor(far), tc.tensor(x)


def test_a_column_holds_one_number_a_sample_in_the_dtype_of_the_images():
    x = tc.zeros(2, 3, 4, dtype=tc.float32)
    found = geometry.column(np.array([0.1, 2.0]), x)
    assert found.shape == (2, 1, 1)
    assert found.dtype == x.dtype
    assert found.numpy().ravel().tolist() == [np.float32(0.1), 2.0]


def radii(values):
    return tc.tensor(np.asarray(values, float)).reshape(-1, 1, 1)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), eps=st.floats(0, 5), norm=st.sampled_from(geometry.NORMS))
def test_projection_is_feasible_and_idempotent(seed, eps, norm):
    far, x = pair(seed)
    eps = radii([eps] * 4)
    once = geometry.project(far, x, eps, norm, BOX)
    assert once.min().item() >= 0
    assert once.max().item() <= 1
    length = geometry.norms(once - x, norm).numpy()
    assert (length <= eps.numpy().ravel() + 1e-9).all()
    twice = geometry.project(once, x, eps, norm, BOX)
    assert np.allclose(once.numpy(), twice.numpy(), atol=1e-12)


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6), eps=st.floats(0.01, 3), norm=st.sampled_from(["linf", "l2", "l1"])
)
def test_projection_is_not_expansive(seed, eps, norm):
    (a, x), (b, _) = pair(seed), pair(seed + 1)
    eps = radii([eps] * 4)
    before = (a - b).reshape(4, -1).norm(dim=1)
    after = (
        geometry.project(a, x, eps, norm, BOX) - geometry.project(b, x, eps, norm, BOX)
    ).reshape(4, -1).norm(dim=1)  # fmt: skip
    assert (after <= before + 1e-9).all()


@pytest.mark.parametrize("seed", range(8))
def test_l1_projection_is_the_nearest_point_of_ball_and_box(seed):
    far, x = pair(seed, (3, 1, 5))
    eps = [0.2, 0.7, 1.5]
    ours = geometry.project(far, x, radii(eps), "l1", BOX).numpy().reshape(3, 5)
    for row in range(3):
        a, b = far[row].numpy().ravel(), x[row].numpy().ravel()
        # Split into a positive and a negative part, so that the problem is smooth.
        solved = minimize(
            lambda u, a=a, b=b: ((b + u[:5] - u[5:] - a) ** 2).sum(),
            np.zeros(10),
            bounds=[(0, v) for v in 1 - b] + [(0, v) for v in b],
            constraints={"type": "ineq", "fun": lambda u, e=eps[row]: e - u.sum()},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        best = b + solved.x[:5] - solved.x[5:]
        assert np.allclose(ours[row], best, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_l2_projection_is_the_nearest_point_of_ball_and_box(seed):
    far, x = pair(seed, (3, 1, 5))
    eps = [0.2, 0.7, 1.5]
    ours = geometry.project(far, x, radii(eps), "l2", BOX).numpy().reshape(3, 5)
    for row in range(3):
        a, b = far[row].numpy().ravel(), x[row].numpy().ravel()
        solved = minimize(
            lambda z, a=a: ((z - a) ** 2).sum(), b, bounds=[(0, 1)] * 5, method="SLSQP",
            constraints={
                "type": "ineq", "fun": lambda z, b=b, e=eps[row]: e * e - ((z - b) ** 2).sum()
            },
            options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        assert np.allclose(ours[row], solved.x, atol=1e-5)


def test_l2_projection_goes_along_the_box_where_the_way_out_of_it_is_steepest():
    # The nearest point of the ball, then of the box, would be (0.12, 0).
    x, far = tc.tensor([[0.1, 0.05]]), tc.tensor([[0.3, -0.95]])
    nearest = geometry.project(far, x, tc.tensor([[0.1]]), "l2", BOX).numpy()
    assert np.allclose(nearest, [[0.1 + np.sqrt(0.01 - 0.0025), 0.0]], atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_steepest_step_beats_every_other_of_its_length(norm):
    rng = np.random.default_rng(0)
    slope, x = tc.tensor(rng.normal(size=(3, 2, 3))), tc.full((3, 2, 3), 0.5).double()
    eps = radii([0.1, 0.2, 0.3])
    step = geometry.steepest(slope, x, eps, norm, BOX)
    gain = (step * slope).reshape(3, -1).sum(1).numpy()
    assert np.allclose(geometry.norms(step, norm).numpy(), [0.1, 0.2, 0.3])
    for _ in range(200):
        other = rng.normal(size=(3, 6)) * rng.choice([1, 1e-2], (3, 6))
        order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
        other *= (np.array([0.1, 0.2, 0.3]) / np.linalg.norm(other, order, axis=1))[:, None]
        assert ((other.reshape(3, 2, 3) * slope.numpy()).sum((1, 2)) <= gain + 1e-12).all()


def test_steepest_l1_step_goes_on_to_the_next_value_at_the_box():
    x = tc.tensor([[0.9, 0.5, 0.2]])
    slope = tc.tensor([[3.0, -2.0, 1.0]])
    step = geometry.steepest(slope, x, tc.tensor([[0.8]]), "l1", BOX)
    assert np.allclose(step.numpy(), [[0.1, -0.5, 0.2]], atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_steepest_of_nothing_is_nothing(norm):
    slope = tc.tensor([[0.0, 0.0], [float("nan"), 0.0], [1e-30, 0.0]])
    step = geometry.steepest(slope, tc.full((3, 2), 0.5), tc.full((3, 1), 0.1), norm, BOX)
    assert np.allclose(step.numpy(), [[0, 0], [0, 0], [0.1, 0]])


def test_norms_of_a_known_perturbation():
    change = tc.tensor([[3.0, -4.0, 0.0]])
    values = [geometry.norms(change, norm).item() for norm in ("l0", "l1", "l2", "linf")]
    assert values == [2.0, 7.0, 5.0, 4.0]
