"""The fast CPU kernels: Numba loops over channels-last memory, and BLAS for the products.

Each function here overrides the reference kernel of the same name and signature. Nothing is
imported or compiled before a kernel is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ... import config
from ...errors import MissingDependencyError

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
    "batch_norm": "norm",
    "batch_norm_grad": "norm",
    "softmax_cross_entropy": "loss",
    "softmax_cross_entropy_grad": "loss",
    "erf": "special",
    "scatter_add": "scatter",
    "philox": "random",
}


def numba_available() -> bool:
    """Return whether Numba is installed; it is not imported."""
    try:
        return find_spec("numba") is not None
    except ValueError:  # what find_spec raises for a name blocked in sys.modules
        return False


def override(name: str) -> Callable[..., Any] | None:
    """Return the fast kernel ``name``, or ``None`` if the reference kernel has to serve.

    Parameters
    ----------
    name : str
        Name of a reference kernel.

    Raises
    ------
    MissingDependencyError
        If Numba is not installed and ``config.backend`` is ``"numba"``.
    """
    if name not in OVERRIDES:
        return None
    if not numba_available():
        if config.backend.get() == "numba":
            raise MissingDependencyError(
                "backend 'numba' was chosen, but Numba is not installed; run `pip install numba`, "
                "or choose backend 'auto' or 'numpy'"
            )
        return None
    module = import_module(f"{__name__}.{OVERRIDES[name]}")
    return getattr(module, name)
