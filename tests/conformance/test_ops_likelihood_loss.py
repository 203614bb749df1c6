"""Likelihoods of counts and of normal noise against SciPy's distributions, and PyTorch."""

from itertools import product

import numpy as np
import pytest
from loss_agreement import agree, assert_finite, random
from scipy import special, stats
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops as F
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

COUNTS = np.array([[0.0, 1, 3], [7, 2, 0]])
VARIANCES = np.random.default_rng(0).uniform(0.5, 2.0, (2, 3))


def gaussian(mean, x, var):
    return -stats.norm.logpdf(x, mean, np.sqrt(var)).mean()


CASES = [
    OpCase(
        "poisson_nll_loss", F.poisson_nll_loss, [(2, 3), COUNTS],
        lambda a, t: -(stats.poisson.logpmf(t, np.exp(a)) + special.gammaln(t + 1)).mean(),
    ),
    OpCase(
        "poisson_nll_loss counts", lambda a, t: F.poisson_nll_loss(a, t, False),
        [(2, 3), COUNTS], lambda a, t: (a - t * np.log(a + 1e-8)).mean(), low=0.2, high=4.0,
    ),
    OpCase(
        "gaussian_nll_loss full", lambda a, t, v: F.gaussian_nll_loss(a, t, v, True),
        [(2, 3), (2, 3), VARIANCES], gaussian,
    ),
    OpCase(
        "gaussian_nll_loss of rows",
        lambda a, t, v: F.gaussian_nll_loss(a, t, v, True, reduction="sum"),
        [(2, 3), (2, 3), VARIANCES[:, :1]], lambda a, t, v: 6 * gaussian(a, t, v),
    ),
]  # fmt: skip


class TestLikelihoodLoss(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_agrees_with_pytorch(reduction, backend):
    torch = pytest.importorskip("torch")
    T = torch.nn.functional
    a, t, v = random(4, 3), np.abs(random(4, 3, seed=1)) * 3, np.abs(random(4, 3, seed=2))
    for log_input, full in product((True, False), repeat=2):
        agree(
            F.poisson_nll_loss, T.poisson_nll_loss, [a if log_input else np.abs(a), t],
            log_input=log_input, full=full, eps=1e-3, reduction=reduction,
        )  # fmt: skip
    for var in (v, v[:, 0], v[:, :1], v[:1]):
        for full, eps in product((True, False), (1e-6, 0.5)):
            agree(
                F.gaussian_nll_loss, T.gaussian_nll_loss, [a, t, var],
                full=full, eps=eps, reduction=reduction,
            )  # fmt: skip
    agree(F.gaussian_nll_loss, T.gaussian_nll_loss, [a, t], var=0.3, reduction=reduction)


def test_stirling_approximates_the_factorial(backend):
    n = np.array([[0.0, 1, 2, 20]])
    a, t = tensor(np.zeros_like(n)), tensor(n)
    rest = F.poisson_nll_loss(a, t, full=True, reduction="none") - F.poisson_nll_loss(
        a, t, reduction="none"
    )
    np.testing.assert_allclose(host(rest), special.gammaln(n + 1), atol=0.05)


def test_a_variance_of_zero_counts_as_eps_and_can_grow(backend):
    var = tensor(np.zeros(2), True)
    loss = F.gaussian_nll_loss(tensor(np.ones(2)), tensor(np.zeros(2)), var, eps=0.01)
    assert float(loss) == pytest.approx(0.5 * (np.log(0.01) + 100))
    (slope,) = grad(loss, var)
    np.testing.assert_allclose(host(slope), 0.25 * (100 - 1e4))


def test_targets_may_be_integers(backend):
    a, t = random(2, 3), np.array([[0, 1, 2], [3, 4, 5]])
    for function, more in ((F.poisson_nll_loss, ()), (F.gaussian_nll_loss, (0.5,))):
        exact = function(tensor(a), tensor(t.astype(float)), *more)
        assert float(function(tensor(a), tensor(t), *more)) == float(exact)


def test_far_from_zero(backend):
    a = np.array([-1e4, -100.0, 0.0, 10.0])
    assert_finite(F.poisson_nll_loss, a, np.array([0.0, 1.0, 1e4, 3.0]))
    assert_finite(F.gaussian_nll_loss, 100 * a, -a, np.array([1e-4, 1.0, 1e4, 0.0]))


def test_errors():
    a, v = tensor(random(2, 3)), tensor(VARIANCES)
    with pytest.raises(ArgumentError, match="'var' must be at least 0"):
        F.gaussian_nll_loss(a, a, -v)
    with pytest.raises(ArgumentError, match="'var' must be at least 0"):
        F.gaussian_nll_loss(a, a, -1.0)
    for bad in (v[:, :2], tensor(VARIANCES[0]), tensor(np.ones((1, 1)))):
        with pytest.raises(ShapeError, match=r"'var' must have the shape of input, \(2, 3\)"):
            F.gaussian_nll_loss(a, a, bad)
    with pytest.raises(ShapeError, match="do not broadcast"):
        F.gaussian_nll_loss(a, tensor(random(2, 2)), v)
    with pytest.raises(DTypeError, match="'var' must be a Tensor"):
        F.gaussian_nll_loss(a, a, "1")
    for function, more in ((F.poisson_nll_loss, ()), (F.gaussian_nll_loss, (v,))):
        with pytest.raises(ArgumentError, match="reduction='max' is unknown"):
            function(a, a, *more, reduction="max")
