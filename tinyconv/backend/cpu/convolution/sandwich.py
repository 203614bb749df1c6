"""``M d M^T`` for a small constant matrix M and a block d of pixels: a transform of Winograd's.

A pixel has many channels, and every channel undergoes the same transform: a vector register holds
one entry of ``d`` for 16 channels, and the matrix becomes a fixed sequence of additions and
multiplications of registers, written out once. Zeros cost nothing, and two rows that agree up to
signs (as those of points of opposite sign do) share their partial sums:

    p = terms of equal sign,  q = terms of opposite sign,  row 1 = p + q,  row 2 = p - q

So do two columns that agree up to signs: every row needs the sum of their two entries, or the
difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ..vectors.vector import INDEX, Emitter
from .cook_toom import Matrix, cook_toom

#: What ``sandwich`` can do: transform the input, the weights, the products to the output, the
#: gradient of the output, and the sums of products to the gradient of the weights; and the output
#: added onto what is there.
INPUT, WEIGHT, OUTPUT, GRAD, WEIGHT_GRAD, ONTO = range(6)
#: Inputs of a tile in one dimension.
IN = 6


def matrix_of(which: int, outputs: int) -> Matrix:
    """Return the matrix of one of the transforms above, for tiles of ``outputs`` outputs."""
    taps = IN + 1 - outputs
    forward, weight_grad = cook_toom(outputs, taps), cook_toom(taps, outputs)
    return (
        forward.input, forward.weight, forward.output, weight_grad.weight, weight_grad.output,
        forward.output,
    )[which]  # fmt: skip


def combine(emit: Emitter, matrix: Matrix, vectors: Sequence[Any]) -> list[Any]:
    """Return the matrix times a column of vectors."""
    matrix, vectors = _by_columns(emit, matrix, vectors)
    results: list[Any] = [None] * len(matrix)
    for at, row in enumerate(matrix):
        if results[at] is not None:
            continue
        partner = at + 1
        if partner < len(matrix) and _opposite(row, matrix[partner]):
            equal = [c if c == d else 0.0 for c, d in zip(row, matrix[partner], strict=True)]
            unequal = [c if c != d else 0.0 for c, d in zip(row, matrix[partner], strict=True)]
            p, q = _sum(emit, equal, vectors), _sum(emit, unequal, vectors)
            results[at] = emit.builder.fadd(p, q)
            results[partner] = emit.builder.fsub(p, q)
        else:
            results[at] = _sum(emit, row, vectors)
    return results


def _by_columns(
    emit: Emitter, matrix: Matrix, vectors: Sequence[Any]
) -> tuple[Matrix, Sequence[Any]]:
    """Replace two vectors, whose columns agree up to signs, by their sum and difference."""
    columns, vectors = list(zip(*matrix, strict=True)), list(vectors)
    for j in range(len(columns) - 1):
        one, other = columns[j : j + 2]
        if _opposite(one, other):
            builder, (v, w) = emit.builder, vectors[j : j + 2]
            vectors[j : j + 2] = builder.fadd(v, w), builder.fsub(v, w)
            columns[j] = tuple(c if c == d else 0.0 for c, d in zip(one, other, strict=True))
            columns[j + 1] = tuple(c if c != d else 0.0 for c, d in zip(one, other, strict=True))
    return tuple(zip(*columns, strict=True)), vectors


def _opposite(row: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two rows (or columns) agree up to signs, and have terms of both kinds."""
    signs = {(c == d) for c, d in zip(row, other, strict=True) if c or d}
    return signs == {True, False} and all(abs(c) == abs(d) for c, d in zip(row, other, strict=True))


def _sum(emit: Emitter, row: Sequence[float], vectors: Sequence[Any]) -> Any:
    """Return one row times the vectors; plain terms first, so that the rest are fused."""
    terms = sorted(
        ((c, v) for c, v in zip(row, vectors, strict=True) if c), key=lambda term: abs(term[0]) != 1
    )
    total = None
    for factor, vector in terms:
        if total is None:
            total = vector if factor == 1 else emit.builder.fmul(vector, emit.constant(factor))
        elif factor == 1:
            total = emit.builder.fadd(total, vector)
        elif factor == -1:
            total = emit.builder.fsub(total, vector)
        else:
            total = emit.fma(vector, emit.constant(factor), total)
    return total


