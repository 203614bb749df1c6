"""Every kernel once, in plain array-API code: what it computes, before how it is made fast.

These functions run on any array library that follows the array-API standard (2024.12). They are
the definition that faster kernels are tested against, the fallback for dtypes and ranks that
those do not cover, and all that a new backend needs on its first day. A kernel's first argument
is the library's namespace ``xp``; arguments are not checked here.
"""

from collections.abc import Callable
from typing import Any

from .conv import conv, conv_input_grad, conv_weight_grad
from .loss import softmax_cross_entropy, softmax_cross_entropy_grad
from .norm import batch_norm, batch_norm_grad
from .pool import max_pool, max_pool_grad, max_pool_take, sum_pool, sum_pool_grad
from .random import philox
from .scatter import scatter_add
from .special import erf

#: Reference kernel by name.
KERNELS: dict[str, Callable[..., Any]] = {
    kernel.__name__: kernel
    for kernel in (
        conv, conv_input_grad, conv_weight_grad,
        max_pool, max_pool_grad, max_pool_take, sum_pool, sum_pool_grad,
        batch_norm, batch_norm_grad,
        softmax_cross_entropy, softmax_cross_entropy_grad,
        erf, scatter_add, philox,
    )
}  # fmt: skip

__all__ = [
    "KERNELS",
    "batch_norm",
    "batch_norm_grad",
    "conv",
    "conv_input_grad",
    "conv_weight_grad",
    "erf",
    "max_pool",
    "max_pool_grad",
    "max_pool_take",
    "philox",
    "scatter_add",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "sum_pool",
    "sum_pool_grad",
]
