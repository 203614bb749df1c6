"""Fixtures shared by all tests."""

import gc
import importlib.util
import os
import sys
from pathlib import Path

import pytest

# One BLAS thread a worker: pytest-xdist already runs one worker a core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Whether a kernel has to be compiled depends on the cache: no test reads the notice by chance.
os.environ.setdefault("TINYCONV_PROGRESS", "0")
sys.path.insert(0, str(Path(__file__).parent / "support"))

import cuda_emulator
from strict_backend import register_strict

import tinyconv as tc
from tinyconv import config
from tinyconv.autograd import pending
from tinyconv.backend import Device

register_strict()

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)

BACKENDS = ("numpy", "numba", "strict", "cuda")


def _gpu():
    """Return the GPU to test on: not the current one where there are more.

    That finds code that does not make the GPU of its arrays the current one first.
    """
    return "cuda:1" if tc.cuda.device_count() > 1 else "cuda:0"


def pytest_collection_finish():
    """Have the garbage collector look no more at what is there before the first test.

    Tens of thousands of tests are; each collection, and some tests ask for one, would visit them.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Run a test on the reference kernels, the Numba kernels, array-api-strict and CUDA kernels.

    The CUDA kernels run on a GPU where there is one, else in the emulator.
    """
    if request.param == "strict":
        with Device("strict"):
            yield request.param
    elif request.param == "cuda":
        if tc.cuda.is_available():
            with Device(_gpu()):
                yield request.param
        elif cuda_emulator.COMPILER:
            with cuda_emulator.emulated_device():
                yield request.param
        else:
            pytest.skip("CUDA kernels need a GPU, or g++ for the emulator")
    else:
        with config.override(backend=request.param):
            yield request.param


@pytest.fixture
def device(backend):
    """Device name that belongs to the ``backend`` fixture."""
    if backend == "cuda":
        return _gpu() if tc.cuda.is_available() else "emulated"
    return "strict" if backend == "strict" else "cpu"


@pytest.fixture
def nothing_left_open():
    """Every result that waits for its use is computed or forgotten by the end of a test."""
    yield
    gc.collect()
    assert not pending._open
