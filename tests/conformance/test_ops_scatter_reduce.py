"""Combining elements at integer indices: sums, products, means, extremes."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

REDUCE = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}
GRID = np.array([[0, 2, 1, 0], [0, 2, 0, 0], [0, 0, 0, 3]])
ROWS = np.array([2, 0, 2, 2])


def np_scatter_reduce(x, index, src, dim, reduce, include_self):
    """Combine, place by place, what goes there."""
    groups = {place: [value] if include_self else [] for place, value in np.ndenumerate(x)}
    for place, target in np.ndenumerate(index):
        target = (*place[:dim], target, *place[dim + 1 :])
        groups[target].append(src[place])
    out = x.copy()
    for place, values in groups.items():
        if values:
            out[place] = REDUCE[reduce](values)
    return out


def np_index_reduce(x, index, source, dim, reduce, include_self):
    out = np.moveaxis(x.copy(), dim, 0)
    slices = np.moveaxis(source, dim, 0)
    for i in set(index.tolist()):
        values = [s for s, target in zip(slices, index, strict=True) if target == i]
        out[i] = REDUCE[reduce]([out[i]] * include_self + values, axis=0)
    return np.moveaxis(out, 0, dim)


def scatter_case(reduce, include_self, dim, shape, src, index=GRID):
    return OpCase(
        f"scatter_reduce {reduce} {include_self} dim {dim}",
        lambda x, i, s: ops.scatter_reduce(x, dim, i, s, reduce, include_self=include_self),
        [shape, index, src],
        lambda x, i, s: np_scatter_reduce(x, i, s, dim, reduce, include_self),
        distinct=True,
    )


def index_case(reduce, include_self, dim):
    shape, source = ([3, 2], [4, 2]) if dim == 0 else ([2, 3, 2], [2, 4, 2])
    return OpCase(
        f"index_reduce {reduce} {include_self} dim {dim}",
        lambda x, i, s: ops.index_reduce(x, dim, i, s, reduce, include_self=include_self),
        [shape, ROWS, source],
        lambda x, i, s: np_index_reduce(x, i, s, dim, reduce, include_self),
        distinct=True,
    )


ZEROS = np.array([[2.0, 0, 3, 0], [5, 0, 0, 7], [1, 2, 0, 0]])
PROD = OpCase(
    "scatter_reduce prod with zeros",
    lambda x, s: ops.scatter_reduce(x, 0, tensor(GRID), s, "prod"),
    [np.array([[0.5, 0, 1, 0], [0, 2, 3, 4], [1, 1, 1, 1], [3, 0, 0, 2]]), ZEROS],
    lambda x, s: np_scatter_reduce(x, GRID, s, 0, "prod", True),
)


class TestScatterReduce(OpSuite):
    CASES = [
        *[scatter_case(reduce, own, 0, (4, 4), (3, 4)) for reduce in REDUCE for own in (1, 0)],
        *[scatter_case(reduce, own, -1 % 2, (3, 4), (4, 5)) for reduce in REDUCE for own in (1, 0)],
        *[
            index_case(reduce, own, dim)
            for reduce in list(REDUCE)[1:]
            for own in (1, 0)
            for dim in (0, 1)
        ],
        PROD,
        OpCase("scatter add", lambda x, i, s: ops.scatter(x, 0, i, s, reduce="add"),
               [(4, 4), GRID, (3, 4)],
               lambda x, i, s: np_scatter_reduce(x, i, s, 0, "sum", True)),
        OpCase("scatter multiply by a number",
               lambda x, i: ops.scatter(x, 0, i, 3.0, reduce="multiply"), [(4, 4), GRID],
               lambda x, i: np_scatter_reduce(x, i, np.full((3, 4), 3.0), 0, "prod", True)),
    ]  # fmt: skip


@pytest.mark.parametrize("reduce", REDUCE)
def test_many_elements_in_few_places(reduce, backend):
    rng = np.random.default_rng(0)
    index = np.minimum(rng.integers(0, 40, 300), 20)  # place 20 gets half of them
    x, src = rng.uniform(0.9, 1.1, 50), rng.uniform(0.9, 1.1, 300)
    for own in (True, False):
        ours = ops.scatter_reduce(
            tensor(x), 0, tensor(index), tensor(src), reduce, include_self=own
        )
        expected = np_scatter_reduce(x, index, src, 0, reduce, own)
        np.testing.assert_allclose(host(ours), expected, rtol=1e-12)


@pytest.mark.parametrize("reduce", REDUCE)
@pytest.mark.parametrize("own", [True, False])
def test_ties_zeros_and_gradients_match_torch(reduce, own):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for _ in range(10):
        x, src = rng.integers(-1, 3, (5, 3)) * 1.0, rng.integers(-1, 3, (8, 3)) * 1.0
        if not own:
            x += 0.5  # PyTorch lets an element that does not count take part in a tie
        index = rng.integers(0, 5, (8, 3))
        ours = [tensor(a, requires_grad=True) for a in (x, src)]
        theirs = [torch.tensor(a, requires_grad=True) for a in (x, src)]
        a = ops.scatter_reduce(ours[0], 0, tensor(index), ours[1], reduce, include_self=own)
        b = torch.scatter_reduce(
            theirs[0], 0, torch.tensor(index), theirs[1], reduce, include_self=own
        )
        np.testing.assert_allclose(host(a), b.detach().numpy())
        weight = rng.normal(size=(5, 3))
        (a * tensor(weight)).sum().backward()
        (b * torch.tensor(weight)).sum().backward()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(host(p.grad), q.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_an_element_that_does_not_count_takes_no_gradient(backend):
    x, src = tensor(np.array([5.0, 1.0]), True), tensor(np.array([5.0, 5.0]), True)
    index = ops.tensor([0, 0])
    ops.scatter_reduce(x, 0, index, src, "amax", include_self=False).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]
    assert src.grad.tolist() == [0.5, 0.5]


def test_integers_and_bools(backend):
    x, index = ops.tensor([-7, 5]), ops.tensor([0, 0])
    src = ops.tensor([2, 1])
    reduced = {r: ops.scatter_reduce(x, 0, index, src, r).tolist() for r in REDUCE}
    assert reduced == {
        "sum": [-4, 5], "prod": [-14, 5], "mean": [-2, 5], "amax": [2, 5], "amin": [-7, 5],
    }  # fmt: skip
    flags, at = ops.tensor([True, False]), ops.tensor([0, 1, 1])
    values = ops.tensor([False, True, True])
    assert ops.scatter_reduce(flags, 0, at, values, "sum").tolist() == [True, True]
    assert ops.scatter_reduce(flags, 0, at, values, "prod").tolist() == [False, False]
    many = ops.zeros(256, dtype="int64"), ops.ones(256).bool()
    assert ops.scatter_reduce(flags, 0, *many, "sum").tolist() == [True, False]


def test_nan_wins_an_extreme(backend):
    x = ops.tensor([1.0, 2.0, 3.0])
    src, index = ops.tensor([float("nan"), 5.0, 0.0]), ops.tensor([0, 0, 1])
    for reduce in ("amax", "amin"):
        out = host(ops.scatter_reduce(x, 0, index, src, reduce))
        assert np.isnan(out[0])
        assert not np.isnan(out[1:]).any()


def test_nothing_to_combine_and_scalars(backend):
    x, none = ops.tensor([1.0, 2.0]), ops.zeros(0)
    out = ops.scatter_reduce(x, 0, none.long(), none, "amax", include_self=False)
    assert out.tolist() == [1.0, 2.0]
    one = ops.scatter_reduce(ops.tensor(2.0), 0, ops.tensor(0), ops.tensor(3.0), "prod")
    assert one.item() == 6.0
    assert host(ops.index_reduce(ops.ones(2, 0), 0, ops.tensor([1]), ops.ones(1, 0), "prod")).size \
        == 0  # fmt: skip


def test_in_place(backend):
    x = ops.ones(3)
    x.scatter_reduce_(0, ops.tensor([0, 0]), ops.tensor([4.0, 2.0]), "prod")
    x.index_reduce_(0, ops.tensor([1]), ops.tensor([7.0]), "amax")
    x.scatter_(0, ops.tensor([2]), ops.tensor([0.5]), reduce="add")
    assert x.tolist() == [8.0, 7.0, 1.5]


def test_errors():
    x, index, src = ops.zeros(2, 3), ops.tensor([[0, 5]]), ops.ones(1, 2)
    inside = ops.tensor([[0, 1]])
    with pytest.raises(ArgumentError, match="reduce='max' is unknown; choose sum, prod, mean"):
        ops.scatter_reduce(x, 1, index, src, "max")
    with pytest.raises(ArgumentError, match="reduce='sum' is unknown; choose prod, mean, amax"):
        ops.index_reduce(x, 1, index[0], src, "sum")
    with pytest.raises(ArgumentError, match="reduce='mul' is unknown; choose add or multiply"):
        ops.scatter(x, 1, index, src, reduce="mul")
    with pytest.raises(ArgumentError, match="give what to write"):
        ops.scatter(x, 1, index)
    with pytest.raises(IndexRangeError, match="index 5 is out of range for dimension 1 of size 3"):
        ops.scatter_reduce(x, 1, index, src, "sum")
    with pytest.raises(IndexRangeError, match="index 5 is out of range for dimension 1 of size 3"):
        ops.index_reduce(x, 1, index[0], ops.ones(2, 2), "prod")
    with pytest.raises(DTypeError, match=r"'src' is .*int64, but input is .*float32"):
        ops.scatter_reduce(x, 1, inside, src.long(), "sum")
    with pytest.raises(DTypeError, match=r"bools have no mean"):
        ops.scatter_reduce(x.bool(), 1, inside, src.bool(), "mean")
    with pytest.raises(ShapeError, match=r"source must have shape \(2, 1\), got \(1, 2\)"):
        ops.index_reduce(x, 1, ops.tensor([0]), src, "prod")
    with pytest.raises(ShapeError, match="src of shape"):
        ops.scatter_reduce(x, 1, ops.tensor([[0, 1, 2]]), src, "sum")
