"""The register tile: the one loop in which all matrix products of the library spend their time.

    c[i, j] = init[i, j] + sum over s < segments, k < depth of  a_s[i, k] * b_s[k, j]

for a few rows i (14 with AVX-512) and two vectors of columns j, which are held in registers while
``k`` runs: each step loads two vectors of ``b`` and, for each row, one number of ``a`` that goes to
all lanes. Thus 2 + 14 loads feed 28 fused multiply-adds, and results touch memory once. Any
operand may be anywhere in memory: each has its own strides, so that channels-last images need no
rearrangement. A sum may come in *segments* that begin at offsets of their own: the lines of a
convolution window, for example.

A sum of many numbers in one register loses digits. So sums start from 0 after every ``BLOCK``
steps, and are added to what there is: the error then grows with the square root of the number of
blocks.

``init`` is the bias (with a row stride of 0), or what is in ``c`` already. Results are clipped to
``limits``: (0, inf) makes them a ReLU, and (-inf, inf) leaves them. A third member of ``limits`` is
an array that lies in memory as ``c`` does; it is added before they are clipped.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ...reference.activation import NO_LIMITS, Limits
from .vector import INDEX, Emitter

#: Steps of a sum in registers. A block less costs time, and a block more costs digits.
BLOCK = 96


def limits_of(dtype: Any, limits: Limits | None = None, more: Any = None) -> tuple[Any, ...]:
    """Return limits, and an array to add, as the tile takes them; ``None`` clips nothing."""
    ends = _ends(dtype, limits or NO_LIMITS)
    return ends if more is None else (*ends, more.reshape(-1))


@lru_cache(maxsize=256)
def _ends(dtype: Any, limits: Limits) -> tuple[Any, Any]:
    low, high = limits
    return dtype.type(low), dtype.type(high)


@intrinsic(prefer_literal=True)
def tile(
    typingctx, rows, vectors, a, ao, a_row, a_k, a_at, b, bo, b_k, b_at, init, io, i_row,
    c, co, c_row, segments, depth, columns, limits,
):  # fmt: skip
    """Compute one tile; ``rows`` and ``vectors`` (of columns) are constants.

    ``a``, ``b``, ``init``, ``c`` are arrays of one dtype; ``ao`` ... ``co`` say with which element
    of their memory the tile begins, ``a_at`` and ``b_at`` are int64 arrays of where each segment
    does, and the rest are distances in elements. Only ``columns`` columns of
    init and c are read and written, while ``b`` is read to the end of its vectors.
    """
    count_rows, count_vectors = rows.literal_value, vectors.literal_value
    index = types.intp
    signature = types.void(
        rows, vectors, a, index, index, index, a_at, b, index, index, b_at, init, index, index,
        c, index, index, index, index, index, limits,
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (_, _, a_, ao_, a_row_, a_k_, a_at_, b_, bo_, b_k_, b_at_, init_, io_, i_row_,
         c_, co_, c_row_, segments_, depth_, columns_, limits_) = args  # fmt: skip
        emit = Emitter(context, builder, a)
        lanes = emit.lanes
        cells = [(i, j) for i in range(count_rows) for j in range(count_vectors)]
        masks = [emit.mask(columns_, j * lanes) for j in range(count_vectors)]

        zeros = [emit.constant(0.0) for _ in cells]
        target = emit.pointer(c, c_, co_)
        more = None
        if len(limits) == 3:
            more = emit.pointer(limits[2], builder.extract_value(limits_, 2), co_)

        def place(base: Any, row: Any, i: int, j: int) -> Any:
            return emit.at(emit.at(base, emit.scaled(row, i)), j * lanes)

        def flush(carried: Any) -> Any:
            _, base, row, *sums = carried
            for (i, j), value in zip(cells, sums, strict=True):
                before = emit.load(place(base, row, i, j), masks[j])
                emit.store(emit.add(before, value), place(target, c_row_, i, j), masks[j])
            return [INDEX(0), target, c_row_, *zeros]

        # Offsets of the rows do not change: LLVM keeps them in registers or address modes.
        row_offsets = [emit.scaled(a_row_, i) for i in range(count_rows)]

        def step(carried: Any) -> Any:
            at_a, at_b, *sums = carried
            columns_of_b = [emit.load(emit.at(at_b, j * lanes)) for j in range(count_vectors)]
            for i in range(count_rows):
                number = emit.broadcast(emit.at(at_a, row_offsets[i]))
                for j in range(count_vectors):
                    at = i * count_vectors + j
                    sums[at] = emit.fma(number, columns_of_b[j], sums[at])
            return [emit.at(at_a, a_k_), emit.at(at_b, b_k_), *sums]

        at_a, at_b = emit.pointer(a, a_, ao_), emit.pointer(b, b_, bo_)
        table_a = emit.pointer(a_at, a_at_, INDEX(0))
        table_b = emit.pointer(b_at, b_at_, INDEX(0))

        def block(carried: Any) -> Any:
            left, next_a, next_b, done, base, row, *sums = carried
            count = emit.least(left, builder.sub(INDEX(BLOCK), done))
            next_a, next_b, *sums = emit.loop(count, [next_a, next_b, *sums], step)
            done = builder.add(done, count)
            full = builder.icmp_signed("==", done, INDEX(BLOCK))
            rest = emit.when(full, [done, base, row, *sums], flush)
            return [builder.sub(left, count), next_a, next_b, *rest]

        def segment(carried: Any) -> Any:
            number, done, *rest = carried
            first_a = emit.at(at_a, builder.load(emit.at(table_a, number)))
            first_b = emit.at(at_b, builder.load(emit.at(table_b, number)))
            blocks = builder.add(builder.add(done, depth_), INDEX(BLOCK - 1))
            blocks = builder.sdiv(blocks, INDEX(BLOCK))
            _, _, _, *rest = emit.loop(blocks, [depth_, first_a, first_b, done, *rest], block)
            return [builder.add(number, INDEX(1)), *rest]

        first = [INDEX(0), INDEX(0), emit.pointer(init, init_, io_), i_row_, *zeros]
        _, _, base, row, *sums = emit.loop(segments_, first, segment)
        ends = emit.limits(limits_)
        for (i, j), value in zip(cells, sums, strict=True):
            value = emit.add(emit.load(place(base, row, i, j), masks[j]), value)
            if more is not None:
                value = emit.add(value, emit.load(place(more, c_row_, i, j), masks[j]))
            emit.store(emit.clip(value, ends), place(target, c_row_, i, j), masks[j])
        return context.get_dummy_value()

    return signature, generate
