"""Other values at indices, under masks and in views, out of place; windows along a dimension."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

import tinyconv as tc
from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, InPlaceError, ShapeError

ROWS = np.array([2, 0, 2])
MASK = np.array([[True, False, True], [False, False, True]])


def written(x, key, value, add=False):
    out = x.copy()
    if add:
        np.add.at(out, key, value)
    else:
        out[key] = value
    return out


def diagonal_written(x, value, offset=0, dim1=0, dim2=1):
    out = np.moveaxis(x.copy(), (dim1, dim2), (-2, -1))
    for k in range(value.shape[-1]):
        out[..., k + max(-offset, 0), k + max(offset, 0)] = value[..., k]
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


CASES = [
    OpCase("index_copy", lambda x, s: ops.index_copy(x, 0, tensor(ROWS), s), [(4, 2), (3, 2)],
           lambda x, s: written(x, ROWS, s)),
    OpCase("index_copy dim -1", lambda x, s: ops.index_copy(x, -1, tensor(ROWS - 3), s),
           [(2, 3), (2, 3)], lambda x, s: written(x, (slice(None), ROWS), s)),
    OpCase("index_put", lambda x, v: ops.index_put(x, (tensor(ROWS), tensor(ROWS[:1])), v),
           [(3, 4, 2), (2,)], lambda x, v: written(x, (ROWS, ROWS[:1]), v)),
    OpCase("index_put accumulate",
           lambda x, v: ops.index_put(x, [tensor(ROWS), tensor(ROWS + 1)], v, accumulate=True),
           [(3, 4, 2), (3, 1)], lambda x, v: written(x, (ROWS, ROWS + 1), v, add=True)),
    OpCase("index_put mask", lambda x, v: ops.index_put(x, (tensor(MASK),), v, True),
           [(2, 3, 2), ()], lambda x, v: written(x, MASK, v, add=True)),
    OpCase("index_put scalar index", lambda x, v: ops.index_put(x, (tensor(np.array(1)),), v),
           [(3, 2), (2,)], lambda x, v: written(x, 1, v)),
    OpCase("put", lambda x, s: ops.put(x, tensor(ROWS - 3), s), [(2, 3), (3, 1)],
           lambda x, s: written(x.reshape(-1), ROWS - 3, s[:, 0]).reshape(2, 3)),
    OpCase("put accumulate", lambda x, s: ops.put(x, tensor(ROWS), s, accumulate=True),
           [(2, 3), (3,)],
           lambda x, s: written(x.reshape(-1), ROWS, s, add=True).reshape(2, 3)),
    OpCase("masked_scatter", lambda x, s: ops.masked_scatter(x, tensor(MASK), s),
           [(2, 3), (2, 2)], lambda x, s: written(x, MASK, s.reshape(-1)[:3])),
    OpCase("masked_scatter broadcast", lambda x, s: ops.masked_scatter(x, tensor(MASK), s),
           [(3,), (4,)], lambda x, s: written(np.stack([x, x]), MASK, s[:3])),
    OpCase("masked_scatter broadcast mask", lambda x, s: x.masked_scatter(tensor(MASK[0]), s),
           [(2, 3), (4,)],
           lambda x, s: written(x, (slice(None), MASK[0]), s.reshape(2, 2))),
    OpCase("select_scatter", lambda x, s: ops.select_scatter(x, s, 1, -1), [(2, 3, 2), (2, 2)],
           lambda x, s: written(x, (slice(None), 2), s)),
    OpCase("slice_scatter", lambda x, s: ops.slice_scatter(x, s, 1, 1, None, 2),
           [(2, 5), (2, 2)], lambda x, s: written(x, (slice(None), slice(1, None, 2)), s)),
    OpCase("slice_scatter negative", lambda x, s: ops.slice_scatter(x, s, -2, -2, 100),
           [(4, 2), (2, 2)], lambda x, s: written(x, slice(2, 4), s)),
    OpCase("slice_scatter empty", lambda x, s: ops.slice_scatter(x, s, 0, 3, 1),
           [(4, 2), (0, 2)], lambda x, s: x),
    OpCase("diagonal_scatter", ops.diagonal_scatter, [(3, 4), (3,)], diagonal_written),
    OpCase("diagonal_scatter offset", lambda x, s: ops.diagonal_scatter(x, s, -1, 2, 0),
           [(4, 2, 3), (2, 2)], lambda x, s: diagonal_written(x, s, -1, 2, 0)),
    OpCase("unfold", lambda x: x.unfold(0, 3, 2), [(8,)],
           lambda x: np.stack([x[0:3], x[2:5], x[4:7]])),
    OpCase("unfold middle", lambda x: x.unfold(-2, 2, 1), [(2, 4, 3)],
           lambda x: np.stack([x[:, k : k + 3] for k in range(2)], -1)),
    OpCase("unfold apart", lambda x: x.unfold(1, 2, 3), [(2, 6)],
           lambda x: np.stack([x[:, 0:2], x[:, 3:5]], 1)),
    OpCase("unfold one long window", lambda x: x.unfold(1, 4, 1), [(2, 5)],
           lambda x: np.stack([x[:, 0:4], x[:, 1:5]], 1)),
    OpCase("unfold empty windows", lambda x: x.unfold(0, 0, 2), [(4,)],
           lambda x: np.zeros((3, 0))),
]  # fmt: skip


class TestOverwriting(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("shape", [(5, 2), (2, 5), (3, 3), (3, 3, 3), (7, 2), (0, 2), (1, 1)])
@pytest.mark.parametrize("wrap", [True, False])
def test_fill_diagonal_matches_numpy(shape, wrap, backend):
    expected = np.zeros(shape)
    np.fill_diagonal(expected, 3.0, wrap=wrap)
    x = tensor(np.zeros(shape))
    assert x.fill_diagonal_(3.0, wrap) is x
    np.testing.assert_array_equal(host(x), expected)


def test_fill_diagonal_gradient_and_dtype(backend):
    leaf = tensor(np.ones((2, 3)), True)
    (leaf * 2).fill_diagonal_(7.0).sum().backward()
    assert leaf.grad.tolist() == [[0.0, 2.0, 2.0], [2.0, 0.0, 2.0]]
    assert ops.zeros(2, 2, dtype="int64").fill_diagonal_(1.9).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ShapeError, match=r"one size, got shape \(3, 2, 2\)"):
        ops.zeros(3, 2, 2).fill_diagonal_(1)
    with pytest.raises(ShapeError, match="at least 2 dimensions"):
        ops.zeros(3).fill_diagonal_(1)


def test_windows_are_a_view():
    x = tc.arange(6.0)
    pairs = x.unfold(0, 2, 2)
    pairs[1] = 9.0
    assert x.tolist() == [0.0, 1.0, 9.0, 9.0, 4.0, 5.0]
    overlapping = x.unfold(0, 3, 1)
    x[0] = 7.0
    assert overlapping[0, 0].item() == 7.0
    with pytest.raises(InPlaceError, match="cannot be written"):
        overlapping.zero_()


def test_gradient_of_a_write_into_windows():
    leaf = tc.ones(5, requires_grad=True)
    y = leaf * 2
    y.unfold(0, 2, 2)[0].mul_(3)
    y.sum().backward()
    assert leaf.grad.tolist() == [6.0, 6.0, 2.0, 2.0, 2.0]


def test_in_place_twins(backend):
    x = ops.zeros(2, 3)
    x.index_copy_(1, ops.tensor([2]), ops.ones(2, 1))
    x.index_put_((ops.tensor([0, 0]), ops.tensor([0, 0])), ops.tensor(2.0), accumulate=True)
    x.put_(ops.tensor([-2]), ops.tensor([5.0]))
    x.masked_scatter_(ops.tensor([[False, True, False]]), ops.tensor([7.0, 8.0]))
    assert x.tolist() == [[4.0, 7.0, 1.0], [0.0, 8.0, 1.0]]
    x.tril_()
    assert x.tolist() == [[4.0, 0.0, 0.0], [0.0, 8.0, 0.0]]
    x.triu_(1)
    assert x.tolist() == [[0.0] * 3] * 2


def test_bools_and_scalars(backend):
    flags, twice = ops.tensor([True, False]), ops.tensor([1, 1])
    yes = ops.tensor([True, True])
    assert ops.put(flags, twice, yes, accumulate=True).tolist() == [True, True]
    assert ops.index_put(flags, (twice,), yes, accumulate=True).tolist() == [True, True]
    assert ops.index_copy(flags, 0, twice, yes).tolist() == [True, True]
    number = ops.index_copy(ops.tensor(0.0), 0, ops.tensor([0]), ops.tensor([1.0]))
    assert (number.item(), number.ndim) == (1.0, 0)
    assert ops.index_copy(ops.zeros(2), 0, ops.tensor(1), ops.tensor(5.0)).tolist() == [0.0, 5.0]
    assert ops.tensor(3.0).unfold(0, 1, 1).tolist() == [3.0]


def test_narrow_copy_and_split_with_sizes(backend):
    x = ops.arange(5)
    part = ops.narrow_copy(x, 0, 1, 2)
    x[1] = 9
    assert part.tolist() == [1, 2]
    assert [p.tolist() for p in ops.split_with_sizes(x, [1, 4])] == [[0], [9, 2, 3, 4]]


def test_random_index_put_matches_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for _ in range(60):
        x = rng.normal(size=(3, 4, 2))
        count = int(rng.integers(1, 4))
        keys = [rng.integers(-n, n, [(3,), (2, 1), (1,)][rng.integers(3)]) for n in x.shape[:count]]
        value = rng.normal(size=x[tuple(np.broadcast_arrays(*keys))].shape)
        both = (
            [tensor(a, True) for a in (x, value)],
            [torch.tensor(a, requires_grad=True) for a in (x, value)],
        )
        ours = ops.index_put(both[0][0], [tensor(k) for k in keys], both[0][1], True)
        theirs = torch.index_put(both[1][0], [torch.tensor(k) for k in keys], both[1][1], True)
        np.testing.assert_allclose(host(ours), theirs.detach().numpy(), rtol=1e-12)
        (ours**2).sum().backward()
        (theirs**2).sum().backward()
        for a, b in zip(*both, strict=True):
            np.testing.assert_allclose(host(a.grad), b.grad.numpy(), rtol=1e-12)


X = (2, 3)
I = np.array([0, 5])  # noqa: E741


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x, i, v: ops.put(x, i + 1, v), IndexRangeError, "index 6 .* of size 6"),
        (lambda x, i, v: ops.put(x, i, v[:1]), ShapeError, "as many elements, got 1 and 2"),
        (lambda x, i, v: ops.put(x, i, v.long()), DTypeError, "put: argument 'source' is .*int64"),
        (lambda x, i, v: ops.index_copy(x, 1, i, x), IndexRangeError, "index 5 .* size 3"),
        (lambda x, i, v: ops.index_copy(x, 0, i[:1], v), ShapeError, r"shape \(1, 3\), got \(2,\)"),
        (lambda x, i, v: ops.index_copy(x, 0, i, v.double()), DTypeError, "'source' is"),
        (lambda x, i, v: ops.index_put(x, i, v), DTypeError, "sequence of tensors, got a Tensor"),
        (lambda x, i, v: ops.index_put(x, (), v), ArgumentError, "at least one"),
        (lambda x, i, v: ops.index_put(x, (i,), v), IndexRangeError, "index 5 .* size 2"),
        (lambda x, i, v: ops.index_put(x, (i[:1],), v), ShapeError, "index_put: a value of shape"),
        (lambda x, i, v: ops.index_put(x, (None,), v), DTypeError, r"indices\[0\]"),
        (lambda x, i, v: ops.masked_scatter(x, x == 0, v), ShapeError, "6 true .* only 2"),
        (lambda x, i, v: ops.masked_scatter(x, x, v), DTypeError, "'mask' must be bool"),
        (lambda x, i, v: ops.masked_scatter(x, x == 0, i), DTypeError, "'source' is"),
        (lambda x, i, v: ops.select_scatter(x, v, 1, 3), IndexRangeError, "index 3 .* size 3"),
        (lambda x, i, v: ops.select_scatter(x, v, 0, 1), ShapeError, r"\(3,\), got \(2,\)"),
        (lambda x, i, v: ops.select_scatter(x[0, 0], v, 0, 0), ShapeError, "0 dimensions"),
        (lambda x, i, v: ops.slice_scatter(x, v), ShapeError, r"\(2, 3\), got \(2,\)"),
        (lambda x, i, v: ops.slice_scatter(x, x, step=0), ArgumentError, "step .* positive"),
        (lambda x, i, v: ops.slice_scatter(x[0, 0], v), ShapeError, "0 dimensions"),
        (lambda x, i, v: ops.diagonal_scatter(x, v, 2), ShapeError, r"\(1,\), got \(2,\)"),
        (lambda x, i, v: ops.diagonal_scatter(x, v, 0, 1, 1), ArgumentError, "dim1 and dim2"),
        (lambda x, i, v: x.unfold(0, 3, 1), ArgumentError, "size=3 must be from 0 to 2"),
        (lambda x, i, v: x.unfold(0, -1, 1), ArgumentError, "size=-1"),
        (lambda x, i, v: x.unfold(0, 1, 0), ArgumentError, "step must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(ops.zeros(*X), tensor(I), ops.ones(2))
