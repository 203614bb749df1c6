"""The matrix exponential and products of reflections, against SciPy and their definitions."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import linalg, ops
from tinyconv.errors import DTypeError, GradientError, ShapeError

scipy_linalg = pytest.importorskip("scipy.linalg")
RNG = np.random.default_rng(11)


def exponentials(x):
    flat = [scipy_linalg.expm(m) for m in x.reshape(-1, *x.shape[-2:])]
    return np.stack(flat).reshape(x.shape) if flat else x


def reflected(a, tau):
    """Return the product of ``I - tau v v^T`` over the columns, one batch after the other."""
    result = np.empty(a.shape)
    for place in np.ndindex(a.shape[:-2]):
        product = np.eye(a.shape[-2])
        for j, factor in enumerate(tau[place]):
            v = a[place][:, j] * (np.arange(a.shape[-2]) > j)
            v[j] = 1
            product = product @ (np.eye(a.shape[-2]) - factor * np.outer(v, v))
        result[place] = product[:, : a.shape[-1]]
    return result


class TestMatrixExp(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        OpCase("matrix_exp", linalg.matrix_exp, [(2, 3, 3)], exponentials, zero_size=True),
        *[OpCase(f"matrix_exp of norm {norm}", ops.matrix_exp, [RNG.uniform(-norm, norm, (3, 3))],
                 exponentials, rtol32=1e-4) for norm in (0.001, 0.01, 0.1, 0.5, 1.0, 3.0)],
        OpCase("matrix_exp of unlike norms", ops.matrix_exp,
               [np.stack([np.eye(2) * s + RNG.uniform(-s, s, (2, 2)) for s in (0, 1e-3, 4)])],
               exponentials, rtol32=1e-4),
        OpCase("matrix_exp of one", ops.matrix_exp, [(2, 1, 1)], np.exp),
        OpCase("matrix_exp of nothing", ops.matrix_exp, [np.zeros((2, 0, 0))], np.copy),
        OpCase("matrix_exp of nilpotent", ops.matrix_exp, [np.eye(4, k=1) * 100],
               lambda x: np.eye(4) + x + x @ x / 2 + x @ x @ x / 6, gradient=False),
    ]  # fmt: skip


class TestHouseholderProduct(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        *[OpCase(f"householder_product {a} {tau}", linalg.householder_product, [a, tau], reflected,
                 rtol32=2e-4)
          for a, tau in [((4, 3), (3,)), ((3, 3), (2,)), ((2, 5, 2), (2, 2)), ((3, 1), (1,)),
                         ((2, 2, 4, 2), (2, 2, 1)), ((4, 2), (0,)), ((4, 0), (0,))]],
        OpCase("householder_product of zeros", linalg.householder_product,
               [np.zeros((4, 3)), np.array([2.0, 0.0, 1.0])], reflected),
        OpCase("householder_product of many", linalg.householder_product, [(70, 40), (40,)],
               lambda a, tau: reflected(a, tau), low=-0.2, high=0.2, gradient=False, rtol32=1e-3),
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 4, 2), (1, 1), (0, 2, 2), (3, 0)])
def test_geqrf_is_a_qr_factorization(shape, backend):
    x = RNG.uniform(-1, 1, shape)
    a, tau = ops.geqrf(tensor(x))
    number = min(shape[-2:])
    assert tuple(tau.shape) == (*shape[:-2], number)
    if shape[-2] < shape[-1]:
        factor = linalg.householder_product(a[..., :number], tau)
    else:
        factor = linalg.householder_product(a, tau)
    triangle = np.triu(host(a))[..., :number, :]
    np.testing.assert_allclose(host(factor) @ triangle, x, atol=1e-13)
    gram = np.swapaxes(host(factor), -1, -2) @ host(factor)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(number), gram.shape), atol=1e-13)


def test_geqrf_leaves_alone_what_is_zero_and_does_not_overflow(backend):
    a, tau = ops.geqrf(tensor(np.diag([1.0, -2.0, 3.0])))
    np.testing.assert_array_equal(host(a), np.diag([1.0, -2.0, 3.0]))
    np.testing.assert_array_equal(host(tau), [0, 0, 0])
    large, tau = ops.geqrf(tensor(np.array([[3e200], [4e200]])))
    np.testing.assert_allclose(host(large), [[-5e200], [0.5]])
    np.testing.assert_allclose(host(tau), [1.6])
    with pytest.raises(GradientError, match=r"geqrf: no derivative; use linalg\.qr"):
        ops.geqrf(tensor(np.eye(2), True)).a.sum().backward()


def test_exponential_of_what_is_not_finite_is_nan_in_its_matrix_only(backend):
    x = np.zeros((4, 2, 2))
    x[0, 0, 0], x[1, 0, 1], x[2] = np.nan, np.inf, np.eye(2)
    result = host(ops.matrix_exp(tensor(x)))
    assert np.isnan(result[:2]).all()
    np.testing.assert_allclose(result[2:], [np.eye(2) * np.e, np.eye(2)], rtol=1e-15)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2e-5), (np.float64, 4e-14)])
def test_exponential_of_a_skew_matrix_is_orthogonal(dtype, limit, backend):
    x = RNG.uniform(-20, 20, (30, 30))
    result = host(ops.matrix_exp(tensor((x - x.T).astype(dtype))))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.T @ result, np.eye(30), atol=limit)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.matrix_exp(ops.ones(2, 3)), ShapeError, r"matrix_exp: .* square .* \(2, 3\)"),
        (lambda: ops.matrix_exp(ops.ones(3)), ShapeError, "matrix_exp: 'input' must be a matrix"),
        (lambda: ops.matrix_exp(ops.eye(2).long()), DTypeError, "matrix_exp"),
        (lambda: ops.geqrf(ops.ones(2)), ShapeError, "geqrf: 'input'"),
        (lambda: linalg.householder_product(ops.ones(2, 3), ops.ones(2)), ShapeError, "wider than"),
        (lambda: linalg.householder_product(ops.ones(3, 2), ops.ones(3)), ShapeError,
         r"'tau' must have shape \(k\) with k from 0 to 2 .* got \(3,\)"),
        (lambda: linalg.householder_product(ops.ones(4, 3, 2), ops.ones(2)), ShapeError,
         r"shape \(4, k\)"),
        (lambda: linalg.householder_product(ops.ones(3, 2), ops.ones(2).double()), DTypeError,
         "'input' is .*float32 but 'tau'"),
        (lambda: linalg.householder_product(ops.ones(3), ops.ones(2)), ShapeError,
         "householder_product: 'input' must be"),
    ],
)  # fmt: skip
def test_refused_matrices(call, error, match, backend):
    with pytest.raises(error, match=match):
        call()


def test_float16_is_too_coarse_for_maps():
    half = ops.ones(2, 2).half()
    for call, words in (
        (lambda: ops.matrix_exp(half), "matrix_exp: 'input'"),
        (lambda: ops.geqrf(half), "geqrf: 'input'"),
        (lambda: linalg.householder_product(half, half[0]), "householder_product: 'input'"),
    ):
        with pytest.raises(DTypeError, match=f"{words} is float16"):
            call()
