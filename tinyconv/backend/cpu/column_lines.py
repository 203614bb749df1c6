"""The innermost loops of :mod:`.column_loops`, in vector instructions: along one line, or four.

A line is short, and several vectors of numbers belong to its columns. Numba's own vectoriser would
compare the addresses of all arrays before each line. Four lines that follow each other are taken
together where one array is read; two and more arrays, read in four places each, are more streams
than a processor fetches ahead, which made gradients of large maps 1.6 times slower.

All functions take where the (first) line begins (``at``), its length (``count``) and that of a
whole one (``line``), in elements of arrays that count as flat memory. ``vectors`` has rows that are
as long as a line, those named below; ``own`` is the element with which the first of them begins.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from .vector import INDEX, Emitter

#: The rows of vectors: ``(x - centre) * scale + shift`` is the result of a normalisation, and
#: ``scale * dy + slope * (x - centre) + offset`` its gradient.
CENTRE, SCALE, SHIFT, SLOPE, OFFSET = range(5)
_index = types.intp


class Memory:
    """An array from an element on, read and written a vector at a time."""

    def __init__(self, emit: Emitter, kind: Any, array: Any, start: Any) -> None:
        self.emit, self.begin = emit, emit.pointer(kind, array, start)

    def load(self, at: Any, mask: Any) -> Any:
        """Return the vector at an element."""
        return self.emit.load(self.emit.at(self.begin, at), mask)

    def store(self, value: Any, at: Any, mask: Any) -> None:
        """Write the vector at an element."""
        self.emit.store(value, self.emit.at(self.begin, at), mask)


def _memory(emit: Emitter, kind: Any, array: Any, at: Any) -> Memory | None:
    """Return an array from an element on; ``None``, if there is no array."""
    return None if isinstance(kind, types.NoneType) else Memory(emit, kind, array, at)


def _rows(emit: Emitter, kind: Any, array: Any, own: Any, line: Any, count: int) -> list[Memory]:
    """Return the memory of the first rows of vectors."""
    starts = [emit.builder.add(own, emit.scaled(line, i)) for i in range(count)]
    return [Memory(emit, kind, array, start) for start in starts]


def _ends(emit: Emitter, kind: Any, limits: Any, like: Any) -> list[Any]:
    """Return limits as vectors of the dtype of an array; nothing, if there are none."""
    if isinstance(kind, types.NoneType):
        return []
    cast, numbers = emit.context.cast, (emit.builder.extract_value(limits, i) for i in range(2))
    return [emit.splat(cast(emit.builder, n, kind.dtype, like.dtype)) for n in numbers]


def _hidden(emit: Emitter, ends: list[Any], result: Any, gradient: Any) -> Any:
    """Return a gradient, and 0 where the result was clipped to one of the ends."""
    (low, high), builder = ends, emit.builder
    below = builder.fcmp_ordered("<=", result, low)
    above = builder.fcmp_ordered(">=", result, high)
    return builder.select(builder.or_(below, above), emit.constant(0.0), gradient)


@intrinsic(prefer_literal=True)
def add_differences(typingctx, rows, x, at, line, count, centre, plain, square):
    """Add ``x - centre`` and its square to the sums of each column, for one line or several.

    ``rows`` says for how many; it is a constant.
    """
    signature = types.void(rows, x, _index, _index, _index, centre, plain, square)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, x_, at_, line_, count_, centre_, plain_, square_ = args
        emit = Emitter(context, builder, x)
        inputs = _rows(emit, x, x_, at_, line_, rows.literal_value)
        own = ((centre, centre_), (plain, plain_), (square, square_))
        middle, total, squares = (Memory(emit, *array, INDEX(0)) for array in own)

        def body(at: Any, mask: Any) -> None:
            h = middle.load(at, mask)
            differences = [builder.fsub(memory.load(at, mask), h) for memory in inputs]
            _add_to(total, squares, differences, differences, at, mask)

        emit.each_vector(count_, body)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def map_line(typingctx, x, other, at, line, count, vectors, own, limits, y, to):
    """Write ``(x - centre) * scale + shift + other``, clipped; NaN stays NaN.

    The result begins with element ``to`` of ``y``.
    """
    signature = types.void(x, other, _index, _index, _index, vectors, _index, limits, y, _index)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x_, other_, at_, line_, count_, vectors_, own_, limits_, y_, to_ = args
        emit = Emitter(context, builder, x)
        source, result = Memory(emit, x, x_, at_), Memory(emit, y, y_, to_)
        added = _memory(emit, other, other_, at_)
        own_rows = _rows(emit, vectors, vectors_, own_, line_, SHIFT + 1)
        low, high = _ends(emit, limits, limits_, x)

        def body(at: Any, mask: Any) -> None:
            centre, scale, shift = (memory.load(at, mask) for memory in own_rows)
            value = emit.fma(builder.fsub(source.load(at, mask), centre), scale, shift)
            if added is not None:
                value = emit.add(value, added.load(at, mask))
            value = builder.select(builder.fcmp_ordered("<=", value, low), low, value)
            value = builder.select(builder.fcmp_ordered(">=", value, high), high, value)
            result.store(value, at, mask)

        emit.each_vector(count_, body)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_gradient_line(
    typingctx, dy, x, y, at, line, count, vectors, own, limits, plain, product
):  # fmt: skip
    """Add ``dy`` and ``dy * (x - centre)`` to the sums of each column.

    With ``limits``, ``dy`` counts as 0 where ``y`` is at one of them; NaN is none. Without ``y``,
    that was ``(x - centre) * scale + shift``, and is computed again: to read it takes longer.
    """
    signature = types.void(
        dy, x, y, _index, _index, _index, vectors, _index, limits, plain, product
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dy_, x_, y_, at_, line_, count_, vectors_, own_, limits_, plain_, product_ = args
        emit = Emitter(context, builder, x)
        pixels = [_memory(emit, *array, at_) for array in ((dy, dy_), (x, x_), (y, y_))]
        own_rows = _rows(emit, vectors, vectors_, own_, line_, SHIFT + 1)
        sums = (plain, plain_), (product, product_)
        total, products = (Memory(emit, *array, INDEX(0)) for array in sums)
        ends = _ends(emit, limits, limits_, x)

        def body(at: Any, mask: Any) -> None:
            own_vectors = [memory.load(at, mask) for memory in own_rows]
            gradient, difference = _read(emit, pixels, own_vectors, ends, at, mask)
            _add_to(total, products, [gradient], [difference], at, mask)

        emit.each_vector(count_, body)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def map_gradient_line(
    typingctx, dy, x, y, at, line, count, vectors, own, limits, moving, add, dx
):  # fmt: skip
    """Write ``scale * dy + slope * (x - centre) + offset``, with ``dy`` as above.

    If ``moving`` is ``None``, write ``scale * dy``, whatever ``x`` is. If ``add`` is not ``None``,
    add to what is there.
    """
    signature = types.void(
        dy, x, y, _index, _index, _index, vectors, _index, limits, moving, add, dx
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dy_, x_, y_, at_, line_, count_, vectors_, own_, limits_, _, _, dx_ = args
        emit = Emitter(context, builder, x)
        pixels = [_memory(emit, *array, at_) for array in ((dy, dy_), (x, x_), (y, y_))]
        result = Memory(emit, dx, dx_, at_)
        own_rows = _rows(emit, vectors, vectors_, own_, line_, OFFSET + 1)
        ends = _ends(emit, limits, limits_, x)

        def body(at: Any, mask: Any) -> None:
            own_vectors = [memory.load(at, mask) for memory in own_rows]
            _, scale, _, slope, offset = own_vectors
            gradient, difference = _read(emit, pixels, own_vectors, ends, at, mask)
            if isinstance(moving, types.NoneType):
                value = builder.fmul(scale, gradient)
            else:
                value = emit.fma(scale, gradient, emit.fma(slope, difference, offset))
            if not isinstance(add, types.NoneType):
                value = emit.add(result.load(at, mask), value)
            result.store(value, at, mask)

        emit.each_vector(count_, body)
        return context.get_dummy_value()

    return signature, generate


def _add_to(total: Memory, products: Memory, a: Any, b: Any, at: Any, mask: Any) -> None:
    """Add vectors ``a`` and ``a * b`` to two lines of sums.

    First to each other: the sums are larger, and lose more digits with each addition.
    """
    emit = total.emit
    plain, product = a[0], emit.builder.fmul(a[0], b[0])
    for x, y in zip(a[1:], b[1:], strict=True):
        plain, product = emit.add(plain, x), emit.fma(x, y, product)
    total.store(emit.add(total.load(at, mask), plain), at, mask)
    products.store(emit.add(products.load(at, mask), product), at, mask)


def _read(emit: Emitter, memories: Any, vectors: Any, ends: Any, at: Any, mask: Any) -> Any:
    """Return vectors of ``dy``, with 0 where it does not count, and of ``x - centre``."""
    dy, x, y = memories
    gradient = dy.load(at, mask)
    difference = emit.builder.fsub(x.load(at, mask), vectors[CENTRE])
    if ends:
        if y is None:
            result = emit.fma(difference, vectors[SCALE], vectors[SHIFT])
        else:
            result = y.load(at, mask)
        gradient = _hidden(emit, ends, result, gradient)
    return gradient, difference
