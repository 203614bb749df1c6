"""What the tests of ``tools/`` share: the folder on the path, and the two sides of a benchmark."""

import sys
from pathlib import Path

import pytest

import tinyconv as tc

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))


@pytest.fixture
def ours():
    """Return the side of tinyconv; the number of threads is put back."""
    from benchmarks.sides import Tinyconv

    before = tc.config.num_threads.get()
    yield Tinyconv(1)
    tc.config.num_threads.set(before)


@pytest.fixture
def theirs():
    """Return the side of PyTorch, with the one thread that all tests give it."""
    pytest.importorskip("torch")
    from benchmarks.sides import Torch

    return Torch(1)
