"""Whether there is a GPU that kernels can run on, and if not, what is missing."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

#: Kernels are compiled for this compute capability (Ampere) and up.
OLDEST = (8, 0)
INSTALL = (
    'install it with pip install "tinyconv[cuda12]" for a CUDA 12 driver, or "tinyconv[cuda13]" '
    "for CUDA 13"
)
#: Error numbers of the CUDA runtime.
INSUFFICIENT_DRIVER, NO_DEVICE = 35, 100


@cache
def problem() -> str | None:
    """Return why no GPU can be used, in words that say what to do, or ``None`` if one can.

    The answer of the first call holds for the process; it imports CuPy.
    """
    try:
        cupy = import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name not in ("cupy", None):
            return f"CuPy cannot be imported ({error})"
        return f"CuPy is not installed; {INSTALL}"
    except ImportError as error:
        return f"CuPy cannot be imported ({error})"
    try:
        import_module("array_api_compat.cupy")
    except ImportError:
        return f"array-api-compat is not installed; {INSTALL}"
    return _problem_of_device(cupy)


def _problem_of_device(cupy: Any) -> str | None:
    """Return what is wrong with driver and GPUs."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if error.status == INSUFFICIENT_DRIVER:
            return (
                "there is no NVIDIA driver, or it is too old for the CuPy that is installed, "
                f"{cupy.__version__} ({error}); {INSTALL}"
            )
        if error.status != NO_DEVICE:
            return f"the CUDA runtime does not start: {error}"
        count = 0
    if count == 0:
        return "the NVIDIA driver sees no GPU; is CUDA_VISIBLE_DEVICES empty?"
    if all(capability(cupy, index) < OLDEST for index in range(count)):
        return too_old(cupy, 0)
    return None


def capability(cupy: Any, index: int) -> tuple[int, int]:
    """Return the compute capability of a GPU, such as (9, 0)."""
    text = cupy.cuda.Device(index).compute_capability
    return int(text[:-1]), int(text[-1])


def too_old(cupy: Any, index: int) -> str:
    """Return the words for a GPU that is too old."""
    major, minor = capability(cupy, index)
    return (
        f"GPU {index} has compute capability {major}.{minor}, and the kernels need "
        f"{OLDEST[0]}.{OLDEST[1]} or more"
    )
