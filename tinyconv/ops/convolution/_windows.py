"""Windows that slide over an input: argument checks and sizes shared by convolution and pooling.

A window of ``k`` taps, ``d`` apart, covers ``d*(k-1) + 1`` positions. Over an input of size ``n``
with ``b`` and ``a`` positions of padding before and after it, and a step of ``s``, it fits

    floor((n + b + a - d*(k-1) - 1) / s) + 1

times. Vincent Dumoulin and Francesco Visin, "A guide to convolution arithmetic for deep
learning", arXiv:1603.07285, draws all the cases.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ...autograd.pending import held
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import check_tensor

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]

_AXES = ("N", "C", "D", "H", "W")


def hashable(values: Any) -> Any:
    """Return ``values`` with lists as tuples, so that checked arguments can be looked up."""
    try:
        hash(values)
    except TypeError:
        return tuple(map(hashable, values)) if isinstance(values, list | tuple) else values
    return values


def per_dimension(op: str, name: str, value: Any, dims: int, minimum: int = 1) -> Ints:
    """Return one int a spatial dimension, from an int or a sequence of 1 or ``dims`` of them."""
    values = value if isinstance(value, list | tuple) else (value,)
    try:
        ints = tuple(operator.index(v) for v in values)
    except TypeError:
        raise DTypeError(
            f"{op}: argument '{name}' must be an int or a tuple of {dims} ints, got {value!r}"
        ) from None
    if len(ints) not in (1, dims):
        raise ArgumentError(
            f"{op}: argument '{name}' must be an int or a tuple of {dims} ints (one a spatial "
            f"dimension), got {len(ints)} of them: {value!r}"
        )
    if min(ints) < minimum:
        raise ArgumentError(f"{op}: argument '{name}' must be at least {minimum}, got {value!r}")
    return ints * dims if len(ints) == 1 else ints


def padding_pairs(
    op: str, padding: Any, spatial: Ints, kernel: Ints, stride: Ints, dilation: Ints
) -> Padding:
    """Return the padding (before, after) of each spatial dimension.

    ``padding`` is an int, one int a dimension, one (before, after) pair a dimension, ``"valid"``
    (none) or ``"same"``: as little as makes the output ``ceil(size / stride)``, and where that is
    an odd number, the extra position is at the end.
    """
    dims = len(kernel)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * dims
        if padding == "same":
            return tuple(map(_same, spatial, kernel, stride, dilation))
        raise ArgumentError(
            f"{op}: argument 'padding' must be 'same', 'valid', an int, {dims} ints or {dims} "
            f"(before, after) pairs, got {padding!r}"
        )
    if isinstance(padding, list | tuple) and any(isinstance(p, list | tuple) for p in padding):
        if len(padding) != dims or not all(
            isinstance(p, list | tuple) and len(p) == 2 for p in padding
        ):
            raise ArgumentError(
                f"{op}: argument 'padding' must have one (before, after) pair for each of the "
                f"{dims} spatial dimensions, got {padding!r}"
            )
        return tuple(
            (before, after)
            for before, after in (per_dimension(op, "padding", p, 2, 0) for p in padding)
        )
    return tuple((p, p) for p in per_dimension(op, "padding", padding, dims, 0))


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    out = -(-size // stride)
    total = max((out - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def check_kernel_fits(
    op: str, spatial: Ints, kernel: Ints, padding: Padding, dilation: Ints
) -> None:
    """Raise ``ShapeError`` if a window is larger than the padded input."""
    padded = tuple(n + b + a for n, (b, a) in zip(spatial, padding, strict=True))
    window = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(w > p for w, p in zip(window, padded, strict=True)):
        raise ShapeError(
            f"{op}: the kernel covers {window} positions (size {kernel}, dilation {dilation}), "
            f"which is more than the padded input of {padded} (size {spatial}, padding "
            f"{padding}); use a smaller kernel, a larger input or more padding"
        )


def window_count(
    spatial: Ints,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool = False,
) -> Ints:
    """Return how many windows fit, a dimension; with ``ceil_mode`` one may hang over the end.

    A window that would start behind the input (in the padding after it) is left out.
    """
    counts = []
    for n, k, s, (b, a), d in zip(spatial, kernel, stride, padding, dilation, strict=True):
        free = n + b + a - d * (k - 1) - 1
        count = (-(-free // s) if ceil_mode else free // s) + 1
        if ceil_mode and (count - 1) * s >= n + b:
            count -= 1
        counts.append(count)
    return tuple(counts)


def as_batch(op: str, input: Any, dims: int) -> tuple[Any, bool]:
    """Return a tensor (N, C, *spatial), and whether a batch dimension was added to get it."""
    ndim = len(held(check_tensor(op, "input", input)).shape)
    if ndim == dims + 2:
        return input, False
    if ndim == dims + 1:
        return input.unsqueeze(0), True
    axes = ", ".join((*_AXES[:2], *_AXES[-dims:]))
    raise ShapeError(
        f"{op}: argument 'input' must have {dims + 2} dimensions ({axes}), or {dims + 1} without "
        f"a batch, got shape {tuple(input.array.shape)}"
    )


def sizes(shape: Sequence[int]) -> Ints:
    """Return the spatial part of a shape (N, C, *spatial) as plain ints."""
    return tuple(map(int, shape[2:]))
