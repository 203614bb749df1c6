"""All taps of a window for vectors of adjacent channels: the inner loops of pooling.

Each intrinsic here makes one pixel of a result, or a run of pixels (see :mod:`.spans`), from its
windows. It takes the channels four vectors at a time, keeps their results in registers while it
visits the taps, and writes them once; the last vectors are masked, so any number of channels will
do. A tap is a distance in memory and a number, and both grow in even steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from ..vectors.vector import INDEX, Emitter

#: Vectors that are worked on together: enough to hide the latency of an addition.
TOGETHER = 4
#: One number for each of: plane, row, column.
COUNTS = types.UniTuple(types.intp, 3)


class Sweep(Emitter):
    """Writes the loops over channels and taps; see :class:`~.vector.Emitter` for the rest."""

    def channels(
        self,
        count: Any,
        unit: Callable[[Any, int, Any], None],
        together: tuple[int, ...] = (TOGETHER, 1),
    ) -> None:
        """Call ``unit(first, vectors, mask)`` for all of ``count`` channels."""
        builder, first = self.builder, INDEX(0)
        for vectors in together:
            size = INDEX(vectors * self.lanes)

            def whole(
                carried: Sequence[Any], vectors: int = vectors, size: Any = size
            ) -> Sequence[Any]:
                unit(carried[0], vectors, None)
                return [builder.add(carried[0], size)]

            times = builder.udiv(builder.sub(count, first), size)
            (first,) = self.loop(times, [first], whole)
        left = builder.sub(count, first)
        with builder.if_then(builder.icmp_signed(">", left, INDEX(0))):
            unit(first, 1, self.mask(left, 0))

    def taps(
        self, window: Window, carried: Sequence[Any], body: Callable[[Any, Any, Any], Any]
    ) -> list[Any]:
        """Call ``body(offset, tap, carried)`` for each tap of the window."""
        return self._along(window, 0, window.offset, window.tap, carried, body, len(window.counts))

    def row(
        self, window: Window, offset: Any, tap: Any, carried: Sequence[Any], body: Any
    ) -> list[Any]:
        """Call ``body(offset, tap, carried)`` for each tap of one row."""
        dims = len(window.counts)
        return self._along(window, dims - 1, offset, tap, carried, body, dims)

    def rows(
        self, window: Window, carried: Sequence[Any], body: Callable[[Any, Any, Any], Any]
    ) -> list[Any]:
        """Call ``body(offset, tap, carried)`` for the first tap of each row of the window."""
        dims = len(window.counts) - 1
        return self._along(window, 0, window.offset, window.tap, carried, body, dims)

    def _along(
        self,
        window: Window,
        axis: int,
        offset: Any,
        tap: Any,
        carried: Sequence[Any],
        body: Callable[[Any, Any, Any], Any],
        end: int,
    ) -> list[Any]:
        """Nest the loops from ``axis`` to before ``end`` around ``body``."""
        if axis == end:
            return list(body(offset, tap, carried))

        def each(state: Sequence[Any]) -> Sequence[Any]:
            offset, tap, *values = state
            values = self._along(window, axis + 1, offset, tap, values, body, end)
            return [*window.next(axis, offset, tap), *values]

        return self.loop(window.counts[axis], [offset, tap, *carried], each)[2:]

    def integers(self, array: types.Array) -> ir.VectorType:
        """Return the vector type that pairs an integer of ``array`` with each lane."""
        return ir.VectorType(self.context.get_value_type(array.dtype), self.lanes)

    def splat_integer(self, kind: ir.VectorType, value: Any) -> Any:
        """Return a vector of one integer, cut to the size of its elements."""
        if kind.element.width < 64:
            value = self.builder.trunc(value, kind.element)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, one, order)

    def load_integers(self, kind: ir.VectorType, array: Any, place: Any, mask: Any) -> Any:
        """Load a vector of integers from an ``(address, size)``; masked lanes may hold anything.

        A masked load of bytes is slow on some processors, so it is left to the end of the array.
        """
        builder, (data, size) = self.builder, array
        pointer = builder.bitcast(self.at(data, place), kind.as_pointer())
        bytes_ = kind.element.width // 8
        if mask is None:
            return builder.load(pointer, align=bytes_)
        end = builder.add(place, INDEX(self.lanes))
        result = cgutils.alloca_once(builder, kind)
        with builder.if_else(builder.icmp_signed("<=", end, size)) as (fits, hangs_over):
            with fits:
                builder.store(builder.load(pointer, align=bytes_), result)
            with hangs_over:
                signature = ir.FunctionType(kind, [pointer.type, ir.IntType(32), mask.type, kind])
                function = self._masked("load", kind, signature)
                zero = ir.Constant(kind, [kind.element(0)] * self.lanes)
                loaded = builder.call(function, [pointer, ir.IntType(32)(bytes_), mask, zero])
                builder.store(loaded, result)
        return builder.load(result)

    def store_integers(self, value: Any, pointer: Any, mask: Any) -> None:
        """Store a vector of integers, without masked lanes."""
        address = self.builder.bitcast(pointer, value.type.as_pointer())
        size = value.type.element.width // 8
        if mask is None:
            self.builder.store(value, address, align=size)
            return
        signature = ir.FunctionType(
            ir.VoidType(), [value.type, address.type, ir.IntType(32), mask.type]
        )
        function = self._masked("store", value.type, signature)
        self.builder.call(function, [value, address, ir.IntType(32)(size), mask])

    def _masked(self, what: str, kind: ir.VectorType, signature: ir.FunctionType) -> Any:
        name = f"llvm.masked.{what}.v{self.lanes}i{kind.element.width}.p0"
        return cgutils.get_or_insert_function(self.builder.module, signature, name)

    def data(self, array: types.Array, value: Any) -> Any:
        """Return the address of an array's memory."""
        return arrayobj.make_array(array)(self.context, self.builder, value).data

    def memory(self, array: types.Array, value: Any) -> tuple[Any, Any]:
        """Return the address of an array's memory, and the number of its elements."""
        made = arrayobj.make_array(array)(self.context, self.builder, value)
        return made.data, made.nitems


