"""Shape ops: values, gradients, views, errors."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError

A = (2, 3, 4)
CASES = [
    OpCase("reshape", lambda x: ops.reshape(x, 4, 6), [A], lambda x: x.reshape(4, 6)),
    OpCase("reshape -1", lambda x: x.reshape((-1, 2)), [A], lambda x: x.reshape(-1, 2)),
    OpCase("reshape to 0-d", lambda x: x.reshape(()), [(1, 1)], lambda x: x.reshape(())),
    OpCase("view", lambda x: x.view(3, -1), [A], lambda x: x.reshape(3, 8)),
    OpCase("view of permuted", lambda x: x.permute(2, 0, 1).view(-1), [A],
           lambda x: x.transpose(2, 0, 1).reshape(-1)),
    OpCase("reshape_as", ops.reshape_as, [(2, 6), (3, 4)], lambda x, y: x.reshape(3, 4),
           gradient=False),
    OpCase("flatten", ops.flatten, [A], np.ravel),
    OpCase("flatten from 1", lambda x: ops.flatten(x, 1), [A], lambda x: x.reshape(len(x), 12),
           zero_size=True),
    OpCase("flatten 0-d", ops.flatten, [()], lambda x: x.reshape(1)),
    OpCase("unflatten", lambda x: ops.unflatten(x, 1, (3, -1)), [(2, 6)],
           lambda x: x.reshape(len(x), 3, 2), zero_size=True),
    OpCase("ravel", ops.ravel, [A], np.ravel, zero_size=True),
    OpCase("squeeze", ops.squeeze, [(1, 2, 1, 3)], np.squeeze),
    OpCase("squeeze dim", lambda x: ops.squeeze(x, 2), [(1, 2, 1, 3)], lambda x: x.squeeze(2)),
    OpCase("squeeze dims", lambda x: ops.squeeze(x, (0, 1)), [(1, 2, 1, 3)],
           lambda x: x.squeeze(0)),
    OpCase("unsqueeze", lambda x: ops.unsqueeze(x, -1), [(2, 3)], lambda x: x[..., None],
           zero_size=True),
    OpCase("permute", lambda x: ops.permute(x, (2, 0, 1)), [A],
           lambda x: x.transpose(2, 0, 1), zero_size=True),
    OpCase("permute negative", lambda x: x.permute(-1, 0, 1), [A],
           lambda x: x.transpose(2, 0, 1)),
    OpCase("transpose", lambda x: ops.transpose(x, 0, -1), [A], lambda x: x.swapaxes(0, 2),
           zero_size=True),
    OpCase("swapaxes", lambda x: ops.swapaxes(x, 1, 0), [A], lambda x: x.swapaxes(0, 1)),
    OpCase("t", ops.t, [(2, 3)], np.transpose),
    OpCase("T", lambda x: x.T, [A], np.transpose),
    OpCase("mT", lambda x: x.mT, [A], np.matrix_transpose),
    OpCase("movedim", lambda x: ops.movedim(x, 0, 2), [A], lambda x: np.moveaxis(x, 0, 2)),
    OpCase("movedim many", lambda x: ops.movedim(x, (0, 1), (-1, 0)), [A],
           lambda x: np.moveaxis(x, (0, 1), (-1, 0))),
    OpCase("flip", lambda x: ops.flip(x, (0, 2)), [A], lambda x: np.flip(x, (0, 2)),
           zero_size=True),
    OpCase("flip ints", lambda x: x.flip(1, -1), [A], lambda x: np.flip(x, (1, 2))),
    OpCase("roll", lambda x: ops.roll(x, 2, 1), [A], lambda x: np.roll(x, 2, 1)),
    OpCase("roll many", lambda x: ops.roll(x, (1, -1), (0, 2)), [A],
           lambda x: np.roll(x, (1, -1), (0, 2))),
    OpCase("roll flat", lambda x: ops.roll(x, 5), [A], lambda x: np.roll(x, 5)),
    OpCase("expand", lambda x: ops.expand(x, 4, -1, 3), [(2, 1)],
           lambda x: np.broadcast_to(x, (4, 2, 3))),
    OpCase("expand 0-d", lambda x: x.expand((2, 2)), [()], lambda x: np.broadcast_to(x, (2, 2))),
    OpCase("expand_as", ops.expand_as, [(1, 3), (2, 3)], lambda x, y: np.broadcast_to(x, (2, 3)),
           gradient=False),
    OpCase("broadcast_to", lambda x: ops.broadcast_to(x, (2, 3)), [(3,)],
           lambda x: np.broadcast_to(x, (2, 3))),
    OpCase("broadcast_tensors", ops.broadcast_tensors, [(3, 1), (4,)],
           lambda a, b: tuple(np.broadcast_arrays(a, b))),
    OpCase("repeat", lambda x: ops.repeat(x, 2, 3), [(2, 3)], lambda x: np.tile(x, (2, 3))),
    OpCase("repeat new dims", lambda x: x.repeat(2, 1, 2), [(2, 3)],
           lambda x: np.tile(x, (2, 1, 2))),
    OpCase("tile", lambda x: ops.tile(x, (2,)), [(2, 3)], lambda x: np.tile(x, 2)),
    OpCase("meshgrid", ops.meshgrid, [(3,), (2,), (4,)],
           lambda *t: tuple(np.meshgrid(*t, indexing="ij"))),
    OpCase("meshgrid xy", lambda *t: ops.meshgrid(t, indexing="xy"), [(3,), (2,)],
           lambda *t: tuple(np.meshgrid(*t))),
    OpCase("cat", lambda *t: ops.cat(t), [(2, 3), (1, 3), (4, 3)],
           lambda *t: np.concatenate(t), zero_size=True),
    OpCase("cat dim", lambda *t: ops.cat(t, -1), [(2, 3), (2, 1)],
           lambda *t: np.concatenate(t, -1), zero_size=True),
    OpCase("stack", lambda *t: ops.stack(t, 1), [(2, 3), (2, 3)], lambda *t: np.stack(t, 1),
           zero_size=True),
    OpCase("stack last", lambda *t: ops.stack(t, -1), [(2, 3)] * 3, lambda *t: np.stack(t, -1)),
    OpCase("split", lambda x: ops.split(x, 2, 1), [(2, 5)],
           lambda x: tuple(np.split(x, [2, 4], 1))),
    OpCase("split sizes", lambda x: ops.split(x, [1, 3, 0], 1), [(2, 4)],
           lambda x: tuple(np.split(x, [1, 4], 1)), zero_size=True),
    OpCase("chunk", lambda x: ops.chunk(x, 3, -1), [(2, 7)],
           lambda x: tuple(np.split(x, [3, 6], 1))),
    OpCase("unbind", lambda x: ops.unbind(x, 1), [A], lambda x: tuple(x[:, i] for i in range(3))),
    OpCase("narrow", lambda x: ops.narrow(x, 1, -2, 2), [A], lambda x: x[:, 1:]),
    OpCase("select", lambda x: ops.select(x, -1, 1), [A], lambda x: x[..., 1]),
]  # fmt: skip


class TestShape(OpSuite):
    CASES = CASES


VIEWS = {
    "reshape": lambda x: x.reshape(4, 6),
    "permute": lambda x: x.permute(2, 0, 1),
    "expand": lambda x: x.expand(2, 2, 3, 4),
    "squeeze": lambda x: x.unsqueeze(0),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "select": lambda x: x.select(1, 0),
    "split": lambda x: x.split(2, 2)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "index": lambda x: x[:, 1:, ::2],
    "int index": lambda x: x[0, 0, 0],
    "chunk": lambda x: x.chunk(2)[1],
    "T": lambda x: x.T,
}
COPIES = {
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(0, 0),
    "repeat": lambda x: x.repeat(1, 1, 1),
    "clone": lambda x: x.clone(),
    "cat": lambda x: ops.cat([x]),
    "advanced index": lambda x: x[[0, 1]],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shares_memory_and_version(name, backend):
    base = ops.zeros(2, 3, 4)
    view = VIEWS[name](base)
    assert view._version is base._version
    base.add_(1)
    assert host(view).min() == 1.0


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_has_memory_of_its_own(name, backend):
    base = ops.zeros(2, 3, 4)
    copy = COPIES[name](base)
    base.add_(1)
    assert host(copy).max() == 0.0


@pytest.mark.parametrize("name", [n for n in VIEWS if n != "expand"])
def test_write_into_a_view_reaches_the_base_and_its_gradient(name, backend):
    x = ops.full((2, 3, 4), 2.0, requires_grad=True)
    base = x * 1.0
    view = VIEWS[name](base)
    view.mul_(5)
    covered = (host(base) == 10.0).astype(float)
    assert covered.sum() == host(view).size
    base.sum().backward()
    np.testing.assert_array_equal(host(x.grad), 1 + 4 * covered)


def test_reshape_of_a_non_contiguous_tensor_copies():
    x = ops.arange(6).reshape(2, 3).T
    y = x.view(6)
    y.zero_()
    assert x.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("shape", [(-2, 3), (3, -2), (-1, -1), (-1, 5), (-1, 0), (7,)])
def test_reshape_to_a_shape_that_does_not_fit(shape, backend):
    with pytest.raises(ShapeError, match="reshape: 12 elements"):
        ops.arange(12).reshape(shape)


def test_cat_promotes_and_skips_empty_vectors(backend):
    assert ops.cat([ops.ones(2), ops.arange(2)]).dtype.name == "float32"
    assert host(ops.cat([ops.zeros(0), ops.ones(2, 2)])).shape == (2, 2)
    assert host(ops.cat([ops.zeros(0), ops.zeros(0)])).shape == (0,)


def test_edge_cases_match_torch():
    torch = pytest.importorskip("torch")
    for lib in (ops, torch):
        assert lib.zeros(3).squeeze(0).shape == (3,)
        assert lib.zeros(()).squeeze().shape == ()
        assert lib.zeros(()).squeeze(0).shape == ()
        assert lib.zeros(()).unsqueeze(0).shape == (1,)
        assert lib.zeros(()).transpose(0, 0).shape == ()
        assert [tuple(t.shape) for t in lib.zeros(0, 2).chunk(3)] == [(0, 2)] * 3
        assert [tuple(t.shape) for t in lib.zeros(0, 2).split(3)] == [(0, 2)]
        assert [t.shape[0] for t in lib.zeros(10).chunk(4)] == [3, 3, 3, 1]
        assert [t.shape[0] for t in lib.zeros(6).chunk(4)] == [2, 2, 2]
        assert lib.zeros(2, 3).repeat(0, 2).shape == (0, 6)
        assert lib.zeros(1, 3).expand(0, 3).shape == (0, 3)
        assert lib.zeros(2, 3).flatten(1, 1).shape == (2, 3)
        assert lib.zeros(0, 3).reshape(-1, 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ShapeError, r"reshape: 6 elements of shape \(2, 3\)", lambda x: x.reshape(4)),
        (ShapeError, "view: 6 elements", lambda x: x.view(-1, 4)),
        (ShapeError, "reshape", lambda x: x.reshape(-1, -1)),
        (DTypeError, "reshape: expected integers", lambda x: x.reshape(2.0, 3)),
        (ArgumentError, r"permute: dims \(0, 0\)", lambda x: x.permute(0, 0)),
        (IndexRangeError, "dim=2", lambda x: x.permute(0, 2)),
        (IndexRangeError, "unsqueeze: dim=3", lambda x: x.unsqueeze(3)),
        (ShapeError, r"expand: shape \(2, 3\)", lambda x: x.expand(4, 3)),
        (ShapeError, "expand", lambda x: x.expand(-1, 2, 3)),
        (ShapeError, "expand", lambda x: x.expand(3)),
        (ShapeError, "repeat", lambda x: x.repeat(2)),
        (ShapeError, "unflatten", lambda x: x.unflatten(1, (2, 2))),
        (ArgumentError, "flatten: start_dim=1", lambda x: x.flatten(1, 0)),
        (ShapeError, "t: expected at most 2", lambda x: x[None].t()),
        (ShapeError, r"cat: .*tensors\[1\] has \(4, 2\)", lambda x: ops.cat([x, ops.ones(4, 2)])),
        (ArgumentError, "cat: expected at least one", lambda x: ops.cat([])),
        (DTypeError, r"cat: argument 'tensors\[1\]'", lambda x: ops.cat([x, 3])),
        (ShapeError, "stack: shapes must be equal", lambda x: ops.stack([x, x[0]])),
        (ShapeError, r"split: sections \(1, 1\)", lambda x: x.split([1, 1], 1)),
        (ArgumentError, "split: the size", lambda x: x.split(0)),
        (ArgumentError, "chunk", lambda x: x.chunk(0)),
        (IndexRangeError, "narrow: start=1", lambda x: x.narrow(0, 1, 2)),
        (IndexRangeError, "index 2 is out of range", lambda x: x.select(0, 2)),
        (ArgumentError, "movedim", lambda x: x.movedim((0, 1), (0, 0))),
        (ArgumentError, "roll", lambda x: x.roll((1, 2), 0)),
        (DTypeError, "flatten: argument 'input'", lambda x: ops.flatten([1, 2])),
    ],
)
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call(ops.zeros(2, 3))


def test_gradient_of_channels_last_reshape():
    x = tensor(np.random.default_rng(0).normal(size=(2, 4, 4, 3)), requires_grad=True)
    nchw = x.permute(0, 3, 1, 2)
    weight = tensor(np.arange(96.0).reshape(2, 48))
    (nchw.flatten(1) * weight).sum().backward()
    expected = host(weight).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(host(x.grad), expected)
