"""Quantiles: where the sorted elements reach a given share of their number."""

from __future__ import annotations

from typing import Any

from ...autograd import TensorBase
from ...backend.dtypes import wide
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import cast, check_floating, dimension
from ..elementwise.compound import lerp
from ..elementwise.selection import where
from ..indexing.gather import Gather
from .sorting import argsort
from .sums import reduced_shape

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Any:  # fmt: skip
    """Return the ``q``-th quantiles along a dimension, or of all elements.

    The quantile is at place ``q * (n - 1)`` of the n sorted elements; between two of them,
    ``interpolation`` decides.

    Parameters
    ----------
    input : Tensor
        Floating point.
    q : float or Tensor
        From 0 to 1; a tensor of 0 or 1 dimensions has the dtype of ``input``.
    dim : int, optional
        Default the whole tensor, flattened.
    keepdim : bool, default False
        Keep the dimensions with size 1.
    interpolation : {"linear", "lower", "higher", "midpoint", "nearest"}
        Between two elements: in proportion; the lower; the higher; their mean; the nearer, or if
        both are as near, the one at an even place.

    Returns
    -------
    Tensor
        With a 1-D ``q``, its dimension comes first. NaN where there is a NaN.

    Raises
    ------
    DTypeError
        If ``input`` is not floating point, or a tensor ``q`` of another dtype.
    ShapeError
        If ``q`` has more than one dimension.
    ArgumentError
        If a ``q`` is outside [0, 1], ``interpolation`` unknown, or there are no elements.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([1.0, 2.0, 4.0, 8.0])
    >>> tc.quantile(x, 0.5), tc.quantile(x, tc.tensor([0.0, 1.0]))
    (tensor(3.), tensor([1., 8.]))
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, skips_nan=False)


def nanquantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Any:  # fmt: skip
    """Return the quantiles of what is not NaN, and NaN of nothing; all else as :func:`quantile`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nanquantile(tc.tensor([1.0, float("nan"), 2.0]), 0.5)
    tensor(1.5000)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, skips_nan=True)


def _quantile(
    op: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skips_nan: bool
) -> Any:
    shape = check_floating(op, "input", input).array.shape
    q = _shares(op, input, q)
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(
            f"{op}: interpolation={interpolation!r} is unknown; choose {', '.join(INTERPOLATIONS)}"
        )
    axis = None if dim is None else dimension(op, dim, len(shape))
    if input.array.size == 0:
        raise ArgumentError(f"{op}: the input of shape {tuple(shape)} has no elements")
    axes = tuple(range(len(shape))) if axis is None or not shape else (axis,)
    x = input.reshape(-1) if axis is None or not shape else input.movedim(axis, -1)
    precise = wide(input.dtype)  # places exceed what float16 holds
    result = _at_shares(cast(x, precise), cast(q.reshape(-1), precise), interpolation, skips_nan)
    result = cast(result, input.dtype).movedim(-1, 0)
    return result.reshape((*q.array.shape, *reduced_shape(shape, axes, keepdim)))


def _shares(op: str, input: Any, q: Any) -> Any:
    """Return ``q`` as a tensor, checked."""
    if not isinstance(q, TensorBase):
        q = input.wrap(input.xp.asarray(float(q), dtype=input.array.dtype))
    elif q.dtype is not input.dtype:
        raise DTypeError(
            f"{op}: q must have the dtype of input, {input.dtype}, but it has {q.dtype}"
        )
    if q.array.ndim > 1:
        raise ShapeError(f"{op}: q must have 0 or 1 dimensions, got shape {tuple(q.array.shape)}")
    if not input.xp.all((q.array >= 0) & (q.array <= 1)):
        raise ArgumentError(f"{op}: q must be from 0 to 1, got {q.tolist()}")
    return q


def _at_shares(x: Any, q: Any, interpolation: str, skips_nan: bool) -> Any:
    """Return the quantiles along the last dimension, (..., n) to (..., number of q)."""
    xp, shape = x.xp, x.array.shape
    size, numbers = shape[-1], (*shape[:-1], q.array.shape[0])
    nan = xp.isnan(x.array)
    valid = size - xp.sum(xp.astype(nan, x.array.dtype), axis=-1, keepdims=True)
    last = valid - 1 if skips_nan else xp.full_like(valid, size - 1)
    ranks = q * x.wrap(xp.maximum(last, xp.zeros_like(last)))
    if not skips_nan:  # NaN, which is sorted last
        ranks = where(x.wrap(valid < size), size - 1, ranks)
    ranks = ranks.expand(numbers)
    order = argsort(x, -1).array

    def element(place: Any) -> Any:
        chosen = xp.take_along_axis(order, xp.astype(place, xp.int64), axis=-1)
        return Gather.apply(x, x.wrap(chosen), x.array.ndim - 1)

    if interpolation == "nearest":
        return element(xp.round(ranks.array))
    low, high = xp.floor(ranks.array), xp.ceil(ranks.array)
    if interpolation == "lower":
        return element(low)
    above = element(high)
    if interpolation == "higher":
        return above
    below = element(low)
    weight = ranks - x.wrap(low) if interpolation == "linear" else 0.5
    infinite = (below == above) & below.isinf()  # inf - inf is NaN
    finite_above = where(infinite, 0, above)
    return where(infinite, below, lerp(where(infinite, 0, below), finite_above, weight))
