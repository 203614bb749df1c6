"""The fast CPU kernels: Numba loops over channels-last memory, and BLAS for the products.

The files of this folder hold the kernels, one subject a file; each function overrides the reference
kernel of the same name and signature. The folders are what kernels are made of, each from those
before it:

    compiler     Python loops become machine code: on demand, cached on disk
    parallel     worker threads, and the regions in which all of them run one kernel
    vectors      vector instructions: the tile of a product, transposes, exponentials
    loops        the compiled loops of norms, pools, softmax and optimizers
    convolution  the algorithms of convolution, and the choice between them

Nothing is imported or compiled before a kernel is first called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ... import config
from ...errors import MissingDependencyError
from ..reference import KERNELS
from ..reference.half import in_float32_from_now_on
from .compiler.jit import load_numba

#: The module of this package in which each override lives.
OVERRIDES: dict[str, str] = {
    "conv": "conv",
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
    "masked": "activation",
    "batch_statistics": "norm",
    "move_averages": "norm",
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
    "copy": "elementwise",
    "reshape": "relayout",
    "matmul": "matmul",
    "erf": "special",
    "erfinv": "special",
    "distances": "distance",
    "distances_grad": "distance",
    "scatter_add": "scatter",
    "scatter_last": "scatter",
    "scatter_reduce": "scatter",
    "cumulative_extreme": "order",
    "place_of_mode": "order",
    "place_of_rank": "order",
    "philox": "random",
    "philox_rows": "random",
    "sgd": "optim",
    "adam": "optim",
    "rmsprop": "optim",
    "adagrad": "optim",
    "adadelta": "optim",
    "wide_matmul": "matmul",
    "unscale": "scaling",
    "next_scale": "scaling",
    "total_norm": "scaling",
    "clip_to_norm": "scaling",
}

#: Kernels that move half-precision numbers as they are, or see to them in a way of their own.
_TAKE_HALVES = {
    "concat", "split", "philox", "elementwise", "accumulate", "copy", "reshape",
    "sgd", "adam", "rmsprop", "adagrad", "adadelta",
    "unscale", "next_scale", "total_norm", "clip_to_norm", "wide_matmul", "move_averages",
}  # fmt: skip


def numba_available() -> bool:
    """Return whether Numba is installed and may compile; it is not imported."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return False  # kernels made of vector instructions cannot be interpreted
    try:
        return find_spec("numba") is not None
    except ValueError:  # what find_spec raises for a name blocked in sys.modules
        return False


def override(name: str) -> Callable[..., Any] | None:
    """Return the fast kernel ``name``, or ``None`` if the reference kernel has to serve.

    Arrays of half precision are given to it as float32.

    Parameters
    ----------
    name : str
        Name of a reference kernel.

    Raises
    ------
    MissingDependencyError
        If Numba is not installed, or ``NUMBA_DISABLE_JIT`` is set, and ``config.backend`` is
        ``"numba"``.
    """
    if name not in OVERRIDES:
        return None
    if not numba_available():
        if config.backend.get() == "numba":
            raise MissingDependencyError(
                "backend 'numba' was chosen, but Numba is not installed, or NUMBA_DISABLE_JIT is "
                "set; run `pip install numba`, or choose backend 'auto' or 'numpy'"
            )
        return None
    load_numba()  # before a module imports parts of it: see there
    module = import_module(f"{__name__}.{OVERRIDES[name]}")
    fast = getattr(module, name)
    return fast if name in _TAKE_HALVES else in_float32_from_now_on(fast, KERNELS[name])


def __getattr__(name: str) -> Any:
    """Import :func:`~.convolution.explanation.explain` when it is first asked for."""
    if name != "explain":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    load_numba()
    return import_module(f"{__name__}.convolution.explanation").explain
