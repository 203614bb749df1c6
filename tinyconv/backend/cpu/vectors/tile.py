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

Rows are gone through in tiles of several heights, those of fewer rows for what is left of those of
more. All of that is one intrinsic: a call of a compiled function, with so many arguments, takes as
long as a small tile.

``init`` is the bias (with a row stride of 0), or what is in ``c`` already. Results are clipped to
``limits``: (0, inf) makes them a ReLU, and (-inf, inf) leaves them. A third member of ``limits`` is
an array that lies in memory as ``c`` does; it is added before they are clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

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


class Operands(NamedTuple):
    """The arguments of a product, by what they are called above; all are values of LLVM."""

    a: Any
    ao: Any
    a_row: Any
    a_k: Any
    a_at: Any
    b: Any
    bo: Any
    b_k: Any
    b_at: Any
    init: Any
    io: Any
    i_row: Any
    c: Any
    co: Any
    c_row: Any
    rows: Any
    segments: Any
    depth: Any
    columns: Any
    limits: Any


def product_of(heights: Sequence[int], vectors: int) -> Any:
    """Return an intrinsic: the product of any number of rows with some vectors of columns.

    ``heights`` are the rows of its tiles, most first and 1 last.
    """

    @intrinsic
    def product(
        typingctx, a, ao, a_row, a_k, a_at, b, bo, b_k, b_at, init, io, i_row, c, co, c_row,
        rows, segments, depth, columns, limits,
    ):  # fmt: skip
        """Compute ``rows`` rows of c.

        ``a``, ``b``, ``init``, ``c`` are arrays of one dtype; ``ao`` ... ``co`` say with which
        element of their memory the product begins, ``a_at`` and ``b_at`` are int64 arrays of where
        each segment does, and the rest are distances in elements. Only ``columns`` columns of init
        and c are read and written, while ``b`` is read to the end of its vectors.
        """
        index = types.intp
        signature = types.void(
            a, index, index, index, a_at, b, index, index, b_at, init, index, index, c, index,
            index, index, index, index, index, limits,
        )  # fmt: skip

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit, given = Emitter(context, builder, a), Operands(*args)
            tile = _Tile(emit, Operands(*sig.args), given, vectors)
            first = INDEX(0)
            for height in heights:
                tile.set_height(height)
                count = builder.sdiv(builder.sub(given.rows, first), INDEX(height))
                (first,) = emit.loop(count, [first], tile.write)
            return context.get_dummy_value()

        return signature, generate

    return product


class _Tile:
    """Writes the code of tiles of one height."""

    def __init__(self, emit: Emitter, types_: Operands, given: Operands, vectors: int) -> None:
        self.emit, self.given, self.vectors = emit, given, vectors
        self.begin = {
            name: emit.pointer(getattr(types_, name), getattr(given, name), offset)
            for name, offset in (("a", given.ao), ("b", given.bo), ("init", given.io),
                                 ("c", given.co), ("a_at", INDEX(0)), ("b_at", INDEX(0)))
        }  # fmt: skip
        if len(types_.limits) == 3:
            more = emit.builder.extract_value(given.limits, 2)
            self.begin["more"] = emit.pointer(types_.limits[2], more, given.co)
        self.ends = emit.limits(given.limits)
        self.masks = [emit.mask(given.columns, j * emit.lanes) for j in range(vectors)]

    def set_height(self, height: int) -> None:
        """Have the tiles that follow be of so many rows."""
        self.height = height
        self.cells = [(i, j) for i in range(height) for j in range(self.vectors)]
        self.zeros = [self.emit.constant(0.0) for _ in self.cells]
        # LLVM adds up where rows begin, each after the one before: a cycle a row. Two multiply-adds
        # a row take as long, one does not.
        a_row = self.given.a_row
        self.offsets = [self.emit.scaled(a_row, i) for i in range(height)]
        if self.vectors == 1:
            self.offsets = self.emit.multiples(a_row, height)

    def write(self, carried: Any) -> Any:
        """Write the code of a tile that begins with a row; return the row after it."""
        (first,) = carried
        emit, given, builder = self.emit, self.given, self.emit.builder
        rows = {"a": given.a_row, "init": given.i_row, "c": given.c_row, "more": given.c_row}
        at = {
            name: emit.at(pointer, builder.mul(first, rows[name])) if name in rows else pointer
            for name, pointer in self.begin.items()
        }

        def segment(carried: Any) -> Any:
            number, done, *rest = carried
            first_a = emit.at(at["a"], builder.load(emit.at(at["a_at"], number)))
            first_b = emit.at(at["b"], builder.load(emit.at(at["b_at"], number)))
            blocks = builder.add(builder.add(done, given.depth), INDEX(BLOCK - 1))
            blocks = builder.sdiv(blocks, INDEX(BLOCK))
            start = [given.depth, first_a, first_b, done, *rest]
            _, _, _, *rest = emit.loop(blocks, start, block)
            return [builder.add(number, INDEX(1)), *rest]

        def block(carried: Any) -> Any:
            left, next_a, next_b, done, *rest = carried
            base, row, *sums = rest
            count = emit.least(left, builder.sub(INDEX(BLOCK), done))
            next_a, next_b, *sums = emit.loop(count, [next_a, next_b, *sums], self._step)
            done = builder.add(done, count)
            full = builder.icmp_signed("==", done, INDEX(BLOCK))
            rest = emit.when(full, [done, base, row, *sums], flush)
            return [builder.sub(left, count), next_a, next_b, *rest]

        def flush(carried: Any) -> Any:
            _, base, row, *sums = carried
            for (i, j), value in zip(self.cells, sums, strict=True):
                before = emit.load(self._place(base, row, i, j), self.masks[j])
                place = self._place(at["c"], given.c_row, i, j)
                emit.store(emit.add(before, value), place, self.masks[j])
            return [INDEX(0), at["c"], given.c_row, *self.zeros]

        start = [INDEX(0), INDEX(0), at["init"], given.i_row, *self.zeros]
        _, _, base, row, *sums = emit.loop(given.segments, start, segment)
        for (i, j), value in zip(self.cells, sums, strict=True):
            mask, place = self.masks[j], self._place(at["c"], given.c_row, i, j)
            value = emit.add(emit.load(self._place(base, row, i, j), mask), value)
            if "more" in at:
                more = self._place(at["more"], given.c_row, i, j)
                value = emit.add(value, emit.load(more, mask))
            emit.store(emit.clip(value, self.ends), place, mask)
        return [builder.add(first, INDEX(self.height))]

    def _step(self, carried: Any) -> Any:
        """Add the products of one ``k`` to the sums."""
        emit, (at_a, at_b, *sums) = self.emit, carried
        columns_of_b = [emit.load(emit.at(at_b, j * emit.lanes)) for j in range(self.vectors)]
        for i, offset in enumerate(self.offsets):
            number = emit.broadcast(emit.at(at_a, offset))
            for j in range(self.vectors):
                cell = i * self.vectors + j
                sums[cell] = emit.fma(number, columns_of_b[j], sums[cell])
        return [emit.at(at_a, self.given.a_k), emit.at(at_b, self.given.b_k), *sums]

    def _place(self, base: Any, row: Any, i: int, j: int) -> Any:
        emit = self.emit
        return emit.at(emit.at(base, emit.scaled(row, i)), j * emit.lanes)
