"""Padding in every mode, against NumPy's and PyTorch's."""

import numpy as np
import pytest
from suite import OpCase, OpSuite, host, tensor

from tinyconv import ops
from tinyconv.errors import ArgumentError, ShapeError

A = (2, 3, 4)
NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
CASES = [
    OpCase(f"{mode} {pads}", lambda x, p=pads, m=mode: ops.pad(x, p, m), [A],
           lambda x, p=pads, m=mode: np.pad(
               x, [(0, 0)] * (3 - len(p) // 2) + [p[i:i + 2] for i in range(0, len(p), 2)][::-1],
               NUMPY[m]))
    for mode in NUMPY for pads in [(1, 2), (0, 3, 2, 1), (2, 0, 0, 0), (1, 0, 0, 1, 1, 1)]
] + [
    OpCase("value", lambda x: ops.pad(x, (1, 1), value=2.5), [A],
           lambda x: np.pad(x, [(0, 0), (0, 0), (1, 1)], constant_values=2.5)),
    OpCase("crop", lambda x: ops.pad(x, (-1, 0, 0, -2)), [A], lambda x: x[:, :1, 1:]),
    OpCase("crop and pad", lambda x: ops.pad(x, (-1, 2), value=1.0), [A],
           lambda x: np.pad(x[..., 1:], [(0, 0), (0, 0), (0, 2)], constant_values=1.0)),
    OpCase("no pads", lambda x: ops.pad(x, ()), [A], lambda x: x, zero_size=True),
    OpCase("zero size", lambda x: ops.pad(x, (1, 1), "replicate"), [A],
           lambda x: np.pad(x, [(0, 0), (0, 0), (1, 1)], "edge"), zero_size=True),
]  # fmt: skip


class TestPadding(OpSuite):
    CASES = CASES


@pytest.mark.parametrize("mode", NUMPY)
def test_images_match_torch(mode):
    functional = pytest.importorskip("torch.nn.functional")
    import torch

    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    ours, theirs = tensor(x, True), torch.tensor(x, requires_grad=True)
    a, b = ops.pad(ours, (3, 1, 2, 3), mode), functional.pad(theirs, (3, 1, 2, 3), mode)
    np.testing.assert_array_equal(host(a), b.detach().numpy())
    (a * a * a).sum().backward()
    (b * b * b).sum().backward()
    np.testing.assert_allclose(host(ours.grad), theirs.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("mode", [mode for mode in NUMPY if mode != "constant"])
@pytest.mark.parametrize(
    "pads", [(-1, -1), (-1, 2), (3, -1), (-2, 1, -1, 0), (1, 1, -2, 2), (-1, 3)]
)
def test_negative_pads_are_pytorchs(mode, pads):
    functional = pytest.importorskip("torch.nn.functional")
    import torch

    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    ours, theirs = tensor(x, True), torch.tensor(x, requires_grad=True)
    dims = 1 if len(pads) == 2 else 2
    a = ops.pad(ours[0] if dims == 1 else ours, pads, mode)
    b = functional.pad(theirs[0] if dims == 1 else theirs, pads, mode)
    np.testing.assert_array_equal(host(a), b.detach().numpy())
    (a * a).sum().backward()
    (b * b).sum().backward()
    np.testing.assert_allclose(host(ours.grad), theirs.grad.numpy(), rtol=1e-12)


def test_integers_and_padding_an_empty_dimension(backend):
    assert ops.pad(ops.tensor([1, 2]), (1, 0)).tolist() == [0, 1, 2]
    assert ops.pad(ops.tensor([True]), (0, 1)).tolist() == [True, False]
    assert ops.pad(ops.zeros(0), (1, 1), value=3).tolist() == [3.0, 3.0]
    assert ops.pad(ops.ones(3), (-1, -2)).tolist() == []


@pytest.mark.parametrize(
    ("pads", "mode", "error", "match"),
    [
        ((1,), "constant", ShapeError, "pairs"),
        ((1,) * 8, "constant", ShapeError, "at most 3 dimensions"),
        ((-3, -2), "constant", ShapeError, "crops more"),
        ((4, 0), "reflect", ShapeError, "at most 3 along dimension 2"),
        ((0, 5), "circular", ShapeError, "at most 4"),
        ((-3, -2), "replicate", ShapeError, "crops more"),
        ((-4, 1), "circular", ShapeError, "at most 0"),
        ((1, 1), "mirror", ArgumentError, "'mirror' is unknown; choose constant, reflect"),
    ],
)
def test_errors(pads, mode, error, match):
    with pytest.raises(error, match=match):
        ops.pad(ops.zeros(*A), pads, mode)


def test_value_needs_constant_mode():
    with pytest.raises(ArgumentError, match="takes no value"):
        ops.pad(ops.zeros(3), (1, 1), "reflect", 2.0)
