"""Element-wise functions of NumPy on all cores, in pieces.

NumPy's loops are vectorised, but run on one core, and a formula of several operations writes each
intermediate result to memory. The elements do not depend on each other, so large arrays are cut
into pieces, in the order in which they lie in memory, and the formula is evaluated for each piece:
its intermediate results stay in the core's own cache. NumPy gives the GIL back while it computes,
so the pieces are computed in parallel.

Sums, differences, products and quotients of two arrays that are laid out alike are so common that
they have compiled loops: there a piece needs no Python at all.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from .. import reference
from ..quiet import quiet
from ..reference.half import formula_in_float32
from .compiler.jit import kernel
from .layout import Array, inverse, is_fast, is_plain, memory_order
from .memory import empty
from .parallel.region import shared
from .parallel.threads import run_ranges, share
from .vectors.runs import copy_run

#: Fewest elements of an array that is worth more than one piece.
LARGE = 1 << 17
#: Fewest and most elements of a piece. Each costs some Python; smaller ones gain nothing.
LEAST, MOST = 1 << 16, 1 << 18
#: Elements of a piece of a compiled loop.
STEP = 1 << 15
#: NumPy's functions can write their result where it belongs.
UFUNCS: dict[Callable[..., Any], np.ufunc] = {
    operator.add: np.add,
    operator.sub: np.subtract,
    operator.mul: np.multiply,
    operator.truediv: np.true_divide,
    operator.neg: np.negative,
}


def elementwise(xp: Any, function: Callable[..., Any], *operands: Any) -> Any:
    """Return ``function(*operands)``; see the reference kernel."""
    function = formula_in_float32(xp, function, operands)
    shape = np.broadcast_shapes(*[np.shape(operand) for operand in operands])
    order = _order(operands, shape)
    if order is None:
        return function(*operands)
    views = [_laid_out(operand, order) for operand in operands]
    sizes, back = [shape[axis] for axis in order], inverse(order)
    arrays = [view for view in views if isinstance(view, np.ndarray) and view.ndim]
    if all(view.size == prod(shape) and view.flags.c_contiguous for view in arrays):
        flat = [view.reshape(-1) if np.ndim(view) else view for view in views]
        if function in LOOPS and len(arrays) == 2 and is_fast(*flat) and all(map(is_plain, flat)):
            result = empty(prod(shape), flat[0].dtype)
            share(LOOPS[function], len(result), STEP, *flat, result, merge=True)
            return result.reshape(sizes).transpose(back)
        return _in_pieces(function, flat, [prod(shape)]).reshape(sizes).transpose(back)
    return _in_pieces(function, views, sizes).transpose(back)


def accumulate(xp: Any, total: Array, addend: Array) -> None:
    """Add an array to another in place; see the reference kernel."""
    order = _order([total], total.shape)
    if order is None or addend.shape != total.shape:
        total += addend
        return
    target, source = total.transpose(order), addend.transpose(order)
    if source.flags.c_contiguous:
        target, source = target.reshape(-1), source.reshape(-1)
        if is_fast(target, source) and is_plain(target) and is_plain(source):
            share(add_to_loop, len(target), STEP, target, source, merge=True)
            return
    step = max(min(max(total.size // 8, LEAST), MOST) * len(target) // total.size, 1)
    run_ranges(lambda a, b: quiet(np.add, target[a:b], source[a:b], target[a:b]), len(target), step)


def copy(xp: Any, x: Array) -> Array:
    """Return an array of the same elements; see the reference kernel."""
    order = _order([x], x.shape)
    if order is None or not is_fast(x) or not is_plain(view := x.transpose(order)):
        return reference.copy(xp, x)
    result = empty(view.shape, x.dtype)
    share(copy_loop, x.size, STEP, view.reshape(-1), result.reshape(-1), merge=True)
    return result.transpose(inverse(order))


@kernel
def copy_loop(board, seat, first, last, x, y):
    """Write ``x``."""
    if not shared(board, seat):
        copy_run(x, first, y, first, last - first)


@kernel
def add_loop(board, seat, first, last, a, b, y):
    """Write ``a + b``."""
    if shared(board, seat):
        return
    a, b, y = a[first:last], b[first:last], y[first:last]
    for i in range(len(y)):
        y[i] = a[i] + b[i]


@kernel
def add_to_loop(board, seat, first, last, a, b):
    """Add ``b`` to ``a``."""
    if shared(board, seat):
        return
    a, b = a[first:last], b[first:last]
    for i in range(len(a)):
        a[i] += b[i]


@kernel
def subtract_loop(board, seat, first, last, a, b, y):
    """Write ``a - b``."""
    if shared(board, seat):
        return
    a, b, y = a[first:last], b[first:last], y[first:last]
    for i in range(len(y)):
        y[i] = a[i] - b[i]


@kernel
def multiply_loop(board, seat, first, last, a, b, y):
    """Write ``a * b``."""
    if shared(board, seat):
        return
    a, b, y = a[first:last], b[first:last], y[first:last]
    for i in range(len(y)):
        y[i] = a[i] * b[i]


@kernel
def divide_loop(board, seat, first, last, a, b, y):
    """Write ``a / b``."""
    if shared(board, seat):
        return
    a, b, y = a[first:last], b[first:last], y[first:last]
    for i in range(len(y)):
        y[i] = a[i] / b[i]


#: Compiled loops over two arrays.
LOOPS: dict[Callable[..., Any], Any] = {
    operator.add: add_loop,
    operator.sub: subtract_loop,
    operator.mul: multiply_loop,
    operator.truediv: divide_loop,
}


def _order(operands: Sequence[Any], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the dimensions in the order of memory; ``None`` if pieces would not pay."""
    if prod(shape) < LARGE:
        return None
    for operand in operands:
        if isinstance(operand, np.ndarray) and operand.shape == shape:
            order = memory_order(operand)
            if operand.transpose(order).flags.c_contiguous:
                return order
    return None


