"""What tests of kernels share."""

import pytest
from cuda_emulator import COMPILER, emulated

from tinyconv import config
from tinyconv.backend import cpu, cuda


@pytest.fixture(params=["cpu", "cuda"])
def override(request):
    """Return the way to the kernels of a backend."""
    if request.param == "cpu":
        yield cpu.override
    elif not COMPILER:
        pytest.skip("the emulator needs g++")
    else:
        with emulated(), config.float32_precision.override("highest"):
            yield cuda.override