class Window:
    """The taps of one window: where they start, how many there are, and the steps between them.

    ``counts`` are numbers of planes, rows and columns; with four ``steps`` there are no planes.
    """

    def __init__(self, builder: Any, offset: Any, tap: Any, counts: Any, steps: Any) -> None:
        self.builder, self.offset, self.tap = builder, offset, tap
        dims = steps.type.count // 2
        self.counts = [builder.extract_value(counts, i) for i in range(3 - dims, 3)]
        self.steps = [builder.extract_value(steps, i) for i in range(2 * dims)]

    def next(self, axis: int, offset: Any, tap: Any) -> tuple[Any, Any]:
        """Return the offset and the tap, one step further along an axis."""
        add = self.builder.add
        return add(offset, self.steps[axis]), add(tap, self.steps[axis + len(self.counts)])


@intrinsic
def largest(typingctx, x, offset, tap, counts, steps, y, window, at, channels):
    """Write the largest element of a window at ``y[at]``, and its tap at ``window[at]``."""
    signature = types.void(
        x, types.intp, types.intp, COUNTS, steps, y, window, types.intp, types.intp
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x_, offset_, tap_, counts_, steps_, y_, window_, at_, channels_ = args
        emit = Sweep(context, builder, x)
        taps = Window(builder, offset_, tap_, counts_, steps_)
        kind = emit.integers(window)
        source, target, winners = emit.data(x, x_), emit.data(y, y_), emit.data(window, window_)

        def unit(first: Any, vectors: int, mask: Any) -> None:
            def body(offset: Any, tap: Any, carried: Any) -> Any:
                best, winner = list(carried[:vectors]), list(carried[vectors:])
                number = emit.splat_integer(kind, tap)
                start = emit.at(emit.at(source, offset), first)
                for j in range(vectors):
                    value = emit.load(emit.at(start, j * emit.lanes), mask)
                    # Larger, or the first NaN: NaN is not <= anything.
                    above = builder.fcmp_unordered(">", value, best[j])
                    wins = builder.and_(above, builder.fcmp_ordered("ord", best[j], best[j]))
                    best[j] = builder.select(wins, value, best[j])
                    winner[j] = builder.select(wins, number, winner[j])
                return [*best, *winner]

            low = emit.constant(float("-inf"))
            none = emit.splat_integer(kind, taps.tap)
            results = emit.taps(taps, [low] * vectors + [none] * vectors, body)
            place = builder.add(at_, first)
            for j in range(vectors):
                emit.store(results[j], emit.at(emit.at(target, place), j * emit.lanes), mask)
                pointer = emit.at(emit.at(winners, place), j * emit.lanes)
                emit.store_integers(results[vectors + j], pointer, mask)

        emit.channels(channels_, unit)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def total(typingctx, x, offset, tap, counts, steps, divisor, inverse, y, at, channels):
    """Write the sum of a window, divided, at ``y[at]``: rows first, so that errors stay small.

    ``inverse`` is that of the divisor where it is exact, else 0: a division takes ten times as long
    as a product.
    """
    signature = types.void(
        x, types.intp, types.intp, COUNTS, steps, x.dtype, x.dtype, y, types.intp, types.intp
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x_, offset_, tap_, counts_, steps_, divisor_, inverse_, y_, at_, channels_ = args
        emit = Sweep(context, builder, x)
        taps = Window(builder, offset_, tap_, counts_, steps_)
        source, target = emit.data(x, x_), emit.data(y, y_)
        divide, multiply = emit.splat(divisor_), emit.splat(inverse_)
        exact = builder.fcmp_ordered("!=", inverse_, inverse_.type(0.0))

        def unit(first: Any, vectors: int, mask: Any) -> None:
            def body(offset: Any, _: Any, carried: Any) -> Any:
                start = emit.at(emit.at(source, offset), first)
                return [
                    builder.fadd(value, emit.load(emit.at(start, j * emit.lanes), mask))
                    for j, value in enumerate(carried)
                ]

            def row(offset: Any, tap: Any, carried: Any) -> Any:
                sums = emit.row(taps, offset, tap, [emit.constant(0.0)] * vectors, body)
                return [builder.fadd(a, b) for a, b in zip(carried, sums, strict=True)]

            results = emit.rows(taps, [emit.constant(0.0)] * vectors, row)
            place = emit.at(emit.at(target, at_), first)
            with builder.if_else(exact) as branches:
                for branch, operation, operand in zip(
                    branches, (builder.fmul, builder.fdiv), (multiply, divide), strict=True
                ):
                    with branch:
                        for j, result in enumerate(results):
                            to = emit.at(place, j * emit.lanes)
                            emit.store(operation(result, operand), to, mask)

        emit.channels(channels_, unit)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def total_of_winners(typingctx, dy, window, offset, tap, counts, steps, dx, at, channels):
    """Write at ``dx[at]`` the sum of those ``dy`` whose windows were won by this pixel."""
    signature = types.void(
        dy, window, types.intp, types.intp, COUNTS, steps, dx, types.intp, types.intp
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dy_, window_, offset_, tap_, counts_, steps_, dx_, at_, channels_ = args
        emit = Sweep(context, builder, dy)
        taps = Window(builder, offset_, tap_, counts_, steps_)
        kind, zero = emit.integers(window), emit.constant(0.0)
        winners = emit.memory(window, window_)
        source, target = emit.data(dy, dy_), emit.data(dx, dx_)

        def unit(first: Any, vectors: int, mask: Any) -> None:
            def body(offset: Any, tap: Any, carried: Any) -> Any:
                number, start = emit.splat_integer(kind, tap), builder.add(offset, first)
                sums = []
                for j, value in enumerate(carried):
                    place = builder.add(start, INDEX(j * emit.lanes))
                    winner = emit.load_integers(kind, winners, place, mask)
                    gradient = emit.load(emit.at(emit.at(source, start), j * emit.lanes), mask)
                    hit = builder.icmp_signed("==", winner, number)
                    sums.append(builder.fadd(value, builder.select(hit, gradient, zero)))
                return sums

            results = emit.taps(taps, [zero] * vectors, body)
            place = emit.at(emit.at(target, at_), first)
            for j, result in enumerate(results):
                emit.store(result, emit.at(place, j * emit.lanes), mask)

        emit.channels(channels_, unit)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def spread_to_winner(typingctx, dy, window, at, dx, to, kernel, line, channels):
    """Write a window of ``dx`` that no other overlaps: ``dy[at]`` at the tap that has won, else 0.

    The window begins at ``dx[to]``, has the sizes ``kernel``, and lines ``line`` elements apart.
    """
    index = types.intp
    signature = types.void(dy, window, index, dx, index, kernel, index, index)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        dy_, window_, at_, dx_, to_, kernel_, line_, channels_ = args
        emit = Sweep(context, builder, dy)
        kind, zero = emit.integers(window), emit.constant(0.0)
        winners, source = emit.memory(window, window_), emit.data(dy, dy_)
        target = emit.at(emit.data(dx, dx_), to_)
        high, wide = (builder.extract_value(kernel_, i) for i in range(2))

        def unit(first: Any, vectors: int, mask: Any) -> None:
            for j in range(vectors):
                channel = builder.add(first, INDEX(j * emit.lanes))
                place = builder.add(at_, channel)
                winner = emit.load_integers(kind, winners, place, mask)
                gradient = emit.load(emit.at(source, place), mask)

                def tap(carried: Any, winner: Any = winner, gradient: Any = gradient) -> Any:
                    number, pixel = carried
                    hit = builder.icmp_signed("==", winner, emit.splat_integer(kind, number))
                    emit.store(builder.select(hit, gradient, zero), pixel, mask)
                    return [builder.add(number, INDEX(1)), emit.at(pixel, channels_)]

                def row(carried: Any, tap: Any = tap) -> Any:
                    number, begin = carried
                    number, _ = emit.loop(wide, [number, begin], tap)
                    return [number, emit.at(begin, line_)]

                emit.loop(high, [INDEX(0), emit.at(target, channel)], row)

        emit.channels(channels_, unit)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def element_of_winner(typingctx, g, window, offset, tap, counts, steps, y, at, channels):
    """Write at ``y[at]`` the element of ``g`` at the tap ``window[at]``."""
    signature = types.void(
        g, window, types.intp, types.intp, COUNTS, steps, y, types.intp, types.intp
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        g_, window_, offset_, tap_, counts_, steps_, y_, at_, channels_ = args
        emit = Sweep(context, builder, g)
        taps = Window(builder, offset_, tap_, counts_, steps_)
        kind = emit.integers(window)
        winners = emit.memory(window, window_)
        source, target = emit.data(g, g_), emit.data(y, y_)

        def unit(first: Any, vectors: int, mask: Any) -> None:
            place = builder.add(at_, first)
            numbers = [
                emit.load_integers(kind, winners, builder.add(place, INDEX(j * emit.lanes)), mask)
                for j in range(vectors)
            ]

            def body(offset: Any, tap: Any, carried: Any) -> Any:
                number = emit.splat_integer(kind, tap)
                start = emit.at(emit.at(source, offset), first)
                return [
                    builder.select(
                        builder.icmp_signed("==", numbers[j], number),
                        emit.load(emit.at(start, j * emit.lanes), mask),
                        value,
                    )
                    for j, value in enumerate(carried)
                ]

            results = emit.taps(taps, [emit.constant(0.0)] * vectors, body)
            for j, result in enumerate(results):
                emit.store(result, emit.at(emit.at(target, place), j * emit.lanes), mask)

        emit.channels(channels_, unit)
        return context.get_dummy_value()

    return signature, generate
