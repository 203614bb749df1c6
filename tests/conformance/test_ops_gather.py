"""Picking, adding and writing at integer indices, and masks."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import DTypeError, IndexRangeError, ShapeError

ROWS = np.array([2, 0, 2, 1])
GRID = np.array([[0, 2, 1], [1, 1, 0]])
MASK = np.array([[True, False, True], [False, False, True], [False, True, True]])


def np_scatter(x, index, src, add=False):
    out = x.copy()
    for (i, j), row in np.ndenumerate(index):
        out[row, j] = src[i, j] + (out[row, j] if add else 0)
    return out


CASES = [
    OpCase("index_select", lambda x, i: ops.index_select(x, 0, i), [(3, 4), ROWS],
           lambda x, i: x[i]),
    OpCase("index_select dim 1", lambda x, i: ops.index_select(x, 1, i), [(2, 3, 2), ROWS],
           lambda x, i: x[:, i], zero_size=False),
    OpCase("index_select negative", lambda x, i: ops.index_select(x, -1, i), [(2, 3), ROWS - 3],
           lambda x, i: x[:, i]),
    OpCase("take", ops.take, [(2, 3), GRID + 3], lambda x, i: x.reshape(-1)[i]),
    OpCase("gather", lambda x, i: ops.gather(x, 0, i), [(3, 3), GRID],
           lambda x, i: np.take_along_axis(x, i, 0)),
    OpCase("gather smaller index", lambda x, i: ops.gather(x, 0, i), [(3, 5), GRID],
           lambda x, i: np.take_along_axis(x[:, :3], i, 0)),
    OpCase("gather 3-d", lambda x, i: ops.gather(x, -1, i), [(2, 3, 4), GRID[:, :, None] + 1],
           lambda x, i: np.take_along_axis(x, i, -1)),
    OpCase("take_along_dim", lambda x, i: ops.take_along_dim(x, i, 1), [(2, 4), GRID[:1]],
           lambda x, i: np.take_along_axis(x, np.repeat(i, 2, 0), 1)),
    OpCase("take_along_dim flat", ops.take_along_dim, [(2, 4), GRID],
           lambda x, i: x.reshape(-1)[i.reshape(-1)]),
    OpCase("repeat_interleave", lambda x: ops.repeat_interleave(x, 2, 1), [(2, 3)],
           lambda x: np.repeat(x, 2, 1), zero_size=True),
    OpCase("repeat_interleave counts", lambda x, n: x.repeat_interleave(n, dim=0),
           [(3, 2), np.array([2, 0, 1])], lambda x, n: np.repeat(x, n, 0)),
    OpCase("repeat_interleave flat", lambda x: ops.repeat_interleave(x, 3), [(2, 2)],
           lambda x: np.repeat(x, 3)),
    OpCase("scatter_add", lambda x, i, s: ops.scatter_add(x, 0, i, s), [(3, 3), GRID, (2, 3)],
           lambda x, i, s: np_scatter(x, i, s, add=True)),
    OpCase("scatter_add larger src", lambda x, i, s: ops.scatter_add(x, 0, i, s),
           [(3, 4), GRID, (3, 4)], lambda x, i, s: np_scatter(x, i, s, add=True)),
    OpCase("scatter", lambda x, i, s: ops.scatter(x, 0, i, s), [(3, 3), GRID, (2, 3)], np_scatter),
    OpCase("scatter repeats", lambda x, i, s: ops.scatter(x, 0, i, s),
           [(3, 2), np.array([[1, 1], [1, 0], [1, 1]]), (3, 2)], np_scatter),
    OpCase("scatter value", lambda x, i: ops.scatter(x, 0, i, value=7.0), [(3, 3), GRID],
           lambda x, i: np_scatter(x, i, np.full((2, 3), 7.0))),
    OpCase("index_add", lambda x, i, s: ops.index_add(x, 1, i, s, alpha=2), [(2, 3), ROWS, (2, 4)],
           lambda x, i, s: x + 2 * s @ np.eye(3)[i]),
    OpCase("index_fill", lambda x: ops.index_fill(x, 1, x.new_tensor([0, -1]).long(), 5.0),
           [(2, 3)], lambda x: np.stack([[5.0, row[1], 5.0] for row in x])),
    OpCase("masked_fill", lambda x, m: ops.masked_fill(x, m, 9.0), [(3, 3), MASK],
           lambda x, m: np.where(m, 9.0, x), zero_size=True),
    OpCase("masked_fill broadcast", lambda x, m: ops.masked_fill(x, m, 9), [(2, 3, 3), MASK],
           lambda x, m: np.where(m, 9.0, x)),
    OpCase("masked_fill tensor", lambda x, m, v: ops.masked_fill(x, m, v), [(3, 3), MASK, ()],
           lambda x, m, v: np.where(m, v, x)),
    OpCase("masked_select", ops.masked_select, [(3, 3), MASK], lambda x, m: x[m], zero_size=True),
    OpCase("masked_select broadcast", ops.masked_select, [(3,), MASK],
           lambda x, m: np.broadcast_to(x, (3, 3))[m]),
    OpCase("nonzero", ops.nonzero, [MASK], lambda m: np.argwhere(m), gradient=False),
    OpCase("nonzero tuple", lambda m: ops.nonzero(m, as_tuple=True), [MASK],
           lambda m: np.nonzero(m), gradient=False),
]  # fmt: skip


class TestGather(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("index", [3, -4, 100])
def test_out_of_range_names_index_dim_and_size(index, backend):
    x, where = ops.zeros(2, 3), ops.tensor([0, index])
    message = f"index {index} is out of range for dimension 1 of size 3"
    for call in (
        lambda: ops.index_select(x, 1, where),
        lambda: ops.gather(x, 1, where.reshape(1, 2)),
        lambda: ops.scatter(x, 1, where.reshape(1, 2), value=1.0),
        lambda: ops.scatter_add(x, 1, where.reshape(1, 2), ops.ones(1, 2)),
        lambda: x[:, where],
    ):
        with pytest.raises(IndexRangeError, match=message):
            call()


def test_wrong_dtypes_and_shapes_raise():
    x = ops.zeros(2, 3)
    with pytest.raises(DTypeError, match=r"signed integer dtype, got .*float32"):
        ops.index_select(x, 0, ops.ones(1))
    with pytest.raises(DTypeError, match="uint8"):
        ops.gather(x, 0, ops.zeros(1, 3).byte())
    with pytest.raises(DTypeError, match="'mask' must be bool"):
        ops.masked_fill(x, ops.ones(2, 3), 0)
    with pytest.raises(DTypeError, match=r"1\.5 does not fit"):
        ops.masked_fill(ops.arange(3), ops.arange(3) > 0, 1.5)
    with pytest.raises(ShapeError, match="as many dimensions"):
        ops.gather(x, 0, ops.tensor([0]))
    with pytest.raises(ShapeError, match="no larger except along dim=1"):
        ops.gather(x, 1, ops.tensor([[0], [0], [0]]))
    with pytest.raises(ShapeError, match="src of shape"):
        ops.scatter(x, 0, ops.tensor([[0, 1]]), ops.ones(1, 1))
    with pytest.raises(ShapeError, match="masked_fill: value must have 0 dimensions"):
        ops.masked_fill(x, x == 0, ops.ones(3))


def test_nan_is_kept_out_and_kept_in(backend):
    x = ops.tensor([float("nan"), 1.0, 2.0])
    assert ops.scatter(x, 0, ops.tensor([0]), ops.tensor([5.0])).tolist() == [5.0, 1.0, 2.0]
    written = ops.scatter(ops.zeros(2), 0, ops.tensor([1]), ops.tensor([float("nan")]))
    assert written[0].item() == 0.0
    assert np.isnan(written[1].item())


def test_bool_and_integer_tensors(backend):
    mask = ops.tensor([True, False, True])
    at = ops.tensor([2, 1])
    assert ops.scatter(mask, 0, at, ops.tensor([False, True])).tolist() == [True, True, False]
    assert ops.index_select(mask, 0, at).tolist() == [True, False]
    counts = ops.zeros(3, dtype="int64")
    assert ops.scatter_add(counts, 0, ops.tensor([1, 1, 0]), ops.arange(3)).tolist() == [2, 1, 0]


def test_in_place_twins(backend):
    x = ops.zeros(2, 2)
    x.masked_fill_(ops.tensor([[True, False], [False, False]]), 3.0)
    x.scatter_(1, ops.tensor([[1]]), 4.0)
    x.scatter_add_(0, ops.tensor([[1]]), ops.ones(1, 1))
    x.index_add_(1, ops.tensor([1]), ops.ones(2, 1))
    assert x.tolist() == [[3.0, 5.0], [1.0, 1.0]]


def test_nonzero_of_scalars():
    assert host(ops.tensor(3).nonzero()).shape == (1, 0)
    assert host(ops.tensor(0).nonzero()).shape == (0, 0)
    assert ops.tensor(3).nonzero(as_tuple=True)[0].tolist() == [0]


def test_scatter_gradient_matches_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    index = np.array([[0, 1, 2, 0], [1, 2, 0, 1]])
    ours = [tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    (ops.scatter(ours[0], 0, tensor(index), ours[1]) ** 3).sum().backward()
    (torch.scatter(theirs[0], 0, torch.tensor(index), theirs[1]) ** 3).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(host(a.grad), b.grad.numpy(), rtol=1e-12)
