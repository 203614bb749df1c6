"""Inverses, determinants, factorizations, spectra and least squares against NumPy."""

from functools import partial

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import linalg, ops
from tinyconv.autograd import grad, gradcheck, gradgradcheck
from tinyconv.errors import ArgumentError, DTypeError, GradientError, LinAlgError, ShapeError

RNG = np.random.default_rng(7)


def general(*shape):
    """Well-conditioned matrices, with singular values that differ."""
    x = RNG.uniform(-1, 1, shape)
    return x + 2 * np.eye(*shape[-2:]) * np.arange(1, shape[-1] + 1)


A, BATCH, WIDE = general(3, 3), general(2, 1, 3, 3), general(2, 2, 4)
HIGH = np.ascontiguousarray(np.swapaxes(WIDE, -1, -2))
SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.5, 1.0, -1.0]])  # rank 2
LOOSE = {"rtol32": 2e-4}


def symmetric(x):
    return (x + x.mT) / 2


def symmetric_array(x):
    return (x + np.swapaxes(x, -1, -2)) / 2


def positive(x):
    return x @ x.mT + ops.eye(x.shape[-1]).to(x.dtype)


def positive_array(x):
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


def triangular(a, b, upper=True, left=True, unit=False):
    """By definition: the other triangle and a unit diagonal filled in, then a general solver."""
    a = np.triu(a) if upper else np.tril(a)
    if unit:
        a = a * (1 - np.eye(a.shape[-1])) + np.eye(a.shape[-1])
    inverse = np.linalg.inv(a)
    return inverse @ b if left else b @ inverse


def swapped(x):
    return np.swapaxes(x, -1, -2)


class TestInverse(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        OpCase("inv", linalg.inv, [A], np.linalg.inv, **LOOSE),
        OpCase("inverse batch", ops.inverse, [BATCH], np.linalg.inv, zero_size=True, **LOOSE),
        OpCase("solve vector", linalg.solve, [A, (3,)], np.linalg.solve, **LOOSE),
        OpCase("solve matrix", linalg.solve, [A, (3, 2)], np.linalg.solve, **LOOSE),
        OpCase("solve batch of vectors", linalg.solve, [general(2, 3, 3), (2, 3)],
               lambda a, b: np.linalg.solve(a, b[..., None])[..., 0], **LOOSE),
        OpCase("solve broadcast", linalg.solve, [BATCH, (4, 3, 2)], np.linalg.solve, **LOOSE),
        OpCase("solve one matrix of many", linalg.solve, [A, (2, 3, 1)],
               lambda a, b: np.linalg.inv(a) @ b, **LOOSE),
        OpCase("solve right", partial(linalg.solve, left=False), [general(2, 3, 3), (2, 4, 3)],
               lambda a, b: b @ np.linalg.inv(a), **LOOSE),
        *[
            OpCase(f"solve_triangular {upper} {left} {unit}",
                   partial(linalg.solve_triangular, upper=upper, left=left, unitriangular=unit),
                   [BATCH, (4, 3, 2) if left else (4, 2, 3)],
                   partial(triangular, upper=upper, left=left, unit=unit), **LOOSE)
            for upper in (True, False) for left in (True, False) for unit in (True, False)
        ],
        *[OpCase(f"matrix_power {n}", partial(ops.matrix_power, n=n), [general(2, 2, 2)],
                 lambda x, n=n: np.linalg.matrix_power(x, n), **LOOSE)
          for n in (-3, -1, 0, 1, 2, 5)],
    ]  # fmt: skip


