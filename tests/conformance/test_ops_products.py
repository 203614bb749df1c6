"""Products of tensors, scaled sums with them, distances of sets, norms: against NumPy and SciPy."""

from functools import partial

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import linalg, ops
from tinyconv.autograd import grad
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

distance = pytest.importorskip("scipy.spatial.distance")
INF = np.inf


class TestProducts(OpSuite):
    CASES = [
        OpCase("inner", ops.inner, [(2, 3), (4, 5, 3)], np.inner),
        OpCase("inner vectors", ops.inner, [(3,), (3,)], np.inner),
        OpCase("inner number", ops.inner, [(2, 3), ()], np.multiply),
        OpCase("vdot", ops.vdot, [(4,), (4,)], np.vdot, zero_size=True),
        OpCase("vecdot", linalg.vecdot, [(2, 3), (3,)], lambda a, b: (a * b).sum(-1)),
        OpCase("vecdot dim", partial(linalg.vecdot, dim=0), [(3, 2), (3, 1)],
               lambda a, b: (a * b).sum(0)),
        OpCase("cross", linalg.cross, [(2, 3), (2, 3)], np.cross, zero_size=True),
        OpCase("cross broadcast", linalg.cross, [(2, 1, 3), (1, 4, 3)], np.cross),
        OpCase("cross dim", partial(linalg.cross, dim=0), [(3, 2), (3, 2)],
               partial(np.cross, axis=0)),
        OpCase("old cross", ops.cross, [(2, 3, 3), (2, 3, 3)], partial(np.cross, axis=1)),
        OpCase("old cross dim", partial(ops.cross, dim=2), [(2, 3, 3), (2, 3, 3)], np.cross),
        OpCase("linalg.diagonal", partial(linalg.diagonal, offset=1), [(2, 3, 4)],
               lambda x: np.diagonal(x, 1, -2, -1)),
        OpCase("tensordot 2", ops.tensordot, [(2, 3, 4), (3, 4, 5)], np.tensordot),
        OpCase("tensordot 1", partial(ops.tensordot, dims=1), [(2, 3), (3, 4)], np.matmul),
        OpCase("tensordot 0", partial(ops.tensordot, dims=0), [(2,), (3, 4)],
               partial(np.tensordot, axes=0)),
        OpCase("tensordot pairs", partial(ops.tensordot, dims=([0, -1], [1, 0])),
               [(2, 3, 4), (4, 2)], partial(np.tensordot, axes=([0, -1], [1, 0]))),
        OpCase("tensordot of size 1", partial(ops.tensordot, dims=1), [(2, 3), (1, 4)],
               lambda a, b: a.sum(1, keepdims=True) @ b),
        OpCase("tensordot of empty", partial(ops.tensordot, dims=1), [np.ones((2, 0)),
               np.ones((0, 3))], np.matmul),
        OpCase("kron", ops.kron, [(2, 3), (4, 2)], np.kron),
        OpCase("kron of other ranks", ops.kron, [(2,), (2, 2, 3)], np.kron),
        OpCase("kron number", ops.kron, [(), (2,)], np.kron),
        OpCase("multi_dot", lambda *t: linalg.multi_dot(t), [(2, 5), (5, 1), (1, 4), (4, 3)],
               lambda *t: np.linalg.multi_dot(t)),
        OpCase("multi_dot vectors", lambda *t: linalg.multi_dot(t), [(5,), (5, 2), (2, 3), (3,)],
               lambda *t: np.linalg.multi_dot(t)),
        OpCase("multi_dot of two", lambda *t: linalg.multi_dot(t), [(5,), (5, 2)], np.matmul),
    ]  # fmt: skip


class TestScaledProducts(OpSuite):
    CASES = [
        OpCase("addmm", ops.addmm, [(2,), (3, 4), (4, 2)], lambda c, a, b: c + a @ b),
        OpCase("addmm scaled", partial(ops.addmm, beta=2, alpha=0.5), [(3, 2), (3, 4), (4, 2)],
               lambda c, a, b: 2 * c + a @ b / 2),
        OpCase("addmm without", partial(ops.addmm, beta=0), [(2,), (3, 4), (4, 2)],
               lambda c, a, b: a @ b),
        OpCase("addmv", partial(ops.addmv, beta=2, alpha=3), [(3,), (3, 4), (4,)],
               lambda c, a, b: 2 * c + 3 * a @ b),
        OpCase("addr", partial(ops.addr, beta=2, alpha=3), [(3, 4), (3,), (4,)],
               lambda c, a, b: 2 * c + 3 * np.outer(a, b)),
        OpCase("baddbmm", partial(ops.baddbmm, beta=2, alpha=3), [(2, 1, 4), (2, 3, 5), (2, 5, 4)],
               lambda c, a, b: 2 * c + 3 * a @ b),
        OpCase("addbmm", partial(ops.addbmm, beta=2, alpha=3), [(3, 4), (2, 3, 5), (2, 5, 4)],
               lambda c, a, b: 2 * c + 3 * (a @ b).sum(0)),
    ]  # fmt: skip


