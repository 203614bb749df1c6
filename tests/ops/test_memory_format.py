"""Order of the elements in memory, against PyTorch's strides."""

import numpy as np
import pytest
from against_torch import torch

import tinyconv as tc
from tinyconv import nn
from tinyconv.autograd import gradcheck
from tinyconv.errors import ArgumentError, ShapeError

SHAPES = [(2, 3, 4, 5), (1, 3, 2, 2), (2, 1, 3, 3), (2, 3, 1, 1), (0, 2, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_strides_and_contiguity(shape):
    x, t = tc.rand(shape), torch.zeros(shape)
    ours, theirs = x, t
    for name in ("channels_last", "contiguous_format", "channels_last"):
        ours = ours.contiguous(memory_format=getattr(tc, name))
        theirs = theirs.contiguous(memory_format=getattr(torch, name))
        for asked in ("channels_last", "contiguous_format"):
            assert ours.is_contiguous(memory_format=getattr(tc, asked)) == theirs.is_contiguous(
                memory_format=getattr(torch, asked)
            )
        assert np.array_equal(ours.numpy(), x.numpy())
        if min(shape) > 1:
            assert ours.stride() == theirs.stride()


def test_three_dimensions_and_others():
    x = tc.rand(2, 3, 2, 4, 5)
    last = x.contiguous(memory_format=tc.channels_last_3d)
    expected = torch.zeros(2, 3, 2, 4, 5).contiguous(memory_format=torch.channels_last_3d)
    assert last.stride() == expected.stride()
    assert not tc.rand(3, 4).is_contiguous(memory_format=tc.channels_last)
    with pytest.raises(ShapeError, match=r"channels_last is for tensors of 4 dimensions"):
        tc.rand(3, 4).contiguous(memory_format=tc.channels_last)


def test_itself_where_nothing_changes():
    x = tc.rand(2, 3, 4, 4).contiguous(memory_format=tc.channels_last)
    assert x.contiguous(memory_format=tc.channels_last) is x
    assert x.to(memory_format=tc.channels_last) is x
    copy = x.clone()
    assert copy.stride() == x.stride()
    assert x.clone(memory_format=tc.contiguous_format).is_contiguous()
    copy[0] = 0
    assert x[0].numpy().any()


def test_gradient():
    x = tc.rand(2, 3, 2, 2, dtype=tc.float64, requires_grad=True)
    assert gradcheck(lambda x: x.contiguous(memory_format=tc.channels_last) * 2, (x,))
    assert gradcheck(lambda x: x.clone(memory_format=tc.channels_last) * 2, (x,))
    assert gradcheck(lambda x: x.to(tc.float64, memory_format=tc.channels_last) * 2, (x,))


def test_a_module_and_its_result_in_either_order():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    x = tc.rand(2, 3, 4, 4)
    before = net(x).numpy(force=True)
    weight = net[0].weight
    net.to(memory_format=tc.channels_last)
    assert net[0].weight is weight
    assert weight.is_contiguous(memory_format=tc.channels_last)
    assert weight.is_leaf
    assert net[3].weight.is_contiguous()
    assert np.allclose(net(x.to(memory_format=tc.channels_last)).numpy(force=True), before)


def test_bad_formats():
    x = tc.rand(1, 1, 2, 2)
    with pytest.raises(ArgumentError, match="must not be preserve_format"):
        x.contiguous(memory_format=tc.preserve_format)
    with pytest.raises(ArgumentError, match=r"must be one of tc\.contiguous_format, tc\.channels"):
        x.clone(memory_format="channels_last")
    assert repr(tc.channels_last) == "tinyconv.channels_last"