class TestDeterminant(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        OpCase("det", ops.det, [A], np.linalg.det, **LOOSE),
        OpCase("det batch", linalg.det, [BATCH], np.linalg.det, zero_size=True, **LOOSE),
        OpCase("det of one", ops.det, [(2, 1, 1)], lambda x: x[:, 0, 0]),
        OpCase("det of nothing", ops.det, [np.zeros((2, 0, 0))], lambda x: np.ones(2)),
        OpCase("det singular", ops.det, [SINGULAR], lambda x: np.array(0.0), **LOOSE),
        OpCase("det singular in batch", ops.det, [np.stack([SINGULAR, A])], np.linalg.det, **LOOSE),
        OpCase("slogdet", lambda x: ops.slogdet(x)[1], [BATCH],
               lambda x: np.log(abs(np.linalg.det(x))), **LOOSE),
        OpCase("logdet", lambda x: ops.logdet(positive(x)), [A],
               lambda x: np.log(np.linalg.det(positive_array(x))), **LOOSE),
    ]  # fmt: skip


class TestFactorization(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        OpCase("cholesky", lambda x: linalg.cholesky(positive(x)), [BATCH],
               lambda x: np.linalg.cholesky(positive_array(x)), zero_size=True, **LOOSE),
        OpCase("cholesky upper", lambda x: linalg.cholesky(positive(x), upper=True), [A],
               lambda x: swapped(np.linalg.cholesky(positive_array(x))), **LOOSE),
        OpCase("old cholesky", lambda x: ops.cholesky(positive(x), True), [A],
               lambda x: swapped(np.linalg.cholesky(positive_array(x))), **LOOSE),
        *[OpCase(f"qr {name} {mode}", lambda x, mode=mode: tuple(linalg.qr(x, mode)), [x],
                 lambda x, mode=mode: np.linalg.qr(x, mode), gradient=gradient, **LOOSE)
          for name, x, mode, gradient in [
              ("square", A, "reduced", True), ("square", A, "complete", True),
              ("high", HIGH, "reduced", True), ("high", HIGH, "complete", False),
              ("wide", WIDE, "reduced", True), ("wide", WIDE, "complete", True)]],
        OpCase("qr r", lambda x: linalg.qr(x, "r").R, [HIGH], lambda x: np.linalg.qr(x, "r"),
               gradient=False, **LOOSE),
        OpCase("old qr", lambda x: tuple(ops.qr(x)), [HIGH], np.linalg.qr, **LOOSE),
        OpCase("old qr complete", lambda x: ops.qr(x, some=False).Q, [HIGH],
               lambda x: np.linalg.qr(x, "complete").Q, gradient=False, **LOOSE),
    ]  # fmt: skip


def _svd(x, full=False):
    """The parts of an SVD that do not depend on signs."""
    u, s, vh = linalg.svd(x, full_matrices=full)
    k = s.shape[-1]
    return s, u[..., :k] ** 2, vh[..., :k, :] ** 2, u[..., :1] @ vh[..., :1, :]


def _svd_array(x):
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return s, u**2, vh**2, u[..., :1] @ vh[..., :1, :]


def _eigh(x, UPLO="L"):
    values, vectors = linalg.eigh(symmetric(x), UPLO)
    return values, vectors**2, vectors[..., :1] @ vectors[..., :1].mT


def _eigh_array(x):
    values, vectors = np.linalg.eigh(symmetric_array(x))
    return values, vectors**2, vectors[..., :1] @ swapped(vectors[..., :1])


def _old_svd(x, some=True):
    u, s, v = ops.svd(x, some)
    k = s.shape[-1]
    return s, u[..., :k] ** 2, v[..., :k].mT ** 2, u[..., :1] @ v[..., :1].mT