@intrinsic(prefer_literal=True)
def sandwich(
    typingctx, which, block, source, so, s_row, s_col, target, to, t_row, t_col, ahead,
    top, left, apart_h, apart_w, height, width, bias, bo, limits, channels,
):  # fmt: skip
    """Transform one tile for all ``channels``.

    ``which`` is a constant, and so is the length of the tuple ``block``, the outputs of a tile in
    one dimension. ``bias`` is added to an ``OUTPUT``, which is clipped to ``limits``; ``ONTO`` adds
    what is in the place of the output instead.

    A tile may reach beyond its image of ``height`` x ``width`` pixels: its first pixel is in row
    ``top`` and column ``left``, and the others are ``apart``. Outside, an ``INPUT`` or a ``GRAD``
    is zero, and there is no place for an ``OUTPUT``. The pixels of the tile that begins ``ahead``
    elements further on are fetched into the cache.
    """
    kind = which.literal_value
    is_output = kind in (OUTPUT, ONTO)
    matrix = matrix_of(kind, block.count)
    index = types.intp
    signature = types.void(
        which, block, source, *(index,) * 3, target, *(index,) * 10, bias, index, limits,
        index,
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (_, _, source_, so_, s_row_, s_col_, target_, to_, t_row_, t_col_, ahead_, top_, left_,
         apart_h_, apart_w_, height_, width_, bias_, bo_, limits_, channels_) = args  # fmt: skip
        emit = Emitter(context, builder, source)
        rows, columns = len(matrix), len(matrix[0])
        first = emit.pointer(source, source_, so_)
        result = emit.pointer(target, target_, to_)
        shift = emit.pointer(bias, bias_, bo_)
        ends = emit.limits(limits_)
        groups = builder.sdiv(builder.add(channels_, INDEX(emit.lanes - 1)), INDEX(emit.lanes))

        def inside(start: Any, apart: Any, size: Any, count: int) -> list[Any]:
            places = (builder.add(start, emit.scaled(apart, i)) for i in range(count))
            return [builder.icmp_unsigned("<", place, size) for place in places]  # -1 is large

        read = write = nowhere = None
        if is_output or kind in (INPUT, GRAD):
            # A pixel that is not in memory is read from here, or written to here. To choose between
            # two addresses takes less time than to mask out all lanes of a vector.
            nowhere = _vector_of_zeros(emit, first.type)
            count = rows if is_output else columns
            rows_ok = inside(top_, apart_h_, height_, count)
            columns_ok = inside(left_, apart_w_, width_, count)
            grid_ok = [[builder.and_(ok, also) for also in columns_ok] for ok in rows_ok]
            read, write = (None, grid_ok) if is_output else (grid_ok, None)

        def place(start: Any, row: Any, col: Any, i: int, j: int, ok: Any) -> Any:
            at = emit.at(emit.at(start, emit.scaled(row, i)), emit.scaled(col, j))
            return builder.select(ok[i][j], at, nowhere) if ok else at

        def fetch(start: Any, row: Any, col: Any) -> None:
            """Ask for the pixels of another tile; next to it is one that shares some columns."""
            size = rows if is_output else columns
            for i in range(size):
                for j in range(size - block.count, size):
                    here = emit.at(emit.at(start, emit.scaled(row, i)), emit.scaled(col, j))
                    emit.prefetch(emit.at(here, ahead_), write=is_output)

        def step(carried: Any) -> Any:
            (done,) = carried
            mask = emit.mask(builder.sub(channels_, done), 0)
            # Else LLVM would keep the addresses of all 72 entries of a tile, and add to each in
            # every step.
            pixels, results = (emit.hidden(emit.at(p, done)) for p in (first, result))
            if is_output:
                fetch(results, t_row_, t_col_)
            elif kind in (INPUT, GRAD):
                fetch(pixels, s_row_, s_col_)
            grid = [
                [emit.load(place(pixels, s_row_, s_col_, i, j, read), mask) for j in range(columns)]
                for i in range(columns)
            ]
            # M d, column by column, then (M d) M^T, row by row.
            half = list(zip(*[combine(emit, matrix, column) for column in zip(*grid, strict=True)],
                            strict=True))  # fmt: skip
            add = emit.load(emit.at(shift, done), mask) if kind == OUTPUT else None
            for i in range(rows):
                for j, value in enumerate(combine(emit, matrix, half[i])):
                    here = place(results, t_row_, t_col_, i, j, write)
                    if is_output:
                        more = add if kind == OUTPUT else emit.load(here, mask)
                        value = emit.clip(builder.fadd(value, more), ends)
                    emit.store(value, here, mask)
            return [builder.add(done, INDEX(emit.lanes))]

        emit.loop(groups, [INDEX(0)], step)
        return context.get_dummy_value()

    return signature, generate


def _vector_of_zeros(emit: Emitter, kind: Any) -> Any:
    """Return a pointer to a vector on the stack, which is zero."""
    with emit.builder.goto_entry_block():
        memory = emit.builder.alloca(emit.vector)
        memory.align = emit.lanes * emit.bytes
    emit.builder.store(emit.constant(0.0), memory)
    return emit.builder.bitcast(memory, kind)