def _cdist(a, b, p=2.0):
    difference = abs(a[..., :, None, :] - b[..., None, :, :])
    return np.linalg.norm(difference, p, -1)


NAMES = {2: "euclidean", 1: "cityblock", INF: "chebyshev"}
MODES = ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


class TestDistances(OpSuite):
    CASES = [
        *[OpCase(f"cdist p={p}", partial(ops.cdist, p=p), [(4, 3), (2, 3)],
                 lambda a, b, p=p: distance.cdist(a, b, NAMES[p]),
                 bfloat16=p != INF)  # rounded differences are equal more often
          for p in NAMES],
        *[OpCase(f"cdist p={p}", partial(ops.cdist, p=p), [(4, 3), (2, 3)],
                 lambda a, b, p=p: distance.cdist(a, b, "minkowski", p=p), distinct=True,
                 rtol32=2e-4)
          for p in (0.5, 1.5, 3.0)],
        *[OpCase(f"cdist {mode}", partial(ops.cdist, compute_mode=mode), [(3, 4, 5), (2, 5)],
                 _cdist, rtol32=2e-4) for mode in MODES],
        OpCase("cdist many", ops.cdist, [(2, 27, 3), (2, 2, 3)], _cdist, rtol32=2e-4),
        OpCase("cdist of no features", ops.cdist, [np.ones((2, 0)), np.ones((3, 0))],
               lambda a, b: np.zeros((2, 3))),
        OpCase("cdist p=0", partial(ops.cdist, p=0), [np.array([[1.0, 2.0], [3.0, 4.0]]),
               np.array([[1.0, 0.0], [3.0, 4.0], [5.0, 5.0]])],
               lambda a, b: np.array([[1.0, 2, 2], [2, 0, 2]]), gradient=False),
        *[OpCase(f"pdist p={p}", partial(ops.pdist, p=p), [(5, 3)],
                 lambda x, p=p: distance.pdist(x, NAMES[p])) for p in NAMES],
        *[OpCase(f"pdist p={p}", partial(ops.pdist, p=p), [(4, 3)],
                 lambda x, p=p: distance.pdist(x, "minkowski", p=p), distinct=True, rtol32=2e-4)
          for p in (0.5, 1.5, 3.0)],
        *[OpCase(f"pdist of {shape}", ops.pdist, [np.ones(shape)],
                 lambda x: np.zeros(len(x) * (len(x) - 1) // 2), gradient=False)
          for shape in [(4, 0), (1, 3), (0, 3)]],
        OpCase("pdist p=0", partial(ops.pdist, p=0),
               [np.array([[1.0, 0.0], [3.0, 0.0], [1.0, 0.0]])],
               lambda x: np.array([1.0, 0, 1]), gradient=False),
        OpCase("dist", ops.dist, [(2, 3), (3,)],
               lambda a, b: np.linalg.norm((a - b).ravel())),
        OpCase("dist p=3", partial(ops.dist, p=3), [(2, 3), (2, 3)],
               lambda a, b: np.linalg.norm((a - b).ravel(), 3), distinct=True),
    ]  # fmt: skip


def _matrix(ord, **kwargs):
    return lambda x: np.linalg.norm(x, ord, axis=(-2, -1), **kwargs)


class TestNorms(OpSuite):
    CASES = [
        *[OpCase(f"vector_norm {p}", partial(linalg.vector_norm, ord=p), [(2, 5)],
                 lambda x, p=p: np.linalg.norm(x.ravel(), p), distinct=True, low=0.2,
                 gradient=p != 0) for p in (2, 1, 0, 3.5, 0.5, -1, INF, -INF)],
        OpCase("vector_norm dim", partial(linalg.vector_norm, ord=3, dim=(0, 2), keepdim=True),
               [(2, 3, 4)], lambda x: (abs(x) ** 3).sum((0, 2), keepdims=True) ** (1 / 3),
               distinct=True),
        *[OpCase(f"matrix_norm {ord} {shape}", partial(linalg.matrix_norm, ord=ord), [shape],
                 _matrix(ord), rtol32=2e-4, bfloat16=ord not in ("nuc", 2, -2))
          for ord in ("fro", "nuc", INF, -INF, 1, -1, 2, -2)
          for shape in ((3, 4), (2, 4, 3))],
        OpCase("matrix_norm dim", partial(linalg.matrix_norm, ord=1, dim=(2, 0)), [(3, 2, 4)],
               lambda x: np.linalg.norm(x, 1, axis=(2, 0)), distinct=True),
        OpCase("matrix_norm keepdim", partial(linalg.matrix_norm, ord=2, dim=(-1, 0), keepdim=True),
               [(3, 2, 4)], lambda x: np.linalg.norm(x, 2, axis=(-1, 0), keepdims=True),
               rtol32=2e-4, bfloat16=False),
        OpCase("matrix_norm fro dim", partial(linalg.matrix_norm, dim=(0, 1), keepdim=True),
               [(3, 2, 4)], lambda x: np.linalg.norm(x, "fro", axis=(0, 1), keepdims=True)),
        OpCase("norm", linalg.norm, [(2, 3, 4)], lambda x: np.linalg.norm(x.ravel())),
        OpCase("norm keepdim", partial(linalg.norm, keepdim=True), [(2, 3)],
               lambda x: np.linalg.norm(x, keepdims=True)),
        OpCase("norm of vector", partial(linalg.norm, ord=1), [(5,)], lambda x: abs(x).sum()),
        OpCase("norm of matrix", partial(linalg.norm, ord=1), [(3, 2)],
               lambda x: np.linalg.norm(x, 1), distinct=True),
        OpCase("norm nuc", partial(linalg.norm, ord="nuc"), [(3, 2)],
               lambda x: np.linalg.norm(x, "nuc"), rtol32=2e-4, bfloat16=False),
        OpCase("norm fro of batch", partial(linalg.norm, ord="fro"), [(2, 3, 2)], _matrix("fro")),
        OpCase("norm dim", partial(linalg.norm, ord=INF, dim=0), [(3, 2)],
               lambda x: abs(x).max(0), distinct=True),
        OpCase("norm pair", partial(linalg.norm, ord=INF, dim=(1, 0)), [(3, 2)],
               lambda x: np.linalg.norm(x, INF, axis=(1, 0)), distinct=True),
        OpCase("norm of one dim in a tuple", partial(linalg.norm, ord=1, dim=(0,)), [(3, 2)],
               lambda x: abs(x).sum(0), distinct=True),
        OpCase("norm default pair", partial(linalg.norm, dim=(0, 2)), [(3, 2, 4)],
               lambda x: np.linalg.norm(x, axis=(0, 2))),
    ]  # fmt: skip


# -- special points -------------------------------------------------------------------------------


def test_distance_zero_has_gradient_zero(backend):
    for p in (0, 0.5, 1, 2, 3, INF):
        for mode in MODES:
            x = tensor(np.array([[1.0, 2.0], [0.0, 0.0]]), True)
            y = tensor(np.array([[1.0, 2.0]]), True)
            d = ops.cdist(x, y, p, mode)
            assert host(d)[0, 0] == 0
            for g in grad(d[0, 0], (x, y)):
                np.testing.assert_array_equal(host(g), np.zeros(g.shape))
    for p in (0.0, 0.5, 1.0, 1.5, 2.0, INF):
        x = tensor(np.ones((3, 2)), True)
        (g,) = grad(ops.pdist(x, p).sum(), x)
        np.testing.assert_array_equal(host(g), np.zeros((3, 2)))
    x = tensor(np.ones(3), True)
    (g,) = grad(ops.dist(x, x.detach()), x)
    np.testing.assert_array_equal(host(g), np.zeros(3))


def test_what_beta_0_ignores(backend):
    nan = tensor(np.full((2, 2), np.nan), True)
    one = tensor(np.ones((2, 2)))
    result = ops.addmm(nan, one, one, beta=0)
    np.testing.assert_array_equal(host(result), np.full((2, 2), 2.0))
    (g,) = grad(result.sum(), nan)
    np.testing.assert_array_equal(host(g), np.zeros((2, 2)))


def test_integers(backend):
    a = ops.arange(4).reshape(2, 2)
    assert ops.addmm(a, a, a, beta=2, alpha=3).tolist() == [[6, 11], [22, 39]]
    assert ops.kron(a, ops.tensor([1, 0])).tolist() == [[0, 0, 1, 0], [2, 0, 3, 0]]
    assert ops.tensordot(a, a).item() == 14
    assert ops.inner(a, a).tolist() == [[1, 3], [3, 13]]
    assert linalg.matrix_power(a, 2).tolist() == [[2, 3], [6, 11]]
    assert ops.cross(ops.tensor([1, 0, 0]), ops.tensor([0, 1, 0])).tolist() == [0, 0, 1]
    assert ops.addr(a, ops.tensor([1.0, 0.0]), ops.tensor([0.5, 0.5])).tolist() == [
        [0.5, 1.5], [2, 3]]  # fmt: skip


def test_multi_dot_multiplies_least(monkeypatch):
    from tinyconv.ops.linalg import products

    steps = []
    product = products.matmul
    monkeypatch.setattr(
        products, "matmul", lambda a, b: steps.append((*a.shape, b.shape[1])) or product(a, b)
    )
    linalg.multi_dot([ops.ones(10, 100), ops.ones(100, 5), ops.ones(5, 50)])
    assert steps == [(10, 100, 5), (10, 5, 50)]  # 7500 products instead of 75000


def test_empty_matrices_have_norm_0(backend):
    for ord in ("fro", "nuc", 1, INF, 2, -2):
        assert host(linalg.matrix_norm(ops.ones(2, 0), ord)) == 0
    assert host(linalg.vector_norm(ops.ones(0, 2), INF, dim=1)).shape == (0,)


def test_methods_and_in_place():
    x = ops.ones(2, 2)
    assert x.clone().addmm_(x, x).tolist() == [[3, 3], [3, 3]]
    assert x.clone().addr_(x[0], x[0], alpha=2).tolist() == [[3, 3], [3, 3]]
    assert x[0].clone().addmv_(x, x[0]).tolist() == [3, 3]
    assert x.clone().addbmm_(ops.ones(3, 2, 1), ops.ones(3, 1, 2)).tolist() == [[4, 4], [4, 4]]
    assert ops.ones(1, 2, 2).baddbmm_(x[None], x[None], beta=2).tolist() == [[[4, 4], [4, 4]]]
    assert (2 * x).dist(x).item() == 2
    assert x.kron(x[0]).shape == (2, 4)


def test_half_and_dtype():
    x = ops.ones(2, 2).half() * 300
    assert linalg.vector_norm(x).item() == 600
    assert ops.cdist(x, 0 * x).tolist() == [[424.25, 424.25]] * 2
    mode = {"compute_mode": MODES[0]}
    assert ops.cdist(x, 0 * x, **mode).tolist() == [[424.25, 424.25]] * 2
    assert linalg.matrix_norm(x, dtype="float32").dtype.name == "float32"
    assert linalg.norm(x, dtype="float64").dtype.name == "float64"


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.inner(ops.ones(2), ops.ones(3)), ShapeError, "inner: the last sizes"),
        (lambda: ops.inner(ops.ones(2), ops.arange(2)), DTypeError, "inner: 'input' is"),
        (lambda: ops.vdot(ops.ones(2, 2), ops.ones(2)), ShapeError, "do not fit"),
        (lambda: linalg.vecdot(ops.arange(2), ops.arange(2)), DTypeError, "floating point"),
        (lambda: linalg.vecdot(ops.ones(2), ops.ones(3)), ShapeError, "vecdot: .* broadcast"),
        (lambda: linalg.cross(ops.ones(2, 3), ops.ones(3)), ShapeError, "same number"),
        (lambda: linalg.cross(ops.ones(2, 2), ops.ones(2, 2)), ShapeError, "size 3 at dim=-1"),
        (lambda: linalg.cross(ops.ones(3), ops.ones(3), dim=1), IndexRangeError, "cross: dim=1"),
        (lambda: ops.cross(ops.ones(2, 2), ops.ones(2, 2)), ShapeError, r"\(2, 2\) has the size 3"),
        (lambda: ops.tensordot(ops.ones(2), ops.ones(2), 2), ArgumentError, "dims=2"),
        (lambda: ops.tensordot(ops.ones(2), ops.ones(3), 1), ShapeError, "size 2 of dimension 0"),
        (lambda: ops.tensordot(ops.ones(2), ops.ones(2), ([0], [])), ArgumentError, "as many"),
        (lambda: linalg.multi_dot([ops.ones(2)]), ArgumentError, "at least 2 tensors, got 1"),
        (lambda: linalg.multi_dot([ops.ones(2, 2), ops.ones(2), ops.ones(2, 2)]), ShapeError,
         r"tensors\[1\]"),
        (lambda: linalg.multi_dot([ops.ones(2, 2), ops.ones(3, 2)]), ShapeError,
         r"tensors\[0\] of shape \(2, 2\) does not fit"),
        (lambda: ops.addmm(ops.ones(3, 2, 2), ops.ones(2, 2), ops.ones(2, 2)), ShapeError,
         "addmm: input of shape"),
        (lambda: ops.addmm(ops.ones(3), ops.ones(2, 2), ops.ones(2, 2)), ShapeError, "addmm: inp"),
        (lambda: ops.addmm(ops.ones(2).double(), ops.ones(2, 2), ops.ones(2, 2)), DTypeError,
         "addmm: 'input' is"),
        (lambda: ops.addmv(ops.arange(2), ops.eye(2).long(), ops.arange(2), beta=0.5), DTypeError,
         "addmv: beta=0.5 must be an int"),
        (lambda: ops.addbmm(ops.ones(2, 2), ops.ones(2, 2, 2), ops.ones(3, 2, 2)), ShapeError,
         "addbmm: batch1"),
        (lambda: ops.cdist(ops.ones(2), ops.ones(2, 2)), ShapeError, "cdist: 'x1' must be"),
        (lambda: ops.cdist(ops.ones(2, 2), ops.ones(2, 3)), ShapeError, "same last size"),
        (lambda: ops.cdist(ops.ones(2, 2), ops.ones(2, 2), -1), ArgumentError, "p=-1"),
        (lambda: ops.cdist(ops.ones(2, 2), ops.ones(2, 2), compute_mode="x"), ArgumentError,
         "compute_mode='x'"),
        (lambda: ops.cdist(ops.arange(2)[None], ops.arange(2)[None]), DTypeError, "floating"),
        (lambda: ops.pdist(ops.ones(2)), ShapeError, r"pdist: .* \(N, M\), got shape \(2,\)"),
        (lambda: ops.pdist(ops.ones(2, 2), -1), ArgumentError, "pdist: p=-1"),
        (lambda: ops.pdist(ops.arange(4).reshape(2, 2)), DTypeError, "pdist: .* floating"),
        (lambda: ops.dist(ops.arange(2), ops.arange(2)), DTypeError, "dist: argument 'input'"),
        (lambda: linalg.vector_norm(ops.arange(2)), DTypeError, "floating point"),
        (lambda: linalg.vector_norm(ops.ones(2), "fro"), ArgumentError, "must be a number"),
        (lambda: linalg.vector_norm(ops.ones(0), INF), ArgumentError, "no value"),
        (lambda: linalg.vector_norm(ops.ones(2).double(), dtype="float32"), DTypeError, "lose"),
        (lambda: linalg.matrix_norm(ops.ones(2)), ShapeError, "'input' must be a matrix"),
        (lambda: linalg.matrix_norm(ops.ones(2, 2), 3), ArgumentError, "ord=3 is not legal"),
        (lambda: linalg.matrix_norm(ops.ones(2, 2), dim=0), ArgumentError, "pair of dimensions"),
        (lambda: linalg.matrix_norm(ops.ones(2, 2), dim=(0, -2)), ArgumentError, "must differ"),
        (lambda: linalg.norm(ops.ones(2, 2, 2), 2), ShapeError, "needs 1 or 2 dimensions"),
        (lambda: linalg.norm(ops.ones(2, 2, 2), dim=(0, 1, 2)), ArgumentError, "one dimension or"),
        (lambda: linalg.norm(ops.ones(2), "fro"), ShapeError, "'input' must be a matrix"),
        (lambda: linalg.norm(ops.ones(2, 2), "fro", 0), ArgumentError, "pair of dimensions"),
        (lambda: linalg.norm(ops.ones(2, 2), 0), ArgumentError, "ord=0 is not legal"),
    ],
)  # fmt: skip
def test_errors(call, error, match, backend):
    with pytest.raises(error, match=match):
        call()