class TestSpectrum(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        OpCase("svd square", _svd, [A], _svd_array, **LOOSE),
        OpCase("svd wide", _svd, [WIDE], _svd_array, zero_size=True, **LOOSE),
        OpCase("svd high", _svd, [HIGH], _svd_array, **LOOSE),
        OpCase("svd full wide", partial(_svd, full=True), [WIDE], _svd_array, **LOOSE),
        OpCase("svd full high", partial(_svd, full=True), [HIGH], _svd_array, **LOOSE),
        OpCase("svd U", lambda x: linalg.svd(x, False).U.abs(), [HIGH],
               lambda x: abs(np.linalg.svd(x, full_matrices=False)[0]), **LOOSE),
        OpCase("svd V", lambda x: linalg.svd(x, False).Vh.abs(), [WIDE],
               lambda x: abs(np.linalg.svd(x, full_matrices=False)[2]), **LOOSE),
        OpCase("old svd", _old_svd, [HIGH], _svd_array, **LOOSE),
        OpCase("old svd full", partial(_old_svd, some=False), [WIDE], _svd_array, **LOOSE),
        OpCase("old svd of values", lambda x: ops.svd(x, compute_uv=False).S, [WIDE],
               lambda x: np.linalg.svd(x, compute_uv=False), **LOOSE),
        OpCase("svdvals", linalg.svdvals, [WIDE], lambda x: np.linalg.svd(x, compute_uv=False),
               **LOOSE),
        OpCase("eigh", _eigh, [BATCH], _eigh_array, zero_size=True, **LOOSE),
        OpCase("eigh U", partial(_eigh, UPLO="U"), [A], _eigh_array, **LOOSE),
        OpCase("eigh vectors", lambda x: linalg.eigh(symmetric(x)).eigenvectors.abs(), [A],
               lambda x: abs(np.linalg.eigh(symmetric_array(x))[1]), **LOOSE),
        OpCase("eigvalsh", lambda x: linalg.eigvalsh(symmetric(x)), [BATCH],
               lambda x: np.linalg.eigvalsh(symmetric_array(x)), **LOOSE),
    ]  # fmt: skip


LOW_RANK = OpCase(
    "pinv low rank", lambda a, b: linalg.pinv(a @ b, rtol=1e-5), [(4, 2), (2, 3)],
    lambda a, b: np.linalg.pinv(a @ b, 1e-5), low=0.5, rtol32=2e-3,
)  # fmt: skip


class TestLeastSquares(OpSuite):
    test_bfloat16 = None  # too coarse, and refused
    CASES = [
        OpCase("pinv", linalg.pinv, [WIDE], np.linalg.pinv, zero_size=True, **LOOSE),
        OpCase("pinv high", linalg.pinv, [HIGH], np.linalg.pinv, **LOOSE),
        LOW_RANK,
        OpCase("pinv atol", lambda x: linalg.pinv(x, atol=3.0), [np.diag([5.0, 1.0, 7.0])],
               lambda x: np.diag([0.2, 0.0, 1 / 7]), gradient=False),
        OpCase("pinv hermitian", lambda x: linalg.pinv(symmetric(x), hermitian=True), [A],
               lambda x: np.linalg.pinv(symmetric_array(x)), **LOOSE),
        OpCase("pinverse", ops.pinverse, [HIGH], np.linalg.pinv, **LOOSE),
        *[OpCase(f"lstsq {driver} {name}",
                 lambda a, b, driver=driver: linalg.lstsq(a, b, driver=driver).solution,
                 [x, (2, x.shape[-2], 3)], lambda a, b: np.linalg.pinv(a) @ b, **LOOSE)
          for driver in ("gels", "gelsy", "gelsd", "gelss")
          for name, x in (("wide", WIDE), ("high", HIGH))],
        OpCase("lstsq vectors", lambda a, b: tuple(linalg.lstsq(a, b, driver="gels"))[:2],
               [HIGH, (2, 4)],
               lambda a, b: ((x := np.linalg.pinv(a) @ b[..., None])[..., 0],
                             ((a @ x - b[..., None]) ** 2).sum((-1, -2))), **LOOSE),
        OpCase("lstsq residuals", lambda a, b: linalg.lstsq(a, b, driver="gelsd").residuals,
               [HIGH, (2, 4, 3)],
               lambda a, b: ((a @ np.linalg.pinv(a) @ b - b) ** 2).sum(-2), **LOOSE),
    ]  # fmt: skip