def _laid_out(operand: Any, order: tuple[int, ...]) -> Any:
    """Return an array with all dimensions, in a given order; a number as it is."""
    if not isinstance(operand, np.ndarray) or operand.ndim == 0:
        return operand
    return operand.reshape((1,) * (len(order) - operand.ndim) + operand.shape).transpose(order)


def _in_pieces(function: Callable[..., Any], views: list[Any], sizes: list[int]) -> Array:
    """Return the function of views that broadcast to ``sizes``: blocks along one dimension."""
    ufunc = UFUNCS.get(function, function)
    is_ufunc = isinstance(ufunc, np.ufunc)
    piece = min(max(prod(sizes) // 8, LEAST), MOST)
    axis = max([a for a in range(len(sizes)) if prod(sizes[a:]) > piece], default=0)
    step = max(piece // prod(sizes[axis + 1 :]), 1)
    blocks = -(-sizes[axis] // step)
    # What the function makes of nothing has the right dtype.
    kind = quiet(function, *[_cut(view, (0,) * axis, slice(0, 0)) for view in views]).dtype
    result = empty(tuple(sizes), kind)

    def part(first: int, last: int) -> None:
        for number in range(first, last):
            outer, block = divmod(number, blocks)
            place: tuple[Any, ...] = tuple(np.unravel_index(outer, sizes[:axis])) if axis else ()
            rows = slice(block * step, min((block + 1) * step, sizes[axis]))
            parts = [_cut(view, place, rows) for view in views]
            target = result[(*place, rows)]
            if is_ufunc:
                quiet(ufunc, *parts, target)
            else:
                target[...] = quiet(function, *parts)

    run_ranges(part, prod(sizes[:axis]) * blocks, 1)
    return result


def _cut(view: Any, place: tuple[Any, ...], rows: slice) -> Any:
    """Return a piece of a view; a dimension that is broadcast has the index 0 only."""
    if not isinstance(view, np.ndarray) or view.ndim == 0:
        return view
    index = tuple([i if size > 1 else 0 for i, size in zip(place, view.shape, strict=False)])
    axis = len(place)
    return view[(*index, rows if view.shape[axis] > 1 or rows.stop == 0 else slice(0, 1))]
