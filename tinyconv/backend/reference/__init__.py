"""Every kernel once, in plain array-API code: what it computes, before how it is made fast.

These functions run on any array library that follows the array-API standard (2024.12). They are
the definition that faster kernels are tested against, the fallback for dtypes and ranks that
those do not cover, and all that a new backend needs on its first day. A kernel's first argument
is the library's namespace ``xp``; arguments are not checked here.
"""

from collections.abc import Callable
from typing import Any

from .activation import (
    hardtanh,
    hardtanh_grad,
    leaky_relu,
    leaky_relu_grad,
    masked,
    relu,
    relu_grad,
)
from .conv import conv, conv_input_grad, conv_weight_grad, conv_with_statistics
from .distance import distances, distances_grad
from .dropout import dropout, kept
from .elementwise import accumulate, copy, elementwise, reshape
from .group_norm import group_norm, group_norm_grad
from .joining import concat, split
from .layer_norm import layer_norm, layer_norm_grad
from .loss import mean_cross_entropy, softmax_cross_entropy, softmax_cross_entropy_grad
from .matmul import matmul, wide_matmul
from .norm import batch_norm, batch_norm_grad, batch_statistics, move_averages
from .optim import adadelta, adagrad, adam, rmsprop, sgd
from .order import cumulative_extreme, place_of_mode, place_of_rank
from .pool import max_pool, max_pool_grad, max_pool_take, sum_pool, sum_pool_grad
from .random import philox, philox_rows
from .reduction import total
from .resampling import resample
from .scaling import clip_to_norm, next_scale, total_norm, unscale
from .scatter import scatter_add, scatter_last, scatter_reduce
from .smooth import gelu, gelu_grad, sigmoid, silu, silu_grad
from .softmax import log_softmax, log_softmax_grad, softmax, softmax_grad
from .special import erf, erfinv

#: Reference kernel by name.
KERNELS: dict[str, Callable[..., Any]] = {
    kernel.__name__: kernel
    for kernel in (
        conv, conv_with_statistics, conv_input_grad, conv_weight_grad,
        max_pool, max_pool_grad, max_pool_take, sum_pool, sum_pool_grad,
        relu, relu_grad, hardtanh, hardtanh_grad, leaky_relu, leaky_relu_grad, masked,
        batch_statistics, move_averages, batch_norm, batch_norm_grad,
        group_norm, group_norm_grad, layer_norm, layer_norm_grad,
        softmax_cross_entropy, softmax_cross_entropy_grad, mean_cross_entropy,
        softmax, softmax_grad, log_softmax, log_softmax_grad,
        sigmoid, silu, silu_grad, gelu, gelu_grad,
        matmul, wide_matmul, erf, erfinv, philox, philox_rows, elementwise, accumulate, copy,
        reshape, total, concat, split, resample, cumulative_extreme, place_of_mode, place_of_rank,
        distances, distances_grad, dropout, kept, scatter_add, scatter_last, scatter_reduce,
        sgd, adam, rmsprop, adagrad, adadelta, unscale, next_scale, total_norm, clip_to_norm,
    )
}  # fmt: skip

__all__ = [
    "KERNELS",
    "accumulate",
    "adadelta",
    "adagrad",
    "adam",
    "batch_norm",
    "batch_norm_grad",
    "batch_statistics",
    "clip_to_norm",
    "concat",
    "conv",
    "conv_input_grad",
    "conv_weight_grad",
    "conv_with_statistics",
    "copy",
    "cumulative_extreme",
    "distances",
    "distances_grad",
    "dropout",
    "elementwise",
    "erf",
    "erfinv",
    "gelu",
    "gelu_grad",
    "group_norm",
    "group_norm_grad",
    "hardtanh",
    "hardtanh_grad",
    "kept",
    "layer_norm",
    "layer_norm_grad",
    "leaky_relu",
    "leaky_relu_grad",
    "log_softmax",
    "log_softmax_grad",
    "masked",
    "matmul",
    "max_pool",
    "max_pool_grad",
    "max_pool_take",
    "mean_cross_entropy",
    "move_averages",
    "next_scale",
    "philox",
    "philox_rows",
    "place_of_mode",
    "place_of_rank",
    "relu",
    "relu_grad",
    "resample",
    "reshape",
    "rmsprop",
    "scatter_add",
    "scatter_last",
    "scatter_reduce",
    "sgd",
    "sigmoid",
    "silu",
    "silu_grad",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "softmax_grad",
    "split",
    "sum_pool",
    "sum_pool_grad",
    "total",
    "total_norm",
    "unscale",
    "wide_matmul",
]
