"""The GPU kernels: CUDA C++ in ``.cu`` files, launched on CuPy arrays.

Each function here overrides the reference kernel of the same name and signature; float64 and
whatever else a kernel does not know goes to the reference, which runs on CuPy arrays as it is.
Nothing is imported or compiled before a kernel is first called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import DeviceError
from .driver.presence import problem

if TYPE_CHECKING:
    from .driver.arrays import CudaBackend

#: The module of this package in which each override lives.
OVERRIDES: dict[str, str] = {
    "conv": "conv",
    "conv_with_statistics": "conv",
    "conv_input_grad": "conv",
    "conv_weight_grad": "conv",
    "max_pool": "pool",
    "max_pool_grad": "pool",
    "max_pool_take": "pool",
    "sum_pool": "pool",
    "sum_pool_grad": "pool",
    "relu": "activation",
    "relu_grad": "activation",
    "hardtanh": "activation",
    "hardtanh_grad": "activation",
    "leaky_relu": "activation",
    "leaky_relu_grad": "activation",
    "masked": "dropout",
    "batch_statistics": "norm",
    "move_averages": "averages",
    "batch_norm": "norm",
    "batch_norm_grad": "norm",
    "group_norm": "group_norm",
    "group_norm_grad": "group_norm",
    "layer_norm": "layer_norm",
    "layer_norm_grad": "layer_norm",
    "total": "reduction",
    "dropout": "dropout",
    "kept": "dropout",
    "concat": "joining",
    "split": "joining",
    "resample": "resampling",
    "softmax": "softmax",
    "softmax_grad": "softmax",
    "log_softmax": "softmax",
    "log_softmax_grad": "softmax",
    "sigmoid": "smooth",
    "silu": "smooth",
    "silu_grad": "smooth",
    "gelu": "smooth",
    "gelu_grad": "smooth",
    "softmax_cross_entropy": "loss",
    "softmax_cross_entropy_grad": "loss",
    "mean_cross_entropy": "loss",
    "elementwise": "elementwise",
    "accumulate": "elementwise",
    "matmul": "matmul",
    "wide_matmul": "matmul",
    "erf": "smooth",
    "erfinv": "smooth",
    "distances": "distance",
    "distances_grad": "distance",
    "cumulative_extreme": "order",
    "scatter_add": "scatter",
    "scatter_reduce": "scatter",
    "scatter_last": "scatter",
    "philox": "random",
    "philox_rows": "random",
    "sgd": "optim",
    "adam": "optim",
    "rmsprop": "optim",
    "adagrad": "optim",
    "adadelta": "optim",
    "unscale": "scaling",
    "next_scale": "scaling",
    "total_norm": "scaling",
    "clip_to_norm": "scaling",
}


def override(name: str) -> Callable[..., Any] | None:
    """Return the CUDA kernel ``name``, or ``None`` if the reference kernel has to serve."""
    if name not in OVERRIDES:
        return None
    return getattr(import_module(f"{__name__}.{OVERRIDES[name]}"), name)


def backend() -> CudaBackend:
    """Return the backend of the current GPU.

    Raises
    ------
    DeviceError
        If no GPU can be used; the message says what is missing.
    """
    require()
    return _arrays().of_device(current_device())


def require() -> None:
    """Raise ``DeviceError`` with what is missing if no GPU can be used."""
    reason = problem()
    if reason is not None:
        raise DeviceError(
            f"device 'cuda' cannot be had: {reason}. "
            "Use device 'cpu', or 'auto' to take the best device there is"
        )


def current_device() -> int:
    """Return the number of the GPU that ``cuda`` means in this thread."""
    return int(_arrays().current_device())


def set_device(index: int) -> None:
    """Make a GPU the one that ``cuda`` means in this thread."""
    _arrays().set_device(index)


def _arrays() -> Any:
    return import_module(f"{__name__}.driver.arrays")  # imports CuPy


def pinned(array: Any) -> Any:
    """Return a copy of a NumPy array in page-locked memory."""
    require()
    return _arrays().pinned(array)


def is_pinned(array: Any) -> bool:
    """Return whether a NumPy array lies in page-locked memory."""
    return "cupy" in sys.modules and problem() is None and bool(_arrays().is_pinned(array))
