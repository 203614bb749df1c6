"""The innermost loops of :mod:`.column_loops`, in vector instructions: down the columns of lines.

Several vectors of numbers belong to the columns of a line. They are read into registers once for a
few lines, and sums stay there: a *panel*, of ``PANEL`` vectors side by side, is gone through from
the first line to the last, then the next one. No processor foresees that order, so what the next
call reads is fetched meanwhile: the same panel of as many lines further on. Without that, gradients
of large maps took up to twice as long.

All functions take where the first line begins (``at``), how many there are (``rows``), how far they
are apart (``step``) and their length (``count``), in elements of arrays that count as flat memory.
``vectors`` has rows of ``wide`` elements, those named below; ``own`` is the element with which the
first of them begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ..host import host
from ..vectors.vector import INDEX, Emitter

#: The rows of vectors: ``(x - centre) * scale + shift`` is the result of a normalisation, and
#: ``scale * dy + slope * (x - centre) + offset`` its gradient.
CENTRE, SCALE, SHIFT, SLOPE, OFFSET = range(5)
_index = types.intp
#: Vectors of a panel: each takes up to five registers.
PANEL = 4 if host().vector_bytes >= 64 else 2


class Memory:
    """An array from an element on, read and written a vector at a time."""

    def __init__(self, emit: Emitter, kind: Any, array: Any, start: Any) -> None:
        self.emit, self.begin = emit, emit.pointer(kind, array, start)

    def load(self, at: Any, mask: Any) -> Any:
        """Return the vector at an element."""
        return self.emit.load(self.emit.at(self.begin, at), mask)

    def fetch(self, at: Any) -> None:
        """Have the vector at an element come to the cache; there need not be one."""
        self.emit.prefetch(self.emit.at(self.begin, at))

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


def _panels(emit: Emitter, count: Any, body: Callable[[list[Any], Any], None]) -> None:
    """Run ``body`` for all panels of ``count`` columns; it takes where their vectors begin.

    And a mask, for the last vector, if it is not a whole one.
    """
    builder, lanes = emit.builder, emit.lanes

    def run(vectors: int, begin: Any) -> Any:
        def panel(carried: Any) -> Any:
            (at,) = carried
            body([builder.add(at, INDEX(i * lanes)) for i in range(vectors)], None)
            return [builder.add(at, INDEX(vectors * lanes))]

        panels = builder.sdiv(builder.sub(count, begin), INDEX(vectors * lanes))
        return emit.loop(panels, [begin], panel)[0]

    at = run(1, run(PANEL, INDEX(0)))
    with builder.if_then(builder.icmp_signed("<", at, count)):
        body([at], emit.mask(builder.sub(count, at), 0))


@intrinsic
def add_differences(typingctx, x, at, rows, step, count, centre, plain, square):
    """Add ``x - centre`` and its square to the sums of each column.

    Four lines at a time are first added to each other: the sums are larger, and lose more digits
    with each addition.
    """
    signature = types.void(x, _index, _index, _index, _index, centre, plain, square)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x_, at_, rows_, step_, count_, centre_, plain_, square_ = args
        emit = Emitter(context, builder, x)
        source = Memory(emit, x, x_, at_)
        own = ((centre, centre_), (plain, plain_), (square, square_))
        middle, *sums = (Memory(emit, *array, INDEX(0)) for array in own)

        ahead = builder.mul(step_, rows_)

        def panel(places: list[Any], mask: Any) -> None:
            centres = [middle.load(place, mask) for place in places]

            def lines(number: int) -> Callable[[Any], Any]:
                def add(carried: Any) -> Any:
                    offset, *totals = carried
                    starts = [offset]
                    for _ in range(number):
                        starts.append(builder.add(starts[-1], step_))
                    results = [starts.pop()]
                    for i, (place, h) in enumerate(zip(places, centres, strict=True)):
                        spots = [builder.add(start, place) for start in starts]
                        for spot in spots:
                            source.fetch(builder.add(spot, ahead))
                        d = [builder.fsub(source.load(spot, mask), h) for spot in spots]
                        results += _added(emit, totals[2 * i : 2 * i + 2], d, d)
                    return results

                return add

            fours = builder.sdiv(rows_, INDEX(4))
            carried = emit.loop(fours, [INDEX(0), *_loaded(sums, places, mask)], lines(4))
            carried = emit.loop(builder.srem(rows_, INDEX(4)), carried, lines(1))
            _stored(carried[1:], sums, places, mask)

        _panels(emit, count_, panel)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def map_lines(
    typingctx, x, other, at, rows, step, count, vectors, own, wide, limits, y, to, y_step
):  # fmt: skip
    """Write ``(x - centre) * scale + shift + other``, clipped; NaN stays NaN.

    The lines of the result begin with element ``to`` of ``y``, and are ``y_step`` apart.
    """
    signature = types.void(
        x, other, _index, _index, _index, _index, vectors, _index, _index, limits, y, _index, _index
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (x_, other_, at_, rows_, step_, count_, vectors_, own_, wide_, limits_, y_, to_,
         y_step_) = args  # fmt: skip
        emit = Emitter(context, builder, x)
        source, result = Memory(emit, x, x_, at_), Memory(emit, y, y_, to_)
        added = _memory(emit, other, other_, at_)
        own_rows = _rows(emit, vectors, vectors_, own_, wide_, SHIFT + 1)
        low, high = _ends(emit, limits, limits_, x)

        ahead = builder.mul(step_, rows_)

        def panel(places: list[Any], mask: Any) -> None:
            own_vectors = [[memory.load(place, mask) for memory in own_rows] for place in places]

            def line(carried: Any) -> Any:
                offset, to = carried
                for place, (centre, scale, shift) in zip(places, own_vectors, strict=True):
                    at = builder.add(offset, place)
                    source.fetch(builder.add(at, ahead))
                    value = emit.fma(builder.fsub(source.load(at, mask), centre), scale, shift)
                    if added is not None:
                        value = emit.add(value, added.load(at, mask))
                    value = builder.select(builder.fcmp_ordered("<=", value, low), low, value)
                    value = builder.select(builder.fcmp_ordered(">=", value, high), high, value)
                    result.store(value, builder.add(to, place), mask)
                return [builder.add(offset, step_), builder.add(to, y_step_)]

            emit.loop(rows_, [INDEX(0), INDEX(0)], line)

        _panels(emit, count_, panel)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_gradient_lines(
    typingctx, dy, x, y, at, rows, step, count, vectors, own, wide, limits, plain, product
):  # fmt: skip
    """Add ``dy`` and ``dy * (x - centre)`` to the sums of each column.

    With ``limits``, ``dy`` counts as 0 where ``y`` is at one of them; NaN is none. Without ``y``,
    that was ``(x - centre) * scale + shift``, and is computed again: to read it takes longer.
    """
    signature = types.void(
        dy, x, y, _index, _index, _index, _index, vectors, _index, _index, limits, plain, product
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (dy_, x_, y_, at_, rows_, step_, count_, vectors_, own_, wide_, limits_, plain_,
         product_) = args  # fmt: skip
        emit = Emitter(context, builder, x)
        pixels = [_memory(emit, *array, at_) for array in ((dy, dy_), (x, x_), (y, y_))]
        own_rows = _rows(emit, vectors, vectors_, own_, wide_, SHIFT + 1)
        arrays = (plain, plain_), (product, product_)
        sums = [Memory(emit, *array, INDEX(0)) for array in arrays]
        ends = _ends(emit, limits, limits_, x)

        ahead = builder.mul(step_, rows_)

        def panel(places: list[Any], mask: Any) -> None:
            own_vectors = [[memory.load(place, mask) for memory in own_rows] for place in places]

            def line(carried: Any) -> Any:
                offset, *totals = carried
                results = [builder.add(offset, step_)]
                for i, (place, numbers) in enumerate(zip(places, own_vectors, strict=True)):
                    at = builder.add(offset, place)
                    _fetch(pixels, builder.add(at, ahead))
                    gradient, difference = _read(emit, pixels, numbers, ends, at, mask)
                    results += _added(
                        emit, totals[2 * i : 2 * i + 2], [gradient], [difference]
                    )  # fmt: skip
                return results

            carried = emit.loop(rows_, [INDEX(0), *_loaded(sums, places, mask)], line)
            _stored(carried[1:], sums, places, mask)

        _panels(emit, count_, panel)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def map_gradient_lines(
    typingctx, dy, x, y, at, rows, step, count, vectors, own, wide, limits, moving, add, dx
):  # fmt: skip
    """Write ``scale * dy + slope * (x - centre) + offset``, with ``dy`` as above.

    If ``moving`` is ``None``, write ``scale * dy``, whatever ``x`` is. If ``add`` is not ``None``,
    add to what is there.
    """
    signature = types.void(
        dy, x, y, _index, _index, _index, _index, vectors, _index, _index, limits, moving, add, dx
    )  # fmt: skip

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (dy_, x_, y_, at_, rows_, step_, count_, vectors_, own_, wide_, limits_, _, _,
         dx_) = args  # fmt: skip
        emit = Emitter(context, builder, x)
        pixels = [_memory(emit, *array, at_) for array in ((dy, dy_), (x, x_), (y, y_))]
        result = Memory(emit, dx, dx_, at_)
        own_rows = _rows(emit, vectors, vectors_, own_, wide_, OFFSET + 1)
        ends = _ends(emit, limits, limits_, x)

        ahead = builder.mul(step_, rows_)

        def panel(places: list[Any], mask: Any) -> None:
            own_vectors = [[memory.load(place, mask) for memory in own_rows] for place in places]

            def line(carried: Any) -> Any:
                (start,) = carried
                for place, numbers in zip(places, own_vectors, strict=True):
                    at = builder.add(start, place)
                    _, scale, _, slope, offset = numbers
                    _fetch(pixels, builder.add(at, ahead))
                    gradient, difference = _read(emit, pixels, numbers, ends, at, mask)
                    if isinstance(moving, types.NoneType):
                        value = builder.fmul(scale, gradient)
                    else:
                        value = emit.fma(scale, gradient, emit.fma(slope, difference, offset))
                    if not isinstance(add, types.NoneType):
                        value = emit.add(result.load(at, mask), value)
                    result.store(value, at, mask)
                return [builder.add(start, step_)]

            emit.loop(rows_, [INDEX(0)], line)

        _panels(emit, count_, panel)
        return context.get_dummy_value()

    return signature, generate


def _loaded(sums: list[Memory], places: list[Any], mask: Any) -> list[Any]:
    """Return the vectors of two lines of sums, one of each by turns."""
    return [memory.load(place, mask) for place in places for memory in sums]


def _stored(vectors: Any, sums: list[Memory], places: list[Any], mask: Any) -> None:
    """Write what :func:`_loaded` returns."""
    targets = [(memory, place) for place in places for memory in sums]
    for vector, (memory, place) in zip(vectors, targets, strict=True):
        memory.store(vector, place, mask)


def _added(emit: Emitter, sums: Any, a: Any, b: Any) -> list[Any]:
    """Return a sum plus vectors ``a``, and one plus ``a * b``; these are added up before."""
    plain, product = a[0], emit.builder.fmul(a[0], b[0])
    for x, y in zip(a[1:], b[1:], strict=True):
        plain, product = emit.add(plain, x), emit.fma(x, y, product)
    return [emit.add(sums[0], plain), emit.add(sums[1], product)]


def _fetch(memories: list[Memory | None], at: Any) -> None:
    """Fetch the vectors of those arrays that there are."""
    for memory in memories:
        if memory is not None:
            memory.fetch(at)


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
