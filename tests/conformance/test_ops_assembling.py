"""Stacking, splitting, diagonals and turns, against NumPy's functions of the same names."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

A = (2, 3, 4)


def _together(name, *shapes, **options):
    """Return the case of an op that takes a sequence."""
    return OpCase(f"{name} {shapes}", lambda *x: getattr(ops, name)(x), shapes,
                  lambda *x: getattr(np, name)(x), **options)  # fmt: skip


def _pieces(name, shape, sections, *dim):
    numpy_name = "array_split" if name == "tensor_split" else name
    return OpCase(f"{name} {sections} {dim}", lambda x: getattr(ops, name)(x, sections, *dim),
                  [shape], lambda x: tuple(getattr(np, numpy_name)(x, sections, *dim)))  # fmt: skip


def _embedded(x, offset=0):
    size = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], size, size))
    for index in np.ndindex(x.shape):
        *batch, i = index
        y[(*batch, i - min(offset, 0), i + max(offset, 0))] = x[index]
    return y


linalg = pytest.importorskip("scipy.linalg")

CASES = [
    OpCase("atleast_1d", ops.atleast_1d, [()], np.atleast_1d),
    OpCase("atleast_2d", ops.atleast_2d, [(3,)], np.atleast_2d),
    OpCase("atleast_3d", ops.atleast_3d, [(3,)], np.atleast_3d),
    OpCase("atleast_3d matrix", ops.atleast_3d, [(3, 2)], np.atleast_3d),
    OpCase("atleast_2d many", ops.atleast_2d, [(), (2, 3)], lambda x, y: np.atleast_2d(x, y)),
    OpCase("atleast_1d list", lambda *x: ops.atleast_1d(x), [(), (2,)],
           lambda x, y: np.atleast_1d(x, y)),
    _together("hstack", (2, 3), (2, 1), zero_size=True),
    _together("hstack", (2,), ()),
    _together("vstack", (3,), (2, 3)),
    _together("dstack", (2, 3), (2, 3)),
    _together("dstack", (3,), (3,)),
    _together("column_stack", (3,), (3, 2), zero_size=True),
    _pieces("tensor_split", A, 3),
    _pieces("tensor_split", A, 3, 2),
    _pieces("tensor_split", A, 5, 1),
    _pieces("tensor_split", A, (1, 3, -1), -1),
    _pieces("tensor_split", A, (3, 1), 2),
    _pieces("hsplit", (2, 4), 2),
    _pieces("hsplit", (4,), (1, 3)),
    _pieces("vsplit", (4, 2), 2),
    _pieces("dsplit", A, (1,)),
    OpCase("diag of vector", ops.diag, [(3,)], np.diag),
    OpCase("diag above", lambda x: ops.diag(x, 2), [(3,)], lambda x: np.diag(x, 2)),
    OpCase("diag below", lambda x: ops.diag(x, -1), [(3,)], lambda x: np.diag(x, -1)),
    OpCase("diag of matrix", lambda x: ops.diag(x, 1), [(3, 4)], lambda x: np.diag(x, 1)),
    OpCase("diagflat", lambda x: ops.diagflat(x, 1), [(2, 2)], lambda x: np.diagflat(x, 1)),
    OpCase("diag_embed", ops.diag_embed, [(2, 3)], _embedded, zero_size=True),
    OpCase("diag_embed below", lambda x: ops.diag_embed(x, -2), [A], lambda x: _embedded(x, -2)),
    OpCase("diag_embed dims", lambda x: ops.diag_embed(x, 1, 0, 2), [A],
           lambda x: np.moveaxis(_embedded(x, 1), (-2, -1), (0, 2))),
    OpCase("fliplr", ops.fliplr, [A], np.fliplr, zero_size=True),
    OpCase("flipud", ops.flipud, [A], np.flipud),
    *[
        OpCase(f"rot90 {k} {dims}", lambda x, k=k, dims=dims: ops.rot90(x, k, dims), [A],
               lambda x, k=k, dims=dims: np.rot90(x, k, dims))
        for k in (-1, 0, 1, 2, 3, 5) for dims in ((0, 1), (2, 0), (-1, 1))
    ],
    OpCase("block_diag", ops.block_diag, [(2, 3), (2,), ()], linalg.block_diag),
]  # fmt: skip


class TestAssembling(OpSuite):
    CASES = CASES


def test_nan_does_not_leave_the_diagonal():
    y = host(ops.diag(tensor(np.array([1.0, np.nan]))))
    np.testing.assert_array_equal(y, [[1, 0], [0, np.nan]])


def test_rot90_never_shares_memory(backend):
    x = tensor(np.ones((2, 2)))
    y = ops.rot90(x, 4)
    y += 1
    np.testing.assert_array_equal(host(x), np.ones((2, 2)))


def test_pieces_are_views(backend):
    if backend == "strict":
        pytest.skip("array-api-strict shares no memory")
    x = tensor(np.zeros((2, 4)))
    ops.hsplit(x, 2)[1].add_(1)
    np.testing.assert_array_equal(host(x), [[0, 0, 1, 1]] * 2)


def zeros(*shape):
    return tensor(np.zeros(shape))


@pytest.mark.parametrize(
    ("error", "part", "call"),
    [
        (ArgumentError, "at least one", lambda: ops.hstack([])),
        (ArgumentError, "at least 1, got 0", lambda: ops.tensor_split(zeros(3), 0)),
        (ShapeError, "at least 1 dimension", lambda: ops.tensor_split(zeros(), 1)),
        (DTypeError, "ints", lambda: ops.tensor_split(zeros(3), (1.5,))),
        (ArgumentError, "3 equal pieces", lambda: ops.vsplit(zeros(4, 2), 3)),
        (ShapeError, "at least 3 dimensions", lambda: ops.dsplit(zeros(4, 2), 2)),
        (ShapeError, "at least 1 dim", lambda: ops.hsplit(zeros(), 2)),
        (ShapeError, "vector or a matrix", lambda: ops.diag(zeros(2, 2, 2))),
        (ShapeError, "1 dimension", lambda: ops.diag_embed(zeros())),
        (ArgumentError, "both 1", lambda: ops.diag_embed(zeros(2), 0, 1, -1)),
        (ArgumentError, "two different", lambda: ops.rot90(zeros(2, 2), 1, (0, -2))),
        (ShapeError, "at least 2", lambda: ops.fliplr(zeros(2))),
        (ShapeError, "block_diag", lambda: ops.block_diag(zeros(2, 2, 2))),
        (ShapeError, "block_diag", lambda: ops.block_diag()),
    ],
)
def test_errors(error, part, call):
    with pytest.raises(error, match=part):
        call()
