"""Pooling to a given output size: the windows follow from it, and may differ by one in length.

Output ``i`` of ``m`` covers the input positions from ``floor(i*n/m)`` to ``ceil((i+1)*n/m)``, so
neighbouring windows overlap where ``m`` does not divide ``n``.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any

from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_floating
from ..convolution._windows import Ints, as_batch, sizes
from ..images.resampling import Resample, averages
from .pool import SumPool


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Average a sequence (N, C, L) to ``output_size`` elements; as ``adaptive_avg_pool2d``."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Average each channel to a given output size, whatever the size of the input.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch; floating point.
    output_size : int, None or pair of these
        Size of the output; ``None`` keeps that of the input. 1 is the global average.

    Returns
    -------
    Tensor
        (N, C, *output_size) or (C, *output_size).

    Raises
    ------
    ShapeError
        If the input has another number of dimensions, or an empty one.
    ArgumentError
        If the output size is negative or has another number of dimensions.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.adaptive_avg_pool2d(tc.arange(6.0).reshape(1, 1, 2, 3), (1, 2))
    tensor([[[[2., 3.]]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Average a volume (N, C, D, H, W) to a given size; as ``adaptive_avg_pool2d``."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_avg_pool(op: str, dims: int, input: Any, output_size: Any) -> Any:
    input, added = as_batch(op, input, dims)
    check_floating(op, "input", input)
    spatial = sizes(input.array.shape)
    if 0 in spatial:
        raise ShapeError(f"{op}: argument 'input' has no elements along a dimension: {spatial}")
    out = output_size_of(op, output_size, spatial)
    if set(out) == {1}:
        y = input.mean(tuple(range(2, dims + 2)), keepdim=True)
    elif all(m and n % m == 0 for n, m in zip(spatial, out, strict=True)):
        y = _equal_windows(input, spatial, out)
    else:
        y = input
        for axis, (n, m) in enumerate(zip(spatial, out, strict=True), start=2):
            if n != m:
                y = Resample.apply(y, axis, averages(n, m))
    return y.squeeze(0) if added else y


def output_size_of(op: str, output_size: Any, spatial: Ints) -> Ints:
    """Return the size of the output; ``None`` stands for the size of the input."""
    dims = len(spatial)
    given = output_size if isinstance(output_size, list | tuple) else (output_size,) * dims
    if len(given) == 1:
        given = tuple(given) * dims
    try:
        out = tuple(
            n if m is None else operator.index(m) for n, m in zip(spatial, given, strict=True)
        )
    except TypeError:
        raise DTypeError(f"{op}: output_size must be ints or None, got {output_size!r}") from None
    except ValueError:
        raise ArgumentError(
            f"{op}: output_size must have {dims} numbers, got {output_size!r}"
        ) from None
    if min(out) < 0:
        raise ArgumentError(f"{op}: output_size must not be negative, got {output_size!r}")
    return out


def _equal_windows(input: Any, spatial: Ints, out: Ints) -> Any:
    """Average over windows that all have the same size and do not overlap."""
    kernel = tuple(n // m for n, m in zip(spatial, out, strict=True))
    return SumPool.apply(input, kernel, kernel, ((0, 0),) * len(kernel), out, prod(kernel))