# -- special points -------------------------------------------------------------------------------


def test_values_are_cheaper_without_gradients(backend):
    x = tensor(WIDE)
    np.testing.assert_allclose(host(linalg.svdvals(x)), host(linalg.svd(x).S), rtol=1e-12)
    square = tensor(symmetric_array(A))
    np.testing.assert_allclose(host(linalg.eigvalsh(square)), host(linalg.eigh(square)[0]))


def test_equal_values_have_gradients_but_their_vectors_do_not(backend):
    x = tensor(np.eye(3) * 2, True)
    for f in (linalg.svdvals, linalg.eigvalsh):
        (g,) = grad(f(x).sum(), x)
        np.testing.assert_allclose(host(g), np.eye(3), atol=1e-12)
    for f in (lambda x: linalg.svd(x).U, lambda x: linalg.eigh(x).eigenvectors):
        (g,) = grad((f(x) * tensor(RNG.uniform(size=(3, 3)))).sum(), x)
        assert np.isnan(host(g)).any()


def test_only_one_triangle_is_read(backend):
    full = positive_array(A)
    for upper in (False, True):
        half = np.triu(full) if upper else np.tril(full)
        junk = half + (np.tril(np.full((3, 3), 9.0), -1) if upper else np.triu(full * 7, 1))
        lower = np.linalg.cholesky(full)
        np.testing.assert_allclose(
            host(linalg.cholesky(tensor(junk), upper=upper)), lower.T if upper else lower
        )
        values = host(linalg.eigvalsh(tensor(junk), UPLO="U" if upper else "L"))
        np.testing.assert_allclose(values, np.linalg.eigvalsh(full))
        b = tensor(np.ones((3, 1)))
        found = host(linalg.solve_triangular(tensor(junk), b, upper=upper))
        np.testing.assert_allclose(found, np.linalg.solve(half, np.ones((3, 1))))


@pytest.mark.parametrize("size", [31, 33, 100])
@pytest.mark.parametrize("upper", [True, False])
def test_large_triangular_systems(size, upper, backend):
    a = RNG.uniform(-1, 1, (size, size)) / size + np.eye(size)
    b = RNG.uniform(-1, 1, (size, 3))
    found = host(linalg.solve_triangular(tensor(a), tensor(b), upper=upper))
    np.testing.assert_allclose(found, triangular(a, b, upper), rtol=1e-10)


def test_zeros_on_a_triangle_s_diagonal_divide(backend):
    a, b = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[1.0], [2.0]])
    found = host(linalg.solve_triangular(tensor(a), tensor(b), upper=True))
    np.testing.assert_array_equal(found, [[-np.inf], [2.0]])
    unit = linalg.solve_triangular(tensor(a), tensor(b), upper=True, unitriangular=True)
    np.testing.assert_array_equal(host(unit), [[-1.0], [2.0]])


