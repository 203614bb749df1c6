"""Spreading channels over the lanes of vectors, for :mod:`.grouped`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from ..host import host
from .runs import clear_run
from .vector import INDEX, Emitter


@intrinsic
def spread_pixels(typingctx, x, xo, x_step, pixels, order, vector, depth, out, to):
    """Write ``depth`` vectors a pixel: lane l of the i-th is ``x[xo + order[vector, l] + i]``.

    Pixels are ``x_step`` elements apart in x. No lane but those is read.
    """
    index = types.intp
    signature = types.void(x, index, index, index, order, index, index, out, index)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x_, xo_, x_step_, pixels_, order_, vector_, depth_, out_, to_ = args
        emit = Emitter(context, builder, x)
        lanes = emit.lanes
        kind = ir.VectorType(ir.IntType(32), lanes)
        row = emit.pointer(order, order_, emit.scaled(vector_, lanes))
        lane_of = builder.load(builder.bitcast(row, kind.as_pointer()), align=4)
        most = builder.zext(builder.extract_element(lane_of, ir.IntType(32)(lanes - 1)), INDEX)
        mask = emit.mask(builder.add(most, INDEX(1)), 0)

        def pixel(carried: Any) -> Any:
            begin, place = carried

            def each(carried: Any) -> Any:
                source, target = carried
                emit.store(_permuted(emit, emit.load(source, mask), lane_of), target)
                return [emit.at(source, 1), emit.at(target, lanes)]

            _, place = emit.loop(depth_, [begin, place], each)
            return [emit.at(begin, x_step_), place]

        emit.loop(pixels_, [emit.pointer(x, x_, xo_), emit.pointer(out, out_, to_)], pixel)
        return context.get_dummy_value()

    return signature, generate


def _permuted(emit: Emitter, value: Any, order: Any) -> Any:
    """Return the vector whose lane l is lane ``order[l]`` of another."""
    builder, lanes = emit.builder, emit.lanes
    instructions = {("avx512", 4): "avx512.permvar.sf.512", ("avx512", 8): "avx512.permvar.df.512",
                    ("avx2", 4): "avx2.permps"}  # fmt: skip
    name = instructions.get((host().name, emit.bytes))
    if name is None:
        place = cgutils.alloca_once(builder, emit.vector)
        builder.store(value, place)
        first = builder.bitcast(place, emit.element.as_pointer())
        for lane in range(lanes):
            number = ir.IntType(32)(lane)
            at = builder.zext(builder.extract_element(order, number), INDEX)
            value = builder.insert_element(value, builder.load(emit.at(first, at)), number)
        return value
    if emit.bytes == 8:
        order = builder.zext(order, ir.VectorType(INDEX, lanes))
    kind = ir.FunctionType(emit.vector, [emit.vector, order.type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    return builder.call(function, [value, order])


@register_jitable
def spread_lines(x, image, top, left, rows, width, channel, order, vector, depth, out):
    """Spread a box of pixels, whose corner may be outside of the image; outside are zeros."""
    height, across, channels = x.shape[1:]
    source, pixel = x.reshape(-1), depth * order.shape[1]
    low = min(max(-left, 0), width)
    high = max(min(width, across - left), low)
    to = 0
    for h in range(top, top + rows):
        if h < 0 or h >= height:
            clear_run(out, to, width * pixel)
        else:
            start = ((image * height + h) * across + left + low) * channels + channel
            clear_run(out, to, low * pixel)
            spread_pixels(source, start, channels, high - low, order, vector, depth, out,
                          to + low * pixel)  # fmt: skip
            clear_run(out, to + high * pixel, (width - high) * pixel)
        to += width * pixel
