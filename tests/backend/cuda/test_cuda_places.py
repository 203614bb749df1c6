"""CUDA kernels of distances, running extremes and last rows, beside the reference."""

import numpy as np
import pytest
from cuda_cases import OF, assert_near, launches, wide
from cuda_emulator import COMPILER, MEMORY, emulated, emulated_device, sanitized_python
from kernel_cases import LAYOUTS

import tinyconv as tc
from tinyconv.backend import cuda, reference
from tinyconv.backend.quiet import quiet

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")
HALVES = ("float32", "float16", "bfloat16")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that are launched."""
    return launches(monkeypatch)


def kernel(name, *arguments):
    return quiet(cuda.override(name), MEMORY, *arguments)


# -- running extremes ---------------------------------------------------------------------------

SHAPES = [((7, 5), 0), ((7, 5), 1), ((3, 200, 2), 1), ((2, 3, 150), 1), ((1, 1), 0), ((4, 1, 3), 1),
          ((300,), 0), ((2000,), 0), ((40, 300), 1), ((50, 33), 1), ((3, 5, 1500), 1),
          ((2, 31, 1), 1), ((2, 257, 1, 1), 1)]  # fmt: skip


def with_ties(shape, dtype):
    """Return an array with many ties and, of floats, NaN, infinities and both zeros."""
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(0 if dtype == "uint8" else -5, 6, shape).astype(OF.get(dtype, dtype))
    if np.issubdtype(x.dtype, np.floating) or dtype == "bfloat16":
        odd = rng.integers(0, 400, shape)
        x[odd < 4], x[odd == 4], x[odd == 5] = -0.0, np.inf, -np.inf
        x[odd == 6] = np.nan
    return x


@pytest.mark.parametrize("dtype", [*HALVES, "float64", "int64"])
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("largest", [True, False])
def test_cumulative_extreme(largest, shape, axis, dtype, launched):
    x = with_ties(shape, dtype)
    found = kernel("cumulative_extreme", x, axis, largest)
    expected = quiet(reference.cumulative_extreme, np, *wide(x), axis, largest)
    for one, other, kind in zip(found, expected, (x.dtype, np.int64), strict=True):
        assert one.dtype == kind
        (one,) = wide(one)
        np.testing.assert_array_equal(one, other)
        known = ~np.isnan(other)
        np.testing.assert_array_equal(np.signbit(one[known]), np.signbit(other[known]))
    assert len(launched) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", range(3))
def test_cumulative_extreme_of_any_layout(axis, layout):
    x = with_ties((3, 4, 5), "float32")
    found = kernel("cumulative_extreme", LAYOUTS[layout](x), axis, True)
    for one, other in zip(found, reference.cumulative_extreme(np, x, axis, True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_after_nan_all_is_nan():
    x = np.array([1, np.nan, 5, np.nan, 7] + [9] * 600, "float32")
    values, places = kernel("cumulative_extreme", x, 0, True)
    assert np.isnan(values[1:]).all()
    np.testing.assert_array_equal(places, [0, 1, 1] + [3] * 602)
    again = kernel("cumulative_extreme", np.stack([x, x], 1), 0, True)
    for one, other in zip(again, (values, places), strict=True):
        np.testing.assert_array_equal(one, np.stack([other, other], 1))


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_extremes_of_other_dtypes_go_to_the_reference(dtype, launched):
    x = with_ties((4, 30), dtype)
    found, expected = kernel("cumulative_extreme", x, 1, True), np.maximum.accumulate(x, axis=1)
    np.testing.assert_array_equal(found[0], expected)
    assert found[0].dtype == x.dtype
    assert launched == []


@pytest.mark.parametrize("axis", [0, 1])
def test_extremes_of_neighbours(axis):
    """Numbers of 64 bits are compared as such."""
    steps = np.array([0, 1, 0, 2, 1, 2, -1], "int64")
    for x in (2**60 + steps, 1 + steps * 2.0**-50):
        for largest in (True, False):
            found = kernel("cumulative_extreme", np.stack([x, x], 1 - axis), axis, largest)
            values, places = reference.cumulative_extreme(np, x, 0, largest)
            np.testing.assert_array_equal(found[0], np.stack([values, values], 1 - axis))
            np.testing.assert_array_equal(found[1], np.stack([places, places], 1 - axis))


def test_no_extremes():
    for shape in ((0, 3), (3, 0)):
        values, places = kernel("cumulative_extreme", np.ones(shape, "float32"), 1, True)
        assert values.shape == places.shape == shape
        assert places.dtype == np.int64


# -- which row came last ------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [(5, 0), (5, 3), (7, 100), (300, 9999), (0, 0), (1, 1)])
def test_scatter_last(size, count, launched):
    index = np.random.default_rng(2).integers(0, max(size, 1), count)
    for given in (index, np.stack([index, index], 1)[:, 1]):
        found = kernel("scatter_last", size, given)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, reference.scatter_last(np, size, index))
    assert launched == ["scatter_last"] * (2 if count else 0)


def test_last_rows_of_indices_out_of_range():
    """While a step is recorded nobody can be told of them."""
    found = kernel("scatter_last", 4, np.array([3, -1, 0, 4, 3, 2**40]))
    np.testing.assert_array_equal(found, [2, -1, -1, 4])


def test_last_rows_of_another_dtype(launched):
    index = np.array([3, 0, 3], "int32")
    np.testing.assert_array_equal(kernel("scatter_last", 4, index), [1, -1, -1, 2])
    assert launched == []


# -- distances ----------------------------------------------------------------------------------

SIZES = [
    (2, 5, 7, 3),
    (1, 3, 70, 130),
    (1, 70, 2, 1),
    (3, 1, 1, 65),
    (20, 2, 3, 33),
    (1, 33, 64, 32),
]
EMPTY = [(0, 2, 3, 4), (1, 0, 3, 2), (1, 2, 0, 2), (2, 3, 4, 0)]
POWERS = [0, 0.5, 1, 1.5, 2, 3, np.inf]


def vectors(sizes, dtype):
    """Return two sets of vectors with elements that tie, and vectors that are in both."""
    n, rows, others, length = sizes
    rng = np.random.default_rng(4)
    a = rng.integers(-4, 5, (n, rows, length)).astype(OF[dtype])
    b = rng.integers(-4, 5, (n, others, length)).astype(OF[dtype])
    b[:, ::2] += OF[dtype](0.125)
    if rows and others:
        a[:, 0] = b[:, 0]
    return a, b


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("sizes", SIZES + EMPTY)
def test_distances(sizes, p, dtype, launched):
    a, b = vectors(sizes, dtype)
    found = kernel("distances", a, b, p)
    expected = quiet(reference.distances, np, *wide(a, b), p)
    assert_near(found, expected, dtype, 16)
    assert launched == (["distances"] if found.size else [])


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("p", POWERS[1:])
@pytest.mark.parametrize("sizes", SIZES + EMPTY)
def test_gradients_of_distances(sizes, p, dtype, launched):
    a, b = vectors(sizes, dtype)
    # Of integers and an eighth, largest differences are themselves in any dtype: ties are seen.
    distance = quiet(reference.distances, np, *wide(a, b), p).astype(OF[dtype])
    grad = np.random.default_rng(5).uniform(-1, 1, distance.shape).astype(OF[dtype])
    found = kernel("distances_grad", grad, a, b, distance, p)
    expected = quiet(reference.distances_grad, np, *wide(grad, a, b, distance), p)
    scale = max(1, np.abs(expected).max()) if expected.size else 1
    assert_near(found, expected, dtype, 16 * max(1, sizes[2] // 8), scale)
    largest = ["distances"] if p == np.inf else []
    assert launched == ([*largest, "distances_grad"] if found.size else [])


def test_distances_of_two_dtypes_go_to_the_reference(launched):
    a, b = vectors((1, 3, 4, 5), "float32")
    found = kernel("distances", a, b.astype("float64"), 2)
    np.testing.assert_array_equal(found, reference.distances(np, a, b.astype("float64"), 2))
    grad = np.ones((1, 3, 4), "float32")
    for arguments in ((grad, a, b, grad.astype("float64")), (grad, a.astype("float64"), b, grad)):
        found = kernel("distances_grad", *arguments, 3)
        np.testing.assert_array_equal(found, reference.distances_grad(np, *arguments, 3))
    assert launched == []


@pytest.mark.parametrize("name", ["distances", "distances_grad"])
def test_no_array_of_all_differences(name):
    """What the kernels allocate is no larger than their arguments and results."""
    made = []

    class Namespace:
        def __getattr__(self, attribute):
            function = getattr(MEMORY, attribute)
            if not attribute.startswith("empty"):
                return function

            def noting(*arguments, **options):
                made.append(function(*arguments, **options))
                return made[-1]

            return noting

    a, b = vectors((1, 40, 50, 30), "float32")
    grad = np.ones((1, 40, 50), "float32")
    more = (grad, a, b, grad) if name == "distances_grad" else (a, b)
    for p in (1, np.inf):
        cuda.override(name)(Namespace(), *more, p)
    assert max(array.size for array in made) <= 40 * 50


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_distances_of_nan(p):
    a, b = np.zeros((1, 2, 3), np.float32), np.ones((1, 2, 3), np.float32)
    a[0, 1, 1] = np.nan
    found, expected = (quiet(k, np, a, b, p) for k in (cuda.override("distances"),
                                                       reference.distances))  # fmt: skip
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found[0, 1]).all()
    gradient = kernel("distances_grad", np.ones((1, 2, 2), np.float32), a, b, expected, p)
    slopes = quiet(reference.distances_grad, np, np.ones((1, 2, 2), "f4"), a, b, expected, p)
    np.testing.assert_array_equal(np.isnan(gradient[0, 1]), np.isnan(slopes[0, 1]))
    np.testing.assert_allclose(gradient[0, 0], slopes[0, 0], rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_distances_of_infinities(p):
    a, b = np.zeros((1, 1, 4), np.float32), np.zeros((1, 2, 4), np.float32)
    a[0, 0, 2], b[0, 1, 2] = np.inf, np.inf
    found = kernel("distances", a, b, p)
    np.testing.assert_array_equal(found, quiet(reference.distances, np, a, b, p))
    assert np.isinf(found[0, 0, 0])
    assert np.isnan(found[0, 0, 1])


@pytest.mark.parametrize("p", [1, 2])
def test_long_sums_keep_their_digits(p):
    a, b = np.full((1, 1, 20000), 0.1, "float32"), np.zeros((1, 1, 20000), "float32")
    found, exact = kernel("distances", a, b, p), reference.distances(np, *wide(a, b), p)
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    distance = np.ones((1, 1, 20000), "float32")
    a, b = np.full((1, 1, 1), 0.1, "float32"), np.zeros((1, 20000, 1), "float32")
    found = kernel("distances_grad", distance * 0.1, a, b, distance, p)
    exact = reference.distances_grad(np, *wide(distance * 0.1, a, b, distance), p)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


# -- the inverse of the error function ----------------------------------------------------------


@pytest.mark.parametrize("dtype", HALVES)
def test_erfinv_to_its_ends(dtype, launched):
    rng = np.random.default_rng(0)
    edge = 1 - 10.0 ** rng.uniform(-8, -1, 500)
    y = np.concatenate([rng.uniform(-1, 1, 500), edge, -edge, [0, 1, -1, 2, -3, np.nan, np.inf]])
    y = y.astype(OF[dtype])
    found, exact = kernel("erfinv", y), quiet(reference.erfinv, np, y.astype("float64"))
    assert found.dtype == y.dtype
    rtol = {"float32": 4 * 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    np.testing.assert_allclose(found.astype("float64"), exact, rtol=rtol)
    assert launched == ["erfinv_of"]


# -- what lies beyond arrays --------------------------------------------------------------------

SANITIZED = """
import operator
import numpy as np
from cuda_emulator import emulated
from tinyconv.backend import cuda

