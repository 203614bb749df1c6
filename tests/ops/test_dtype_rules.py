"""What dtypes can hold and become, and small questions about a tensor, as in PyTorch."""

import itertools

import numpy as np
import pytest
from against_torch import DTYPES as ELSEWHERE
from against_torch import torch

import tinyconv as tc
from tinyconv import errors

DTYPES = (*ELSEWHERE, "bfloat16")  # which NumPy, and so other tests, cannot name


@pytest.mark.parametrize("name", DTYPES)
def test_limits(name):
    ours, theirs = getattr(tc, name), getattr(torch, name)
    if ours.is_floating_point:
        assert repr(tc.finfo(ours)) == repr(torch.finfo(theirs))
        for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
            assert getattr(tc.finfo(ours), field) == getattr(torch.finfo(theirs), field), field
    elif name != "bool":
        for field in ("bits", "max", "min", "dtype"):
            assert getattr(tc.iinfo(ours), field) == getattr(torch.iinfo(theirs), field), field
    with pytest.raises(errors.DTypeError, match=r"use (iinfo|finfo)"):
        (tc.iinfo if ours.is_floating_point else tc.finfo)(ours)
    assert tc.finfo().dtype == "float32"


def test_promotion_and_casting_of_dtypes():
    for a, b in itertools.product(DTYPES, DTYPES):
        pair, torch_pair = [getattr(tc, n) for n in (a, b)], [getattr(torch, n) for n in (a, b)]
        assert str(tc.promote_types(*pair)).endswith(
            "." + str(torch.promote_types(*torch_pair))[6:]
        )
        assert tc.can_cast(*pair) == torch.can_cast(*torch_pair), (a, b)


def test_result_type_of_tensors_and_numbers():
    values = [True, 2, 1.5]
    shapes = [(), (2,)]
    choices = [*itertools.product(DTYPES, shapes), *values]
    for a, b in itertools.product(choices, choices):
        ours = [tc.ones(v[1], dtype=v[0]) if isinstance(v, tuple) else v for v in (a, b)]
        theirs = [
            torch.ones(v[1], dtype=getattr(torch, v[0])) if isinstance(v, tuple) else v
            for v in (a, b)
        ]
        expected = str(torch.result_type(*theirs)).removeprefix("torch.")
        assert tc.result_type(*ours).name == expected, (a, b)
    with pytest.raises(errors.DTypeError, match="got str"):
        tc.result_type(tc.ones(1), "a")


def test_questions_about_a_tensor():
    x = tc.zeros(2, 3)
    assert (x.ndimension(), x.is_cpu, x.is_signed()) == (2, True, True)
    assert not tc.is_signed(x.byte())
    assert tc.is_same_size(x, tc.ones(2, 3))
    assert not x.is_same_size(tc.ones(3, 2))
    assert tc.is_nonzero(tc.tensor([2.0]))
    assert not tc.tensor(0).is_nonzero()
    with pytest.raises(errors.ArgumentError, match="ambiguous"):
        tc.is_nonzero(x)
    y = x.requires_grad_() * 2
    assert not tc.detach(y).requires_grad
    assert not tc.is_inference(x)


def test_other_names():
    x = tc.arange(4.0)
    np.testing.assert_array_equal(tc.concatenate([x, x]).numpy(), [0, 1, 2, 3] * 2)
    assert tc.row_stack([x, x]).shape == (2, 4)
    assert x[tc.newaxis].shape == (1, 4)
