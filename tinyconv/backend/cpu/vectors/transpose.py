"""Transposing a block of a matrix in registers.

Reading 16 numbers that lie side by side and writing them far apart costs 16 stores. With 16 rows
in 16 registers, four rounds of "interleave row i with row i + 8" turn rows into columns, and every
load and store is a whole vector. Weights are packed and weight gradients unpacked with it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, register_jitable

from ..host import host
from .vector import INDEX, Emitter

VECTOR_BYTES = host().vector_bytes


@intrinsic
def transpose(typingctx, source, so, s_row, rows, columns, target, to, offsets, first, stored):
    """Transpose one block of up to a vector's length of rows and columns.

    Row i of the block is at ``source[so + i*s_row]``; column j goes to
    ``target[to + offsets[first + j]]``, ``stored`` elements of it: those past ``rows`` are zeros.
    """
    index = types.intp
    signature = types.void(source, index, index, index, index, target, index, offsets, index, index)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source_, so_, s_row_, rows_, columns_, target_, to_, offsets_, first_, stored_ = args
        emit = Emitter(context, builder, source)
        lanes = emit.lanes
        begin = emit.pointer(source, source_, so_)
        result = emit.pointer(target, target_, to_)
        table = emit.pointer(offsets, offsets_, first_)
        keep = emit.mask(stored_, 0)
        vectors = _rows_of(emit, begin, s_row_, rows_, columns_, lanes)
        for _ in range(lanes.bit_length() - 1):
            vectors = _interleaved(emit, vectors)
        for j, vector in enumerate(vectors):
            exists = builder.icmp_signed("<", INDEX(j), columns_)
            with builder.if_then(exists):
                offset = builder.load(emit.at(table, j))
                emit.store(vector, emit.at(result, offset), keep)
        return context.get_dummy_value()

    return signature, generate


@register_jitable
def transpose_all(source, so, s_row, rows, columns, target, to, offsets, first, stored):
    """Transpose a matrix of any size; see :func:`transpose`."""
    lanes = VECTOR_BYTES // source.itemsize
    for i in range(0, stored, lanes):
        for j in range(0, columns, lanes):
            transpose(source, so + i * s_row + j, s_row, rows - i, min(columns - j, lanes),
                      target, to + i, offsets, first + j, min(stored - i, lanes))  # fmt: skip


@intrinsic
def transpose_few(typingctx, source, so, s_row, rows, columns, target, to, step):
    """Transpose up to half a vector's length of rows, and up to a vector's length of columns.

    With so few rows, a vector holds two columns, and half of the work is enough. Row i of the block
    is at ``source[so + i*s_row]``; column j goes to ``target[to + j*step]``.
    """
    index = types.intp
    signature = types.void(source, index, index, index, index, target, index, index)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source_, so_, s_row_, rows_, columns_, target_, to_, step_ = args
        emit = Emitter(context, builder, source)
        half = emit.lanes // 2
        vectors = _rows_of(emit, emit.pointer(source, source_, so_), s_row_, rows_, columns_, half)
        for _ in range(half.bit_length() - 1):
            vectors = _interleaved(emit, vectors)
        result, keep = emit.pointer(target, target_, to_), emit.mask(rows_, 0)
        for j in range(emit.lanes):
            exists = builder.icmp_signed("<", INDEX(j), columns_)
            with builder.if_then(exists):
                place = emit.at(result, emit.scaled(step_, j))
                emit.store_half(vectors[j // 2], j % 2, place, keep)
        return context.get_dummy_value()

    return signature, generate


def _rows_of(emit: Emitter, begin: Any, step: Any, rows: Any, columns: Any, count: int) -> Any:
    """Load ``count`` rows of ``columns`` elements; those from ``rows`` on are 0."""
    builder, mask = emit.builder, emit.mask(columns, 0)
    nothing = ir.Constant(mask.type, [ir.IntType(1)(0)] * emit.lanes)
    vectors = []
    for i in range(count):
        exists = builder.icmp_signed("<", INDEX(i), rows)
        # A load without a lane touches nothing, but takes long where there is no memory.
        line = builder.select(exists, emit.at(begin, emit.scaled(step, i)), begin)
        vectors.append(emit.load(line, builder.select(exists, mask, nothing)))
    return vectors


def _interleaved(emit: Emitter, vectors: Any) -> Any:
    """Return one round of "interleave row i with row i + n/2" of n rows."""
    half = len(vectors) // 2
    return [
        emit.interleave(vectors[i], vectors[i + half], part) for i in range(half) for part in (0, 1)
    ]
