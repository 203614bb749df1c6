"""Convolutional networks from scratch: read the whole stack in Python, use it like PyTorch.

    import tinyconv as tc

    model = tc.nn.Sequential(tc.nn.Flatten(), tc.nn.Linear(784, 10))
    logits = model(tc.rand(64, 1, 28, 28))

Names are PyTorch's. Importing compiles nothing; the larger parts (``nn``, ``optim``, ``data`` ...)
are imported when first used.
"""

from __future__ import annotations

from builtins import bool as _bool
from builtins import int as _int
from importlib import import_module
from math import e, inf, nan, pi
from typing import TYPE_CHECKING, Any

from . import autograd, backend, config, errors, linalg, ops
from .autograd import (
    autocast,
    clear_autocast_cache,
    enable_grad,
    get_autocast_dtype,
    inference_mode,
    is_autocast_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .backend import Device as device
from .backend import DType as dtype
from .backend.dtypes import (
    bfloat16,
    can_cast,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from .backend.dtypes import (
    bool_ as bool,
)
from .backend.dtypes import promote as promote_types
from .backend.generator import Generator
from .formatting import set_printoptions

# The functions of the top level, each defined in one file of ``ops``.
# fmt: off
# isort: off
from .ops import (
    abs, acos, acosh, adaptive_avg_pool1d, add, addbmm, addcdiv, addcmul, addmm, addmv, addr,
    all, allclose, amax, amin, aminmax, any, arange, argmax, argmin, argsort, argwhere,
    as_tensor, asarray, asin, asinh, atan, atan2, atanh, atleast_1d, atleast_2d, atleast_3d,
    avg_pool1d, baddbmm, bernoulli, bilinear, bincount, bitwise_and, bitwise_left_shift,
    bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, block_diag, bmm,
    broadcast_shapes, broadcast_tensors, broadcast_to, bucketize, cartesian_prod, cat, cdist,
    ceil, celu, celu_, channel_shuffle, cholesky, chunk, clamp, clamp_max, clamp_min, clip,
    clone, column_stack, combinations, concat, conv1d, conv2d, conv3d, conv_transpose1d,
    conv_transpose2d, conv_transpose3d, copysign, corrcoef, cos, cosh, cosine_similarity,
    count_nonzero, cov, cross, cummax, cummin, cumprod, cumsum, cumulative_trapezoid, deg2rad,
    det, diag, diag_embed, diagflat, diagonal, diagonal_scatter, diff, digamma, dist, div, dot,
    dsplit, dstack, einsum, empty, empty_like, eq, equal, erf, erfc, erfinv, exp, exp2, expm1,
    eye, flatten, flip, fliplr, flipud, float_power, floor, floor_divide, fmax, fmin, fmod,
    frac, from_dlpack, from_numpy, full, full_like, gather, gcd, ge, geqrf, get_rng_state,
    group_norm, gt, hardshrink, heaviside, histc, hsplit, hstack, hypot, i0, index_add,
    index_copy, index_fill, index_put, index_reduce, index_select, initial_seed, inner, inverse,
    isclose, isfinite, isin, isinf, isnan, isneginf, isposinf, kron, kthvalue, layer_norm, lcm,
    ldexp, le, lerp, lgamma, linspace, log, log10, log1p, log2, log_softmax, logaddexp,
    logaddexp2, logcumsumexp, logdet, logical_and, logical_not, logical_or, logical_xor, logit,
    logspace, logsumexp, lt, manual_seed, masked_fill, masked_scatter, masked_select, matmul,
    matrix_exp, matrix_power, max, max_pool1d, max_pool2d, max_pool3d, maximum, mean, median,
    meshgrid, min, minimum, mm, mode, movedim, msort, mul, multinomial, mv, nan_to_num, nanmean,
    nanmedian, nanquantile, nansum, narrow, narrow_copy, ne, neg, nextafter, nonzero, norm,
    normal, ones, ones_like, outer, pairwise_distance, pdist, permute, pinverse, pixel_shuffle,
    pixel_unshuffle, poisson, polygamma, positive, pow, prelu, prod, put, qr, quantile, rad2deg,
    rand, rand_like, randint, randint_like, randn, randn_like, randperm, ravel, reciprocal,
    relu, relu_, remainder, renorm, repeat_interleave, reshape, result_type, rms_norm, roll,
    rot90, round, rrelu, rrelu_, rsqrt, rsub, scalar_tensor, scatter, scatter_add,
    scatter_reduce, searchsorted, seed, select, select_scatter, selu, selu_, set_rng_state,
    sigmoid, sign, signbit, sin, sinc, sinh, slice_scatter, slogdet, softmax, sort, split,
    split_with_sizes, sqrt, square, squeeze, stack, std, std_mean, sub, sum, svd, swapaxes, t,
    take, take_along_dim, tan, tanh, tensor_split, tensordot, threshold, threshold_, tile, topk,
    trace, transpose, trapezoid, trapz, tril, tril_indices, triu, triu_indices, true_divide,
    trunc, unbind, unflatten, unique, unique_consecutive, unravel_index, unsqueeze, vander, var,
    var_mean, vdot, vsplit, vstack, where, xlogy, zeros, zeros_like,
)
# isort: on
# fmt: on
from .ops.older_layers import (
    adaptive_max_pool1d,
    alpha_dropout,
    batch_norm,
    dropout,
    embedding,
    feature_alpha_dropout,
    instance_norm,
)
from .ops.shapes.memory import (
    MemoryFormat as memory_format,
)
from .ops.shapes.memory import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    preserve_format,
)
from .serialization import load, save
from .tensor import Size, Tensor

__version__ = "0.1.0"

absolute, negative, sgn, fix = ops.abs, ops.neg, ops.sign, ops.trunc
subtract, multiply, divide = ops.sub, ops.mul, ops.div
greater, greater_equal, less, less_equal = ops.gt, ops.ge, ops.lt, ops.le
not_equal = ops.ne
arcsin, arccos, arctan, arctan2 = ops.asin, ops.acos, ops.atan, ops.atan2
arcsinh, arccosh, arctanh = ops.asinh, ops.acosh, ops.atanh
moveaxis, swapdims = ops.movedim, ops.swapaxes
row_stack, concatenate = ops.vstack, ops.concat
detach, is_inference = Tensor.detach, Tensor.is_inference
is_nonzero, is_signed, is_same_size = Tensor.is_nonzero, Tensor.is_signed, Tensor.is_same_size
newaxis = None
tensor = ops.tensor  # the function, not the module of that name which was imported on the way
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

_LAZY = ("adversarial", "amp", "cuda", "data", "datasets", "models", "nn", "optim", "train", "viz")

if TYPE_CHECKING:
    from . import adversarial, amp, cuda, data, datasets, models, nn, optim, train, viz
    from .graphs import graphed


def __getattr__(name: str) -> Any:
    """Import a larger part when it is first used."""
    if name in _LAZY:
        return import_module(f".{name}", __name__)
    if name == "graphed":  # needs nn and optim
        return import_module(".graphs", __name__).graphed
    raise AttributeError(f"module 'tinyconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "graphed"})


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of new floating-point tensors: ``tc.float32`` (at the start) or ``float64``."""
    config.dtype.set(backend.as_dtype(dtype).name)


def get_default_dtype() -> dtype:
    """Return the dtype of new floating-point tensors."""
    return backend.as_dtype(config.dtype.get())


def set_default_device(device: Any) -> None:
    """Set the device of new tensors, for the whole process."""
    config.device.set(str(backend.as_device(device)))


def get_default_device() -> device:
    """Return the device of new tensors."""
    return backend.as_device()


def set_float32_precision(precision: str) -> None:
    """Set how exact float32 convolutions are: ``"high"`` (at the start) or ``"highest"``.

    ``"high"`` lets a backend take faster kernels with a larger rounding error where it has them;
    ``"highest"`` does not. This is not PyTorch's ``set_float32_matmul_precision``, which speaks
    of matrix products alone.
    """
    config.float32_precision.set(precision)


def is_tensor(obj: Any) -> _bool:
    """Return whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> _int:
    """Return the number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> _bool:
    """Return whether the dtype of ``input`` is a floating-point type."""
    return input.is_floating_point()
