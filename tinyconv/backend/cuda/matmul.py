"""Matrix products on a GPU: the kernels of the convolutions, whichever way operands lie in memory.

float32 is multiplied as such, as in PyTorch; TF32 is for convolutions.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .. import reference
from ..reference.activation import Limits
from .layout import Array, is_aligned, is_fast, plain
from .products.product import MOST, Operand, product

#: Products of one launch.
STACK = 65535


def matmul(
    xp: Any, a: Array, b: Array, bias: Array | None = None, limits: Limits | None = None
) -> Array:
    """Return ``a @ b``, plus ``bias`` in each row, clipped; see the reference kernel."""
    depth, columns = a.shape[-1], b.shape[-1]
    if not (_fits(a, b, bias) and (bias is None or bias.ndim == 1)):
        return reference.matmul(xp, a, b, bias, limits)
    if b.ndim == 2 and a.ndim > 2:  # one tall matrix is better than many
        y = matmul(xp, xp.reshape(a, (-1, depth)), b, bias, limits)
        return xp.reshape(y, (*a.shape[:-1], columns))
    return _products(xp, a, b, bias, a.dtype, limits)


def wide_matmul(xp: Any, a: Array, b: Array) -> Array:
    """Return ``a @ b`` of half-precision matrices in float32, multiplied by tensor cores."""
    if not _fits(a, b) or a.itemsize != 2:
        return reference.wide_matmul(xp, a, b)
    return _products(xp, a, b, None, xp.float32)


def _fits(*arrays: Array | None) -> bool:
    """Return whether the kernels know the arrays' dtype, and can count what two of them take."""
    a, b = arrays[:2]
    if not (is_fast(*arrays) and a is not None and b is not None and a.size and b.size):
        return False
    return max(prod(a.shape[:-1]), a.shape[-1], b.shape[-1]) < MOST


def _products(
    xp: Any, a: Array, b: Array, bias: Array | None, dtype: Any, limits: Limits | None = None
) -> Array:
    """Return the products of two stacks of matrices, in a dtype."""
    (rows, depth), columns = a.shape[-2:], b.shape[-1]
    stack = _stack_of(a.shape[:-2], b.shape[:-2])
    left, right = _operand(xp, a, stack, True), _operand(xp, b, stack, False)
    y = xp.empty((prod(stack), rows, columns), dtype=dtype)
    bias = bias if bias is None else plain(xp, bias)
    for first in range(0, len(y), STACK):
        count = min(STACK, len(y) - first)
        product(
            xp, _from(left, first), _from(right, first),
            Operand(y[first:], True, columns, rows * columns), rows, columns, depth,
            stack=count, bias=bias, limits=limits, exact=True,
        )  # fmt: skip
    return xp.reshape(y, (*stack, rows, columns))


def _stack_of(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that two stacks broadcast to."""
    a, b = ((1,) * (max(len(a), len(b)) - len(shape)) + shape for shape in (a, b))
    return tuple(m if n == 1 else n for m, n in zip(a, b, strict=True))


def _operand(xp: Any, x: Array, stack: tuple[int, ...], rows_are_lines: bool) -> Operand:
    """Return an (..., n, m) array as an operand, copied where its memory is in no known order."""
    if prod(x.shape[:-2]) == 1:
        x = xp.reshape(x, x.shape[-2:])
    elif x.shape[:-2] == stack and x.ndim != 3:
        x = xp.reshape(x, (-1, *x.shape[-2:]))
    elif x.shape[:-2] != stack:
        x = xp.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(-1, *x.shape[-2:])
    known = _pitches(x) if is_aligned(x) else None
    if known is None:
        x = x.copy(order="C")
        known = True, x.shape[-1], x.shape[-2] * x.shape[-1] if x.ndim == 3 else 0
    by_rows, pitch, step = known
    return Operand(x, by_rows == rows_are_lines, pitch, step)


def _pitches(x: Array) -> tuple[bool, int, int] | None:
    """Return whether lines are rows, and elements from line to line and from matrix to matrix."""
    strides = [s // x.itemsize for s in x.strides]
    if any(s % x.itemsize for s in x.strides) or min(strides) < 0:
        return None
    step = strides[0] if x.ndim == 3 else 0
    rows, columns = x.shape[-2:]
    if strides[-1] == 1 or columns == 1:
        return True, columns if rows == 1 else strides[-2], step
    if strides[-2] == 1 or rows == 1:
        return False, rows if columns == 1 else strides[-1], step
    return None


def _from(x: Operand, first: int) -> Operand:
    return x._replace(array=x.array[first:]) if x.step and first else x
