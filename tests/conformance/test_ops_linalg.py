"""Matrix products, einsum, diagonals."""

from functools import partial

import numpy as np
import pytest
from suite import OpCase, OpSuite, assert_close, host, tensor

from tinyconv import config, ops
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

PAIRS = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 2)), ((4, 1, 2, 3), (5, 3, 2)), ((3,), (2, 3, 4)),
    ((2, 2, 3), (3,)), ((1, 2, 3), (4, 3, 2)), ((2, 1, 2, 3), (3, 1)),
]  # fmt: skip
CASES = [
    *[OpCase(f"matmul {a} {b}", ops.matmul, [a, b], np.matmul) for a, b in PAIRS],
    OpCase("operator", lambda a, b: a @ b, [(2, 3), (3, 2)], np.matmul),
    OpCase("mm", ops.mm, [(2, 3), (3, 2)], np.matmul),
    OpCase("bmm", ops.bmm, [(2, 2, 3), (2, 3, 2)], np.matmul, zero_size=True),
    OpCase("mv", ops.mv, [(2, 3), (3,)], np.matmul),
    OpCase("dot", ops.dot, [(4,), (4,)], np.dot, zero_size=True),
    OpCase("outer", ops.outer, [(2,), (3,)], np.outer, zero_size=True),
    OpCase("addmm", lambda c, a, b: ops.addmm(c, a, b, beta=2, alpha=3),
           [(2,), (3, 4), (4, 2)], lambda c, a, b: 2 * c + 3 * a @ b),
    OpCase("linear", ops.linear, [(4, 3), (2, 3), (2,)], lambda x, w, b: x @ w.T + b),
    OpCase(
        "linear relu", partial(ops.linear, activation="relu"), [(2, 4, 3), (5, 3), (5,)],
        lambda x, w, b: np.maximum(x @ w.T + b, 0),
    ),
    OpCase(
        "linear relu6", lambda x, w, b: ops.linear(x * 5, w, b, activation="relu6"),
        [(4, 3), (5, 3), (5,)], lambda x, w, b: np.clip(5 * x @ w.T + b, 0, 6),
    ),
    OpCase("linear no bias", ops.linear, [(4, 3), (2, 3)], lambda x, w: x @ w.T),
    OpCase("linear 3-d", ops.linear, [(2, 2, 3), (2, 3), (2,)], lambda x, w, b: x @ w.T + b),
    OpCase("linear 1-d", ops.linear, [(3,), (2, 3), (2,)], lambda x, w, b: x @ w.T + b),
    OpCase("tril", ops.tril, [(3, 4)], np.tril),
    OpCase("triu", lambda x: ops.triu(x, 1), [(2, 3, 3)], lambda x: np.triu(x, 1)),
    *[OpCase(f"diagonal {k}", lambda x, k=k: ops.diagonal(x, k), [(3, 4)],
             lambda x, k=k: np.diagonal(x, k)) for k in (-3, -2, 0, 1, 3, 5)],
    OpCase("diagonal dims", lambda x: ops.diagonal(x, 1, -1, 0), [(4, 2, 3)],
           lambda x: np.diagonal(x, 1, -1, 0)),
    OpCase("trace", ops.trace, [(3, 4)], np.trace),
]  # fmt: skip
EQUATIONS = {
    "ij->ji": [(2, 3)],
    "ij->": [(2, 3)],
    "ij->j": [(2, 3)],
    "ii": [(3, 3)],
    "ii->i": [(3, 3)],
    "iji->j": [(3, 2, 3)],
    "iiij->ij": [(2, 2, 2, 3)],
    "i,i": [(3,), (3,)],
    "i,j->ij": [(3,), (2,)],
    "ij,jk": [(2, 3), (3, 4)],
    "ij,jk->ki": [(2, 3), (3, 4)],
    "ba,ac": [(2, 3), (3, 4)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 2)],
    "bhqd,bhkd->bhqk": [(2, 2, 3, 4), (2, 2, 2, 4)],
    "ij,ij->ij": [(2, 3), (2, 3)],
    "ij,ij->": [(2, 3), (2, 3)],
    "ij,kl->": [(2, 3), (2, 2)],
    "ij,ik,il->jkl": [(3, 2), (3, 2), (3, 2)],
    "ij,jk,kl->il": [(2, 3), (3, 2), (2, 4)],
    "i,j,k->kji": [(2,), (3,), (2,)],
    "...ij,...jk->...ik": [(2, 2, 3), (3, 2)],
    "...ij,...jk": [(2, 3, 2, 2), (3, 2, 2)],
    "...,...": [(2, 3), (3,)],
    "...ij,jk": [(2, 2, 3), (3, 2)],
    "i...->...i": [(2, 3, 2)],
    "...i->...": [(2, 3, 2)],
    "...": [(2, 3)],
    "b...,...->b": [(2, 3, 2), (3, 2)],
    "ii,ij->j": [(3, 3), (3, 2)],
    " i j , j -> i ": [(2, 3), (3,)],
}
EINSUM = [
    OpCase(equation, lambda *t, e=equation: ops.einsum(e, *t), shapes,
           lambda *t, e=equation: np.einsum(e.replace(" ", ""), *t))
    for equation, shapes in EQUATIONS.items() if equation != "b...,...->b"
] + [
    OpCase("b...,...->b", lambda a, b: ops.einsum("b...,...->b", a, b), [(2, 3, 2), (3, 2)],
           lambda a, b: (a * b).sum((1, 2))),
    OpCase("size 1 broadcasts", lambda a, b: ops.einsum("ij,ij->i", a, b), [(2, 1), (2, 3)],
           lambda a, b: (a * b).sum(1)),
]  # fmt: skip


class TestLinalg(OpSuite):
    CASES = CASES