a, b, x = (np.ones(shape, "float32") for shape in ((2, 3, 137), (2, 35, 137), (3, 141)))
grad = np.ones((2, 3, 35), "float32")
with emulated(sanitize=True):
    for p in (2, np.inf):
        cuda.override("distances")(np, a, b, p)
        cuda.override("distances_grad")(np, grad, a, b, grad, p)
    for axis in (0, 1):
        cuda.override("cumulative_extreme")(np, x, axis, True)
    found = cuda.override("scatter_last")(np, 4, np.array([3, -1, 0, 4, -(2**40), 2**40]))
    cuda.override("elementwise")(np, lambda a, b: a * b + 2, x, x[0, :1].reshape(()))
print(found)
"""


def test_nothing_beyond_arrays_is_read_or_written():
    done = sanitized_python(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "[ 2 -1 -1  0]\n"


# -- the library's ops --------------------------------------------------------------------------

X = np.random.default_rng(7).standard_normal((6, 5)).astype("float32")
OPS = {
    **{
        f"cdist {p}": lambda x, p=p: tc.cdist(x, x[:4] * 2 + 0.5, p)
        for p in (0.5, 1.0, 3.0, np.inf)
    },
    "cdist 2": lambda x: tc.cdist(x, x[:4] * 2, 2.0, "donot_use_mm_for_euclid_dist"),
    "pdist": lambda x: tc.nn.functional.pdist(x, 1.5),
    "cummax": lambda x: tc.cummax(x, 0)[0],
    "cummin": lambda x: tc.cummin(x, 1)[0],
    "erfinv": lambda x: tc.erfinv(x / 5),
    "index_copy": lambda x: x.index_copy(
        0, tc.tensor([1, 3, 1], device=x.device), x[:3] * 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_values_and_gradients_of_ops(name, launched):
    def both(device, dtype):
        x = tc.tensor(X, device=device, dtype=dtype, requires_grad=True)
        y = OPS[name](x)
        (y * y).sum().backward()
        return [t.detach().to("cpu").to(tc.float64).numpy() for t in (y, x.grad)]

    with emulated_device() as device:
        found = both(device, tc.float32)
    used = {"distances", "extremes_of_columns", "extremes_of_rows", "erfinv_of", "scatter_last"}
    assert used & set(launched)
    with tc.config.override(backend="numpy"):
        expected = both("cpu", tc.float64)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
