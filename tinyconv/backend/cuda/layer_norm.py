"""Layer normalisation: each row of a matrix is normalised by a warp or a block.

One pass over memory forward; backward, one for the gradient of the input, one for those of weight
and bias, which are sums down the columns.

Where the last three dimensions of an image are normalised over, their order does not matter, so
channels-last memory is taken as it is, with weight and bias rearranged to fit.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import reference
from .driver.launching import Kernel, name_of, runner
from .layout import Array, is_fast, parameter, plain, wide
from .loops.tiling import SUM_BLOCKS, THREADS, WIDTHS, power, tiling, variants
from .reduction import add_parts

#: Rows of more vectors than this are a block's, others a warp's; and the threads of either.
LONG, WARPS, ROW_THREADS = 128, 4, 512
FIELDS = """
x dy out mean var weight bias maps parts
rows:int64 step:int64 size:int32 weight_is_float:int32 bias_is_float:int32 eps:float64
"""
KERNELS = {
    name: Kernel("layer_norm.cu", name, FIELDS, ("tiles.cuh", "reduce.cuh"), threads=threads)
    for name, threads in {
        "layer_norm": ROW_THREADS, "row_gradients": ROW_THREADS, "column_gradients": THREADS,
    }.items()
}  # fmt: skip
VARIANTS = variants(KERNELS)
Order = tuple[int, ...] | None


def layer_norm(
    xp: Any, x: Array, dims: int, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the normalised input, mean and variance; see the reference kernel."""
    if not is_fast(x):
        return reference.layer_norm(xp, x, dims, weight, bias, eps)
    batch = x.shape[: x.ndim - dims]
    if not x.size:
        return xp.empty_like(x), *(xp.zeros(batch, dtype=xp.float64) for _ in range(2))
    order = _order(xp, x, dims)
    rows = _rows(xp, x, dims, order)
    y, mean, var = xp.empty_like(rows), *(xp.empty(batch, dtype=xp.float64) for _ in range(2))
    weight, bias = (_columns(xp, v, order, x.dtype) for v in (weight, bias))
    _by_row(
        "layer_norm", rows, None, y, mean, var, weight, bias, None, None,
        len(rows), 0, rows.shape[1], _is_float(weight), _is_float(bias), eps,
    )  # fmt: skip
    return _image(xp, y, x, order), mean, var


def layer_norm_grad(
    xp: Any, dy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, weight and bias; see the reference kernel."""
    if not is_fast(dy, x):
        return reference.layer_norm_grad(xp, dy, x, mean, var, weight, eps)
    dims, last = x.ndim - mean.ndim, x.shape[mean.ndim :]
    if not x.size:
        return xp.empty_like(x), *(xp.zeros(last, dtype=xp.float32) for _ in range(2))
    order = _order(xp, x, dims)
    rows, gradient = _rows(xp, x, dims, order), _rows(xp, dy, dims, order)
    count, size = rows.shape
    dx, maps = xp.empty_like(rows), xp.empty((count, 3), dtype=xp.float32)
    weight = _columns(xp, weight, order, x.dtype)
    given = rows, gradient, dx, wide(xp, mean), wide(xp, var), weight, None, maps
    flags = size, _is_float(weight), 0, eps
    _by_row("row_gradients", *given, None, count, 0, *flags)
    tiles = tiling(rows[None], SUM_BLOCKS)
    parts = xp.empty((1, tiles.grid[1], 2 * size), dtype=xp.float64)
    kernel = KERNELS["column_gradients"].of(x.dtype, WIDTH=tiles.width)
    kernel(tiles.grid, tiles.block, *given, parts, count, tiles.step, *flags)
    dweight, dbias = add_parts(xp, parts, xp.float32).reshape(2, size)
    return (
        _image(xp, dx, x, order),
        _like_weight(xp, dweight, x, dims, order),
        _like_weight(xp, dbias, x, dims, order),
    )


def _by_row(name: str, x: Array, *values: Any) -> None:
    """Launch a kernel that gives each row of the matrix to a warp or a block."""
    rows, size = x.shape
    width = WIDTHS[name_of(x.dtype)][0]
    width = width if size % width == 0 else 1
    vectors = size // width
    if vectors <= LONG:
        block, grid = (32, WARPS), -(-rows // WARPS)
    else:
        block, grid = (min(power(-(-vectors // 4)), ROW_THREADS), 1), rows
    most = 32 * runner().multiprocessors
    KERNELS[name].of(x.dtype, WIDTH=width)(min(grid, most), block, x, *values)


def _is_float(vector: Array | None) -> bool:
    return vector is not None and name_of(vector.dtype) == "float32"


def _order(xp: Any, x: Array, dims: int) -> Order:
    """Return the dimensions in the order of memory if it is channels-last and may be used so."""
    if dims != x.ndim - 1 or dims < 2 or x.flags.c_contiguous:
        return None
    order = (0, *range(2, x.ndim), 1)
    return order if xp.permute_dims(x, order).flags.c_contiguous else None


def _rows(xp: Any, x: Array, dims: int, order: Order) -> Array:
    size = prod(x.shape[x.ndim - dims :])
    return plain(xp, x if order is None else xp.permute_dims(x, order)).reshape(-1, size)


def _image(xp: Any, rows: Array, like: Array, order: Order) -> Array:
    """Return the matrix of :func:`_rows` with the shape of ``like``."""
    if order is None:
        return rows.reshape(like.shape)
    return _back(xp, rows.reshape([like.shape[axis] for axis in order]), order)


def _columns(xp: Any, vector: Array | None, order: Order, dtype: Any) -> Array | None:
    """Return weight or bias as one value for each column of the matrix."""
    if vector is not None and order is not None:
        vector = xp.permute_dims(vector, tuple(axis - 1 for axis in order[1:]))
    columns = parameter(xp, vector, dtype)
    return None if columns is None else columns.reshape(-1)


def _like_weight(xp: Any, columns: Array, x: Array, dims: int, order: Order) -> Array:
    """Return one value for each column with the shape of the weight."""
    if order is None:
        return columns.reshape(x.shape[x.ndim - dims :])
    inner = tuple(axis - 1 for axis in order[1:])
    return _back(xp, columns.reshape([x.shape[axis] for axis in order[1:]]), inner)


def _back(xp: Any, array: Array, order: tuple[int, ...]) -> Array:
    """Return an array whose axes are in another order with its axes in their own."""
    return xp.permute_dims(array, tuple(int(place) for place in np.argsort(order)))
