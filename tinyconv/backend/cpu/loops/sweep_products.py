"""Sums of products over the taps of a window: the inner loops of depthwise convolution.

As in :mod:`.sweep`, channels are taken vector by vector. A multiplication needs two numbers from
memory, and a core loads no faster than it multiplies; so several pixels share each weight, or
several taps each gradient, while it is in a register.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ..vectors.vector import INDEX
from .sweep import COUNTS, Sweep, Window

#: Pixels of a run that are worked on together, of several vectors and of one; what is left is taken
#: one by one.
PIXELS, PIXELS_OF_ONE = (4, 1), (8, 4, 1)


@intrinsic
def weighted(
    typingctx,
    x,
    w,
    offset,
    tap,
    counts,
    steps,
    x_pixel,
    start,
    y,
    at,
    y_pixel,
    pixels,
    channels,
    limits,
):
    """Write the sums of ``x * w`` over the windows of a run of pixels; they begin with ``start``.

    ``tap`` is the place of a tap's weights in ``w``, ``start`` has a number for each channel, and
    ``x_pixel`` and ``y_pixel`` are the distances from one pixel's window or sum to the next.
    Results are clipped to ``limits``.
    """
    index = types.intp
    signature = types.void(
        x,
        w,
        index,
        index,
        COUNTS,
        steps,
        index,
        start,
        y,
        index,
        index,
        index,
        index,
        limits,
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (x_, w_, offset_, tap_, counts_, steps_, x_pixel_, start_, y_, at_, y_pixel_, pixels_,
         channels_, limits_) = args  # fmt: skip
        emit = Sweep(context, builder, x)
        ends = emit.limits(limits_)
        taps = Window(builder, offset_, tap_, counts_, steps_)
        source, weights = emit.data(x, x_), emit.data(w, w_)
        initial, target = emit.data(start, start_), emit.at(emit.data(y, y_), at_)

        def block(first: Any, vectors: int, pixel: Any, size: int, mask: Any) -> None:
            """Make ``size`` pixels from number ``pixel`` on."""
            here = builder.mul(pixel, x_pixel_)
            moves = [builder.mul(x_pixel_, INDEX(p)) for p in range(size)]
            source_here = emit.at(emit.at(source, here), first)
            weights_here = emit.at(weights, first)

            def body(offset: Any, tap: Any, carried: Any) -> Any:
                weight = emit.at(weights_here, tap)
                factors = [emit.load(emit.at(weight, j * emit.lanes), mask) for j in range(vectors)]
                start = emit.at(source_here, offset)
                sums = []
                for p, move in enumerate(moves):
                    at = emit.at(start, move)
                    for j, factor in enumerate(factors):
                        value = emit.load(emit.at(at, j * emit.lanes), mask)
                        sums.append(emit.fma(value, factor, carried[p * vectors + j]))
                return sums

            bias = emit.at(initial, first)
            carried = [emit.load(emit.at(bias, j * emit.lanes), mask) for j in range(vectors)]
            results = emit.taps(taps, carried * size, body)
            place = emit.at(emit.at(target, builder.mul(pixel, y_pixel_)), first)
            for p in range(size):
                for j in range(vectors):
                    pointer = emit.at(
                        emit.at(place, builder.mul(y_pixel_, INDEX(p))), j * emit.lanes
                    )
                    emit.store(emit.clip(results[p * vectors + j], ends), pointer, mask)

        def unit(first: Any, vectors: int, mask: Any) -> None:
            pixel = INDEX(0)
            for size in PIXELS if vectors > 1 else PIXELS_OF_ONE:
                times = builder.udiv(builder.sub(pixels_, pixel), INDEX(size))

                def each(carried: Any, size: int = size) -> Any:
                    block(first, vectors, carried[0], size, mask)
                    return [builder.add(carried[0], INDEX(size))]

                (pixel,) = emit.loop(times, [pixel], each)

        emit.channels(channels_, unit)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def add_products(
    typingctx, taps, x, xo, x_tap, x_step, dy, do, dy_step, count, total, at, total_tap, channels
):
    """Add to ``total[at]`` the sum over ``count`` pixels of ``x * dy``, channel by channel.

    This is done for ``taps`` (a constant) taps, which are ``x_tap`` apart in x and ``total_tap``
    in the total.
    """
    index, number = types.intp, taps.literal_value
    signature = types.void(
        taps, x, index, index, index, dy, index, index, index, total, index, index, index
    )

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (_, x_, xo_, x_tap_, x_step_, dy_, do_, dy_step_, count_, total_, at_, total_tap_,
         channels_) = args  # fmt: skip
        emit = Sweep(context, builder, x)
        source, gradient = emit.data(x, x_), emit.data(dy, dy_)
        target = emit.at(emit.data(total, total_), at_)
        moves = [builder.mul(x_tap_, INDEX(t)) for t in range(number)]

        def unit(first: Any, vectors: int, mask: Any) -> None:
            def body(carried: Any) -> Any:
                xo, do, *sums = carried
                pixel = emit.at(emit.at(source, xo), first)
                slope = emit.at(emit.at(gradient, do), first)
                for j in range(vectors):
                    factor = emit.load(emit.at(slope, j * emit.lanes), mask)
                    for t, move in enumerate(moves):
                        value = emit.load(emit.at(emit.at(pixel, move), j * emit.lanes), mask)
                        sums[j * number + t] = emit.fma(value, factor, sums[j * number + t])
                return [builder.add(xo, x_step_), builder.add(do, dy_step_), *sums]

            zeros = [emit.constant(0.0)] * (vectors * number)
            _, _, *sums = emit.loop(count_, [xo_, do_, *zeros], body)
            for j in range(vectors):
                for t in range(number):
                    place = emit.at(target, builder.add(builder.mul(total_tap_, INDEX(t)), first))
                    pointer = emit.at(place, j * emit.lanes)
                    value = builder.fadd(emit.load(pointer, mask), sums[j * number + t])
                    emit.store(value, pointer, mask)

        emit.channels(channels_, unit, (4 if number == 1 else 2, 1))
        return context.get_dummy_value()

    return signature, generate
