"""The GPU kernels: CUDA C++ in ``.cu`` files, launched on CuPy arrays.

Each function here overrides the reference kernel of the same name and signature; float64 and
whatever else a kernel does not know goes to the reference, which runs on CuPy arrays as it is.
Nothing is imported or compiled before a kernel is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

#: The module of this package in which each override lives.
OVERRIDES: dict[str, str] = {
    "conv": "conv",
    "conv_input_grad": "conv",
    "conv_weight_grad": "conv",
    "relu": "activation",
    "relu_grad": "activation",
    "hardtanh": "activation",
    "hardtanh_grad": "activation",
    "leaky_relu": "activation",
    "leaky_relu_grad": "activation",
    "matmul": "matmul",
}


def override(name: str) -> Callable[..., Any] | None:
    """Return the CUDA kernel ``name``, or ``None`` if the reference kernel has to serve."""
    if name not in OVERRIDES:
        return None
    return getattr(import_module(f"{__name__}.{OVERRIDES[name]}"), name)
