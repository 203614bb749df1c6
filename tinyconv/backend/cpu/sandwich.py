"""``M d M^T`` for a small constant matrix M and a block d of pixels: a transform of Winograd's.

A pixel has many channels, and every channel undergoes the same transform: a vector register holds
one entry of ``d`` for 16 channels, and the matrix becomes a fixed sequence of additions and
multiplications of registers, written out once. Zeros cost nothing, and two rows that agree up to
signs (as those of points of opposite sign do) share their partial sums:

    p = terms of equal sign,  q = terms of opposite sign,  row 1 = p + q,  row 2 = p - q
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .cook_toom import Matrix, cook_toom
from .vector import INDEX, Emitter

_FORWARD, _WEIGHT_GRAD = cook_toom(4, 3), cook_toom(3, 4)

#: What ``sandwich`` can do; a kernel names a row by its number.
MATRICES: tuple[Matrix, ...] = (
    _FORWARD.input, _FORWARD.weight, _FORWARD.output, _WEIGHT_GRAD.weight, _WEIGHT_GRAD.output,
)  # fmt: skip
INPUT, WEIGHT, OUTPUT, GRAD, WEIGHT_GRAD = range(5)


def combine(emit: Emitter, matrix: Matrix, vectors: Sequence[Any]) -> list[Any]:
    """Return the matrix times a column of vectors."""
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


def _opposite(row: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two rows agree up to signs, and have terms of both kinds."""
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
    typingctx, which, edges, source, so, s_row, s_col, top, bottom, left, right,
    target, to, t_row, t_col, height, width, bias, bo, limits, channels,
):  # fmt: skip
    """Transform one block for all ``channels``.

    ``which`` (the row of ``MATRICES``) and ``edges`` are constants: 1 means that entries of the
    source outside of the rows ``top`` to ``bottom`` and columns ``left`` to ``right`` are zero and
    not in memory; 2, that only ``height`` x ``width`` of the results have a place in memory, and
    that ``bias`` is added to them and they are clipped to ``limits``; 3, the same with what is in
    that place added, and no bias.
    """
    matrix, kind = MATRICES[which.literal_value], edges.literal_value
    index = types.intp
    signature = types.void(
        which, edges, source, *(index,) * 7, target, *(index,) * 5, bias, index, limits, index
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (_, _, source_, so_, s_row_, s_col_, top_, bottom_, left_, right_,
         target_, to_, t_row_, t_col_, height_, width_, bias_, bo_, limits_,
         channels_) = args  # fmt: skip
        emit = Emitter(context, builder, source)
        rows, columns = len(matrix), len(matrix[0])
        first = emit.pointer(source, source_, so_)
        result = emit.pointer(target, target_, to_)
        shift = emit.pointer(bias, bias_, bo_)
        ends = emit.limits(limits_)
        bit = ir.IntType(1)
        nothing = ir.Constant(ir.VectorType(bit, emit.lanes), [bit(0)] * emit.lanes)
        groups = builder.sdiv(builder.add(channels_, INDEX(emit.lanes - 1)), INDEX(emit.lanes))

        def where(ok: Any, mask: Any) -> Any:
            return builder.select(ok, mask, nothing)

        def between(number: int, low: Any, high: Any) -> Any:
            return builder.and_(
                builder.icmp_signed("<=", low, INDEX(number)),
                builder.icmp_signed("<", INDEX(number), high),
            )

        rows_ok = [between(i, top_, bottom_) for i in range(columns)]
        columns_ok = [between(j, left_, right_) for j in range(columns)]

        def step(carried: Any) -> Any:
            (done,) = carried
            mask = emit.mask(builder.sub(channels_, done), 0)
            grid = []
            for i in range(columns):
                line = emit.at(emit.at(first, done), emit.scaled(s_row_, i))
                grid.append([
                    emit.load(
                        emit.at(line, emit.scaled(s_col_, j)),
                        where(builder.and_(rows_ok[i], columns_ok[j]), mask) if kind == 1 else mask,
                    )
                    for j in range(columns)
                ])  # fmt: skip
            # M d, column by column, then (M d) M^T, row by row.
            half = list(zip(*[combine(emit, matrix, column) for column in zip(*grid, strict=True)],
                            strict=True))  # fmt: skip
            add = emit.load(emit.at(shift, done), mask) if kind == 2 else None
            for i in range(rows):
                line = emit.at(emit.at(result, done), emit.scaled(t_row_, i))
                for j, value in enumerate(combine(emit, matrix, half[i])):
                    keep, place = mask, emit.at(line, emit.scaled(t_col_, j))
                    if kind >= 2:
                        inside = builder.and_(
                            builder.icmp_signed("<", INDEX(i), height_),
                            builder.icmp_signed("<", INDEX(j), width_),
                        )
                        keep = where(inside, mask)
                        more = add if kind == 2 else emit.load(place, keep)
                        value = emit.clip(builder.fadd(value, more), ends)
                    emit.store(value, place, keep)
            return [builder.add(done, INDEX(emit.lanes))]

        emit.loop(groups, [INDEX(0)], step)
        return context.get_dummy_value()

    return signature, generate