class TestEinsum(OpSuite):
    CASES = EINSUM


def test_zero_sizes_match_numpy(backend):
    for a, b in [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 2, 0), (0, 3)), ((0, 2, 3), (3, 2)),
                 ((0,), (0,)), ((2, 0), (0,))]:  # fmt: skip
        x, y = tensor(np.ones(a), True), tensor(np.ones(b), True)
        result = ops.matmul(x, y)
        assert_close(host(result), np.ones(a) @ np.ones(b), 0, 0)
        result.sum().backward()
        assert host(x.grad).shape == a
        assert host(y.grad).shape == b
    empty = ops.linear(ops.zeros(0, 3, requires_grad=True), ops.ones(2, 3), ops.ones(2))
    assert host(empty).shape == (0, 2)
    assert host(ops.einsum("ij,jk->ik", ops.zeros(2, 0), ops.zeros(0, 3))).shape == (2, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lies", ["by rows", "by columns", "broadcast"])
@pytest.mark.parametrize("sizes", [(16, 12), (12, 5), (70, 33)])
def test_a_sample_alone_has_the_bits_that_it_has_in_a_batch(sizes, lies, dtype):
    rng, (inputs, outputs) = np.random.default_rng(0), sizes
    weight = ops.tensor(rng.standard_normal((outputs, inputs)).astype(dtype))
    x = rng.standard_normal((7, inputs)).astype(dtype)
    dy = rng.standard_normal((7, outputs)).astype(dtype)
    if lies == "by columns":
        x, dy = np.asfortranarray(x), np.asfortranarray(dy)
    elif lies == "broadcast":
        dy = np.broadcast_to(dy[:, :1], dy.shape)

    def run(first, last):
        part = ops.from_numpy(x[first:last]).requires_grad_(True)
        y = ops.linear(part, weight)
        y.backward(ops.from_numpy(dy[first:last].copy("K")))
        return y.numpy(force=True), part.grad.numpy()

    with config.override(backend="numba"):
        together = run(0, 7)
        for sample in range(7):
            for one, all_of_them in zip(run(sample, sample + 1), together, strict=True):
                assert np.array_equal(one[0], all_of_them[sample])


def test_integers_multiply_exactly(backend):
    a = ops.arange(6).reshape(2, 3)
    assert (a @ a.T).tolist() == [[5, 14], [14, 50]]


def test_half_precision_sums_in_float32():
    x = ops.full((1, 4096), 0.1).half()
    y = x @ x.T
    assert y.dtype.name == "float16"
    assert abs(y.item() - 4096 * float(x[0, 0]) ** 2) < 0.05


def test_only_the_wanted_gradients_are_computed():
    x, w = ops.ones(2, 3), ops.ones(4, 3, requires_grad=True)
    ops.linear(x, w, ops.ones(4)).sum().backward()
    assert w.grad.tolist() == [[2.0] * 3] * 4
    assert x.grad is None


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.ones(2, 3) @ ops.ones(2, 3), ShapeError,
         r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit: the inner sizes 3 and 2 differ"),
        (lambda: ops.ones(3) @ ops.ones(2), ShapeError, "inner sizes"),
        (lambda: ops.tensor(1.0) @ ops.ones(2), ShapeError, "scalar"),
        (lambda: ops.ones(2, 2, 3) @ ops.ones(3, 3, 2), ShapeError, "stacks do not broadcast"),
        (lambda: ops.ones(2, 3) @ ops.ones(3, 2).double(), DTypeError, r"float32 but .*float64"),
        (lambda: ops.ones(2, 3) @ [1], DTypeError, "matmul: argument 'other'"),
        (lambda: ops.mm(ops.ones(2), ops.ones(2)), ShapeError, "mm: .* 2 and 2 dimensions"),
        (lambda: ops.bmm(ops.ones(2, 1, 1), ops.ones(3, 1, 1)), ShapeError, "first sizes differ"),
        (lambda: ops.dot(ops.ones(2, 2), ops.ones(2)), ShapeError, "dot: "),
        (lambda: ops.linear(ops.ones(2, 3), ops.ones(4, 2)), ShapeError,
         r"weight of shape \(4, 2\) .* input of shape \(2, 3\)"),
        (lambda: ops.linear(ops.ones(2, 3), ops.ones(4, 3), ops.ones(3)), ShapeError,
         r"bias must have shape \(4,\)"),
        (lambda: ops.einsum("ij,jk->ik", ops.ones(2, 3), ops.ones(2, 3)), ShapeError,
         r"'j' .* sizes 3 and 2; the operands have shapes \(2, 3\) and \(2, 3\)"),
        (lambda: ops.einsum("ij", ops.ones(2)), ShapeError, "term 'ij'"),
        (lambda: ops.einsum("i", ops.ones(2, 2)), ShapeError, "term 'i'"),
        (lambda: ops.einsum("i,i", ops.ones(2)), ArgumentError, "names 2 operands, got 1"),
        (lambda: ops.einsum("i->k", ops.ones(2)), ArgumentError, "must name dimensions"),
        (lambda: ops.einsum("i->ii", ops.ones(2)), ArgumentError, "each once"),
        (lambda: ops.einsum("i1->i", ops.ones(2, 2)), ArgumentError, "only contain letters"),
        (lambda: ops.einsum("ii", ops.ones(2, 3)), ShapeError, "occurs twice|sizes"),
        (lambda: ops.diagonal(ops.ones(2, 2), 0, 1, -1), ArgumentError, "both 1"),
        (lambda: ops.tril(ops.ones(2)), ShapeError, "at least 2 dimensions"),
        (lambda: ops.trace(ops.ones(2)), ShapeError, "matrix"),
    ],
)  # fmt: skip
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
