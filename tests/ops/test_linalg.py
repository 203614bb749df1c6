"""Linear algebra against PyTorch: signatures, values, dtypes, gradients, results at the edges."""

import inspect

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import linalg

torch = pytest.importorskip("torch")
from against_torch import assert_same, assert_same_gradients, pair  # noqa: E402

RNG = np.random.default_rng(3)
A = RNG.uniform(-1, 1, (2, 3, 3)) + 2 * np.eye(3)
SPD = A @ A.transpose(0, 2, 1)
HIGH, WIDE = RNG.uniform(-1, 1, (2, 5, 3)), RNG.uniform(-1, 1, (2, 3, 5))
B = RNG.uniform(-1, 1, (2, 3, 4))


def same(name, *arrays, **kwargs):
    """Compare a function of both libraries: value in two precisions, and gradients."""
    f, g = found(tc, name), found(torch, name)
    for dtype, tolerance in ((np.float32, 2e-4), (np.float64, 1e-9)):
        ours, expected = zip(*(pair(x.astype(dtype)) for x in arrays), strict=True)
        assert_same(f(*ours, **kwargs), g(*expected, **kwargs), tolerance, tolerance)
    assert_same_gradients(
        lambda *t: weighted(f(*t, **kwargs)), lambda *t: weighted(g(*t, **kwargs)), *arrays,
        rtol=1e-7, atol=1e-9,
    )  # fmt: skip


def found(library, name):
    for part in name.split("."):
        library = getattr(library, part)
    return library


def weighted(result):
    """Return one number that depends on all elements unevenly, through tuples."""
    if isinstance(result, tuple):
        parts = [weighted(r) for r in result if r.requires_grad]
        return sum(parts[1:], parts[0])
    flat = result.reshape(-1)
    numbers = np.cos(np.arange(flat.shape[0]) + 1.0)
    weights = tc.from_numpy(numbers) if isinstance(result, tc.Tensor) else torch.from_numpy(numbers)
    return (flat * weights).sum()


