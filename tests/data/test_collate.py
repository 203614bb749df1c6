"""Batches from samples, against PyTorch's default_collate."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from tinyconv.backend import Device
from tinyconv.data import SampleColumns, default_collate, default_convert
from tinyconv.errors import DataError, DTypeError
from tinyconv.ops import tensor
from tinyconv.tensor import Tensor

Point = namedtuple("Point", "x y")


def same(ours, theirs):
    """Whether a batch has the structure, dtypes, shapes and values of PyTorch's."""
    torch = pytest.importorskip("torch")
    if isinstance(theirs, torch.Tensor):
        return (
            isinstance(ours, Tensor)
            and ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
            and tuple(ours.shape) == tuple(theirs.shape)
            and ours.tolist() == theirs.tolist()
        )
    if type(ours) is not type(theirs):
        return False
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2, 3],
        [1.0, 2.5],
        [True, False],
        ["a", "bc"],
        [b"a", b"b"],
        [np.float32(1.5), np.float32(2.5)],
        [np.int16(1), np.int16(2)],
        [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
        [np.array(1.0, np.float16), np.array(2.0, np.float16)],
        [np.zeros((0, 2), np.uint8)] * 3,
        [(1, 2.0), (3, 4.0)],
        [[1, "a"], [2, "b"]],
        [{"a": 1, "b": [np.ones(2), 3]}, {"a": 2, "b": [np.zeros(2), 4]}],
        [OrderedDict(z=1, a=2.0)] * 2,
        [Point(1, np.ones(2)), Point(2, np.zeros(2))],
        [(), ()],
    ],
    ids=lambda batch: repr(batch[0])[:40],
)
def test_collate_equals_pytorch(batch):
    torch = pytest.importorskip("torch")
    assert same(default_collate(batch), torch.utils.data.default_collate(batch))


def test_collate_stacks_tensors(device):
    samples = [tensor([1.0, 2.0], device=device), tensor([3.0, 4.0], device=device)]
    batch = default_collate(samples)
    assert batch.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert batch.device == device


def test_arrays_become_tensors_of_the_default_device():
    with Device("strict"):
        assert default_collate([np.ones(2), np.ones(2)]).device.type == "strict"
        assert default_convert({"x": np.ones(2)})["x"].device.type == "strict"


def test_columns_are_taken_as_they_are():
    images, labels = default_collate(SampleColumns(np.ones((2, 3)), np.array([4, 5])))
    assert tuple(images.shape) == (2, 3)
    assert labels.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        ([np.ones(2), np.ones(3)], DataError, r"samples 0 and 1 .* shape: \(2,\), \(3,\)"),
        ([(1, 2), (1,)], DataError, "in length: 2, 1"),
        ([{"a": 1}, {"b": 1}], DataError, "in keys"),
        ([{"a": 1}, 3], DataError, "in keys"),
        ([(1,), 3], DataError, "in length"),
        ([np.ones(2), 3], DataError, "in type"),
        ([1, None], DataError, "NoneType, int"),
        ([2**70, 1], DataError, "64 bits"),
        ([None, None], DTypeError, "NoneType.*collate_fn"),
        ([object()], DTypeError, "builtins.object"),
        ([np.array("a")], DTypeError, "dtype"),
        ([np.ones(1, np.complex64)], DTypeError, "complex64"),
        ([np.ones(1, np.uint16)], DTypeError, "uint16"),
    ],
)
def test_collate_says_what_does_not_fit(batch, error, words):
    with pytest.raises(error, match=words):
        default_collate(batch)


def test_convert_touches_only_numpy():
    data = {"a": (np.ones(2, np.float32), 3), "b": ["text", 1.5], "c": np.float64(2.0)}
    converted = default_convert(data)
    assert isinstance(converted["a"][0], Tensor)
    assert converted["a"][1] == 3
    assert type(converted["a"]) is tuple
    assert converted["b"] == ["text", 1.5]
    assert converted["c"].dtype.name == "float64"
