"""How tensors print: as in PyTorch, apart from the names of dtypes and graph nodes."""

import re

import numpy as np
import pytest

from tinyconv import formatting, ops


@pytest.fixture(autouse=True)
def default_options():
    yield
    formatting.set_printoptions(profile="default")


def both(make):
    """Return our text and PyTorch's, with PyTorch's names for its own things translated."""
    torch = pytest.importorskip("torch")
    theirs = repr(make(torch)).replace("torch.", "tinyconv.")
    return repr(make(ops)), re.sub(r"Backward\d+", "Backward", theirs)


rng = np.random.default_rng(0)
NORMAL = rng.normal(size=(3, 4))
LARGE = rng.normal(size=(40, 50))
ARRAYS = {
    "scalar": np.float32(1.5),
    "whole scalar": np.float32(2),
    "int scalar": np.int64(-3),
    "bool scalar": np.bool_(True),
    "ints": np.array([[1, -20], [300, 4]]),
    "bools": np.array([[True, False], [False, True]]),
    "floats": NORMAL.astype(np.float32),
    "float64": NORMAL,
    "whole floats": np.array([1.0, 20.0, -3.0], np.float32),
    "mixed": np.array([1.0, 2.5], np.float32),
    "nan and inf": np.array([1.5, np.nan, np.inf, -np.inf], np.float32),
    "whole with nan": np.array([1.0, np.nan, np.inf], np.float32),
    "only nan": np.array([np.nan, np.inf], np.float32),
    "tiny": np.array([1e-5, 1.0], np.float32),
    "huge": np.array([1e10, 1.0], np.float32),
    "huge and whole": np.array([1e9, 2e9], np.float32),
    "wide": np.array([0.001, 999.0], np.float32),
    "ratio 5000": np.array([0.0011, 5.5], np.float32),
    "ratio 900": np.array([0.011, 9.9], np.float32),
    "small": np.array([5e-5, 6.5e-5], np.float32),
    "not so small": np.array([0.00025, 0.0015], np.float32),
    "zeros": np.zeros((2, 2), np.float32),
    "negative zero": np.array([-0.0, 1.0], np.float32),
    "empty": np.zeros(0, np.float32),
    "empty 2-d": np.zeros((0, 3), np.float32),
    "empty int": np.zeros(0, np.int64),
    "empty float64": np.zeros((2, 0)),
    "uint8": np.arange(5, dtype=np.uint8),
    "int32": np.arange(3, dtype=np.int32),
    "half": np.array([1.5, 2], np.float16),
    "3-d": np.arange(12.0, dtype=np.float32).reshape(2, 3, 2) / 7,
    "4-d": np.arange(16).reshape(2, 2, 2, 2),
    "long vector": np.arange(60),
    "long float vector": rng.normal(size=50).astype(np.float32),
    "summarised vector": np.arange(2000),
    "summarised matrix": LARGE.astype(np.float32),
    "summarised float64": LARGE * 1e6,
    "summarised, few columns": rng.normal(size=(600, 2)).astype(np.float32),
    "summarised 3-d": np.arange(2000).reshape(10, 20, 10),
    "summarised bools": LARGE > 0,
    "threshold": np.arange(1000),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_repr_matches_torch(name):
    ours, theirs = both(lambda lib: lib.tensor(ARRAYS[name]))
    assert ours == theirs


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.ones(2, requires_grad=True),
        lambda lib: lib.ones(2, requires_grad=True).exp(),
        lambda lib: lib.tensor(NORMAL[:2], requires_grad=True),
        lambda lib: lib.tensor(NORMAL[:2], requires_grad=True) * 2,
        lambda lib: (lib.tensor(NORMAL[0], requires_grad=True) * 2).detach(),
        lambda lib: lib.tensor(rng.normal(size=11) * 0 + 0.5, requires_grad=True),
        lambda lib: lib.tensor(np.arange(22), dtype=lib.tensor(1).short().dtype),
        lambda lib: lib.zeros(0, 2, requires_grad=True),
        lambda lib: lib.tensor(3.5, requires_grad=True).sin(),
    ],
)
def test_suffixes_match_torch(make):
    ours, theirs = both(make)
    assert ours == theirs


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2}, {"precision": 7}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1},
        {"linewidth": 40}, {"sci_mode": True}, {"sci_mode": False}, {"profile": "short"},
        {"profile": "full"},
    ],
    ids=str,
)  # fmt: skip
def test_options_match_torch(options):
    torch = pytest.importorskip("torch")
    torch.set_printoptions(**options)
    try:
        formatting.set_printoptions(**options)
        for name in ("floats", "whole floats", "summarised vector", "tiny", "summarised 3-d"):
            ours, theirs = both(lambda lib, name=name: lib.tensor(ARRAYS[name]))
            assert ours == theirs, name
    finally:
        torch.set_printoptions(profile="default")


def test_device_and_str():
    text = repr(ops.ones(2, device="strict"))
    assert text == "tensor([1., 1.], device='strict')"
    assert str(ops.ones(2)) == repr(ops.ones(2))


def test_unknown_profile():
    with pytest.raises(ValueError, match="choose default, short, full"):
        formatting.set_printoptions(profile="tall")