CASES = [
    ("linalg.inv", [A], {}),
    ("inverse", [A], {}),
    ("linalg.pinv", [HIGH], {}),
    ("linalg.pinv", [WIDE], {"rtol": 0.3}),
    ("linalg.pinv", [WIDE], {"atol": 0.7}),
    ("pinverse", [WIDE], {}),
    ("linalg.solve", [A, B], {}),
    ("linalg.solve", [A, B[..., 0]], {}),
    ("linalg.solve", [A, B[0, :, 0]], {}),
    ("linalg.solve", [A[0], B], {}),
    ("linalg.solve", [A, B.swapaxes(1, 2)], {"left": False}),
    ("linalg.solve_triangular", [A, B], {"upper": True}),
    ("linalg.solve_triangular", [A, B], {"upper": False, "unitriangular": True}),
    ("linalg.solve_triangular", [A[0], B.swapaxes(1, 2)], {"upper": True, "left": False}),
    ("linalg.det", [A], {}),
    ("logdet", [SPD], {}),
    ("linalg.cholesky", [SPD], {}),
    ("linalg.cholesky", [SPD], {"upper": True}),
    ("cholesky", [SPD], {"upper": True}),
    ("linalg.qr", [HIGH], {}),
    ("linalg.qr", [WIDE], {}),
    ("linalg.qr", [A], {"mode": "complete"}),
    ("qr", [HIGH], {}),
    ("linalg.svdvals", [WIDE], {}),
    ("linalg.eigvalsh", [SPD], {}),
    ("linalg.eigvalsh", [SPD], {"UPLO": "U"}),
    ("matrix_power", [A], {"n": 3}),
    ("linalg.matrix_power", [A], {"n": -2}),
    ("linalg.matrix_exp", [A], {}),
    ("matrix_exp", [B[:, :, :3] / 30], {}),
    ("linalg.householder_product", [HIGH, HIGH[:, 0]], {}),
    ("linalg.householder_product", [HIGH, HIGH[:, 0, :2]], {}),
    ("linalg.cross", [A, A[::-1]], {}),
    ("linalg.vecdot", [A, B[0, :, :3]], {"dim": 1}),
    ("linalg.diagonal", [HIGH], {"offset": -1}),
    ("kron", [A, B], {}),
    ("inner", [A, A[0]], {}),
    ("tensordot", [A, B], {"dims": ([0, 2], [0, 1])}),
    ("baddbmm", [B, A, B], {"beta": 0.5, "alpha": 2}),
    ("addbmm", [B[0], A, B], {"beta": 0.5, "alpha": 2}),
    ("addmv", [A[0, 0], A[0], A[0, 1]], {"beta": 0.5}),
    ("addr", [A[0], A[0, 0], A[0, 1]], {"alpha": 0.5}),
    ("dist", [A, A[0]], {"p": 3}),
    *[("linalg.vector_norm", [A], {"ord": p, "dim": (0, 2)}) for p in (1, 2, 3, -2, np.inf)],
    *[("linalg.matrix_norm", [HIGH], {"ord": p, "keepdim": True})
      for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
    *[("linalg.norm", [HIGH[0]], {"ord": p}) for p in (None, "fro", "nuc", 1, -2, np.inf)],
    *[("linalg.norm", [HIGH], {"ord": p, "dim": 1}) for p in (None, 1, 3.0, -np.inf)],
    *[("cdist", [A, HIGH], {"p": p}) for p in (0.0, 0.5, 1.0, 2.0, 3.0, np.inf)],
    ("cdist", [A, HIGH], {"compute_mode": "use_mm_for_euclid_dist"}),
    ("cdist", [RNG.uniform(-1, 1, (30, 3)), HIGH[0]], {}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.(cholesky|qr|svd) is deprecated")
@pytest.mark.parametrize(("name", "arrays", "kwargs"), CASES)
def test_function(name, arrays, kwargs):
    same(name, *arrays, **kwargs)


def test_slogdet():
    mixed = np.concatenate([A, A[:, ::-1]])
    for x, y in zip(*(f(v) for f, v in zip((linalg.slogdet, torch.linalg.slogdet), pair(mixed),
                                           strict=True)), strict=True):  # fmt: skip
        assert_same(x, y)
    assert_same_gradients(
        lambda x: weighted(linalg.slogdet(x).logabsdet),
        lambda x: weighted(torch.linalg.slogdet(x).logabsdet), mixed,
    )  # fmt: skip


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("array", [A, HIGH, WIDE], ids=["square", "high", "wide"])
def test_svd(array, full):
    def loss(library):
        def function(x):
            u, s, vh = library.linalg.svd(x, full_matrices=full)
            k = s.shape[-1]
            return weighted(u[..., :k] ** 2) + weighted(s) + weighted(vh[..., :k, :] ** 2)

        return function

    assert_same_gradients(loss(tc), loss(torch), array, rtol=1e-7, atol=1e-9)
    for x, y in zip(linalg.svd(pair(array)[0], full), torch.linalg.svd(pair(array)[1], full),
                    strict=True):  # fmt: skip
        assert tuple(x.shape) == tuple(y.shape)


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh(uplo):
    def loss(library):
        def function(x):
            values, vectors = library.linalg.eigh(x, uplo)
            return weighted(values) + weighted(vectors**2)

        return function

    assert_same_gradients(loss(tc), loss(torch), SPD, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("array", [HIGH, WIDE], ids=["high", "wide"])
def test_lstsq(array, driver):
    b = RNG.uniform(-1, 1, (2, array.shape[1], 2))
    (x, tx), (y, ty) = pair(array), pair(b)
    ours, theirs = linalg.lstsq(x, y, driver=driver), torch.linalg.lstsq(tx, ty, driver=driver)
    assert_same(tuple(ours), tuple(theirs), 1e-9, 1e-10)
    assert_same_gradients(
        lambda a, b: weighted(linalg.lstsq(a, b, driver=driver).solution),
        lambda a, b: weighted(torch.linalg.lstsq(a, b, driver=driver).solution),
        array, b, rtol=1e-7, atol=1e-9,
    )  # fmt: skip


def test_second_gradients_are_pytorchs():
    for name, array in [("inv", A), ("det", A), ("cholesky", SPD), ("qr", HIGH), ("pinv", WIDE),
                        ("svdvals", HIGH), ("eigvalsh", SPD)]:  # fmt: skip
        (x, tx) = pair(array, True)
        results = []
        for library, point in ((tc, x), (torch, tx)):
            loss = weighted(getattr(library.linalg, name)(point))
            (first,) = library.autograd.grad(loss, point, create_graph=True)
            results += library.autograd.grad(weighted(first), point)
        assert_same(*results, 1e-6, 1e-7)


ARGUMENTS = {  # what follows the first argument; "x" is that again, and "row" its first row
    "solve": {"B": "x"}, "solve_triangular": {"B": "x", "upper": True}, "lstsq": {"b": "x"},
    "matrix_power": {"n": 2}, "vecdot": {"y": "x"}, "cross": {"other": "x"},
    "matmul": {"other": "x"}, "householder_product": {"tau": "row"},
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [n for n in linalg.__all__ if n not in ("LinAlgError", "multi_dot")]
)
def test_arguments_have_pytorchs_names(name):
    first = next(iter(inspect.signature(getattr(linalg, name)).parameters))
    results = []
    for library in (tc, torch):
        x = library.eye(3)
        tensors = {"x": x, "row": x[0]}
        others = {k: tensors.get(v, v) for k, v in ARGUMENTS.get(name, {}).items()}
        result = getattr(library.linalg, name)(**{first: x}, **others)
        results.append(tuple(result) if isinstance(result, tuple) else result)
    if name not in ("svd", "eigh"):
        assert_same(*results)


def test_gradient_of_det_at_a_singular_matrix():
    array = np.array([[1.0, 2.0], [2.0, 4.0]])
    results = []
    for library, x in zip((tc, torch), pair(array, True), strict=True):
        # PyTorch is right only where it records the backward pass.
        (g,) = library.autograd.grad(library.linalg.det(x), x, create_graph=True)
        results.append(g)
    assert_same(*results)
    x = tc.tensor(array, requires_grad=True)
    tc.linalg.det(x).backward()
    assert_same(x.grad, results[1])


def test_errors_are_of_pytorchs_kind():
    for library in (tc, torch):
        with pytest.raises(library.linalg.LinAlgError):
            library.linalg.inv(library.ones(2, 2))
        with pytest.raises(RuntimeError):
            library.linalg.cholesky(-library.eye(2))