def test_determinants_of_singular_matrices(backend):
    x = tensor(np.stack([SINGULAR, A, np.zeros((3, 3)), SINGULAR[[1, 0, 2]]]), True)
    (g,) = grad(ops.det(x).sum(), x)
    cofactors = np.array([[-10.0, 5, 0], [5, -2.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(host(g)[0], cofactors, atol=1e-12)
    np.testing.assert_allclose(host(g)[1], np.linalg.det(A) * np.linalg.inv(A).T)
    np.testing.assert_allclose(host(g)[2], 0, atol=1e-12)
    np.testing.assert_allclose(host(g)[3], -cofactors[[1, 0, 2]], atol=1e-12)
    sign, log = ops.slogdet(x)
    np.testing.assert_array_equal(host(sign), [0, np.sign(np.linalg.det(A)), 0, 0])
    np.testing.assert_array_equal(np.isneginf(host(log)), [True, False, True, True])
    assert not sign.requires_grad
    (g,) = grad(log[1], x)
    np.testing.assert_allclose(host(g)[1], np.linalg.inv(A).T)
    two = tensor(np.array([[1.0, 2], [2, 4]]), True)
    (g,) = grad(ops.logdet(two), two)
    np.testing.assert_array_equal(host(g), np.array([[1, -1], [-1, 1]]) * np.inf)


def test_logdet_of_a_negative_determinant_is_nan(backend):
    x = tensor(np.array([[0.0, 1.0], [1.0, 0.0]]), True)
    assert np.isnan(host(ops.logdet(x)))
    (g,) = grad(ops.logdet(x), x)
    np.testing.assert_array_equal(host(g), np.zeros((2, 2)))


def test_matrix_rank(backend):
    x = tensor(np.stack([SINGULAR, A, np.zeros((3, 3)), np.diag([4.0, 1e-3, 1e-5])]))
    rank = linalg.matrix_rank(x)
    assert host(rank).dtype == np.int64
    assert rank.tolist() == [2, 3, 0, 3]
    assert linalg.matrix_rank(x, rtol=1e-4).tolist() == [2, 3, 0, 2]
    assert linalg.matrix_rank(x, atol=1e-2).tolist()[3] == 1
    assert linalg.matrix_rank(x, atol=1e-8, rtol=1e-3).tolist()[3] == 1
    limits = tensor(np.array([0.0, 100.0, 0.0, 1e-4]))
    assert linalg.matrix_rank(x, atol=limits).tolist() == [2, 0, 0, 2]
    assert linalg.matrix_rank(x, atol=limits, rtol=0.9).tolist()[3] == 1
    hermitian = tensor(np.diag([-4.0, 1.0, 0.0]))
    assert linalg.matrix_rank(hermitian, hermitian=True).tolist() == 2
    assert linalg.matrix_rank(ops.zeros(3, 2, 0)).tolist() == [0, 0, 0]
    assert host(linalg.pinv(ops.zeros(3, 2, 0))).shape == (3, 0, 2)


def test_what_lstsq_returns(backend):
    a, b = tensor(HIGH[0]), tensor(np.ones((4, 2)))
    shapes = {
        "gels": ((2, 2), (2,), (0,), (0,)),
        "gelsy": ((2, 2), (0,), (), (0,)),
        "gelsd": ((2, 2), (2,), (), (2,)),
    }
    for driver, expected in shapes.items():
        result = linalg.lstsq(a, b, driver=driver)
        assert tuple(tuple(x.shape) for x in result) == expected
    low = tensor(np.ones((4, 2)))
    result = linalg.lstsq(low, b, driver="gelss")
    np.testing.assert_allclose(host(result.solution), np.full((2, 2), 0.5))
    assert (result.rank.item(), tuple(result.residuals.shape)) == (1, (0,))
    assert linalg.lstsq(tensor(np.diag([1.0, 0.1])), tensor(np.ones(2)), 0.5).rank.item() == 1


def test_names_of_results():
    x = ops.eye(2)
    assert linalg.svd(x)._fields == ("U", "S", "Vh")
    assert ops.svd(x)._fields == ("U", "S", "V")
    assert linalg.eigh(x)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.qr(x)._fields == ("Q", "R")
    assert linalg.slogdet(x)._fields == ("sign", "logabsdet")
    assert linalg.lstsq(x, x)._fields == ("solution", "residuals", "rank", "singular_values")
    zeros = ops.svd(ops.ones(2, 3), compute_uv=False)
    assert (tuple(zeros.U.shape), tuple(zeros.V.shape)) == ((2, 2), (3, 3))


def test_modes_of_qr_without_gradient(backend):
    x = tensor(HIGH, True)
    with pytest.raises(GradientError, match="complete"):
        linalg.qr(x, "complete").Q.sum().backward()
    with pytest.raises(GradientError, match="mode='r'"):
        linalg.qr(x, "r").R.sum().backward()
    assert linalg.qr(x, "r").Q.numel() == 0


def test_third_derivatives(backend):
    x = tensor(A, True)
    for f in (ops.det, lambda x: linalg.cholesky(positive(x)), lambda x: linalg.svdvals(x)):
        first = lambda x, f=f: grad(f(x).sum(), x, create_graph=True)[0]  # noqa: E731
        assert gradcheck(first, x)
        assert gradgradcheck(first, x, rtol=1e-2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: linalg.inv(ops.ones(2, 2)), r"inv: the matrix is singular"),
        (lambda: linalg.inv(ops.stack([ops.eye(2), ops.ones(2, 2)])), "at batch index 1 is singul"),
        (lambda: linalg.solve(ops.ones(2, 2), ops.ones(2)), "solve: the matrix is singular"),
        (
            lambda: linalg.solve(ops.stack([ops.eye(2), ops.zeros(2, 2)])[None], ops.ones(2, 1)),
            r"at batch index \(0, 1\)",
        ),
        (lambda: linalg.cholesky(-ops.eye(2)), "cholesky: the matrix is not positive definite"),
        (lambda: linalg.cholesky(ops.full((2, 2), np.nan)), "cholesky: a matrix is not positive"),
        (lambda: linalg.svd(ops.full((2, 2), np.nan)), "svd: the matrix has no SVD"),
        (lambda: linalg.matrix_power(ops.ones(2, 2), -1), "singular"),
    ],
)
def test_impossible_matrices(call, match, backend):
    with pytest.raises(LinAlgError, match=match):
        call()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: linalg.inv(ops.ones(2, 3)), ShapeError, r"square matrices, got shape \(2, 3\)"),
        (lambda: linalg.inv(ops.ones(2)), ShapeError, "inv: 'A' must be a matrix"),
        (lambda: linalg.inv(ops.eye(2).long()), DTypeError, "inv: .* floating point"),
        (lambda: linalg.inv(1.0), DTypeError, "must be a Tensor"),
        (lambda: linalg.solve(ops.eye(2), ops.ones(3)), ShapeError, r"\(3,\) does not fit A"),
        (lambda: linalg.solve(ops.eye(2), ops.ones(2), left=False), ShapeError, "X A = B"),
        (lambda: linalg.solve(ops.eye(2), ops.ones(2).double()), DTypeError, "'A' is .*float32"),
        (lambda: linalg.solve(ops.ones(2, 2, 2), ops.ones(3, 2, 2)), ShapeError, "batches"),
        (lambda: linalg.solve_triangular(ops.eye(2), ops.ones(2), upper=True), ShapeError, "'B'"),
        (lambda: linalg.solve_triangular(ops.eye(2), ops.ones(3, 1), upper=True), ShapeError,
         "does not fit"),
        (lambda: linalg.matrix_power(ops.eye(2), 1.5), DTypeError, "n must be an int"),
        (lambda: linalg.qr(ops.eye(2), "full"), ArgumentError, "mode='full'"),
        (lambda: linalg.eigh(ops.eye(2), "x"), ArgumentError, "UPLO='x'"),
        (lambda: linalg.lstsq(ops.eye(2), ops.ones(2), driver="x"), ArgumentError, "driver='x'"),
        (lambda: linalg.lstsq(ops.eye(2), ops.ones(3)), ShapeError, "lstsq: b"),
        (lambda: linalg.pinv(ops.eye(2), atol="x"), ArgumentError, "atol must be a number"),
        (lambda: linalg.pinv(ops.ones(2, 3), hermitian=True), ShapeError, "square"),
        (lambda: ops.det(ops.ones(2)), ShapeError, "det: 'A' must be a matrix"),
    ],
)  # fmt: skip
def test_errors(call, error, match, backend):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "qr", "svd", "eigh", "pinv", "svdvals"])
def test_float16_is_too_coarse(name):
    with pytest.raises(DTypeError, match=f"{name}: '(A|input)' is float16"):
        getattr(linalg, name)(ops.eye(2).half())
