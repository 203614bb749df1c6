"""The kernels of batch normalisation: passes of :mod:`.column_loops`, and the vectors around them.

The pixels of a batch are one sample, (1, elements).
"""

from __future__ import annotations

import numpy as np

from ..compiler.jit import kernel
from ..parallel.region import calls, shared
from .column_loops import map_all, map_gradient_blocks, sum_gradients
from .norm_vectors import add_parts, fill_affine, fill_gradient, move_average


@kernel
def move(average, value, momentum):
    """Move an average towards a new value."""
    move_average(average, value, 1.0, momentum)


@kernel
def normalise(
    board, seat, first, last, x, other, step, mean, var, weight, bias, eps, vectors, limits, y
):  # fmt: skip
    """Write the normalised input plus ``other``, clipped."""
    if calls(board, seat):
        fill_affine(mean, var, weight, bias, eps, vectors[0])
    if not shared(board, seat):
        map_all(first, last, x, other, step, vectors, limits, y)


@kernel
def gradients(
    board, seat, first, last, dy, x, y, limits, step, mean, var, weight, bias, eps, vectors,
    memory, parts, sums, d_weight, d_bias,
):  # fmt: skip
    """Write the gradients of weight and bias, and the vectors of the pass that writes ``dx``."""
    if calls(board, seat):
        fill_affine(mean, var, weight, bias, eps, vectors[0])
    if not shared(board, seat):
        sum_gradients(first, last, dy, x, y, limits, step, vectors, memory[seat], parts)
    if calls(board, seat):
        add_parts(parts, sums)
        count = x.shape[1] // len(mean)
        fill_gradient(sums[0], mean, var, weight, eps, count, vectors[0], d_weight, d_bias)


@kernel
def batch_norm_gradient(
    board, seat, first, last, dy, x, y, limits, step, mean, var, weight, bias, eps, vectors,
    memory, parts, sums, d_weight, d_bias, training, add, dx,
):  # fmt: skip
    """Write the gradients of weight, bias and input, one region after the other."""
    gradients(
        board, seat, first, last, dy, x, y, limits, step, mean, var, weight, bias, eps, vectors,
        memory, parts, sums, d_weight, d_bias,
    )  # fmt: skip
    map_gradient_blocks(
        board, seat, first, last, dy, x, y, limits, step, vectors, training, add, dx
    )


@kernel
def affine(mean, var, weight, bias, eps, vectors):
    """Write the vectors of the map that normalises."""
    fill_affine(mean, var, weight, bias, eps, vectors)


@kernel
def fold(mean, var, weight, shift, bias, eps, result):
    """Write the rows of ``result``: ``x * scale + offset`` is ``x + bias``, normalised."""
    scale, offset = result
    for c in range(len(mean)):
        factor = (1.0 if weight is None else weight[c]) / np.sqrt(var[c] + eps)
        rest = -mean[c] if bias is None else bias[c] - mean[c]
        rest *= factor
        scale[c], offset[c] = factor, rest if shift is None else rest + shift[c]
