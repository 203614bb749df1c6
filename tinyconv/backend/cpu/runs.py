"""Copying, clearing and scaling runs of adjacent numbers, a vector at a time.

Numba would call the C library for a slice, which costs more than a run of a few channels takes,
or compare the addresses of the two arrays before each loop.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from .host import VECTORS
from .vector import INDEX, Emitter


@intrinsic
def copy_run(typingctx, source, so, target, to, count):
    """Copy ``count`` elements from ``source[so]`` on to ``target[to]`` on."""
    signature = types.void(source, types.intp, target, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source_, so_, target_, to_, count_ = args
        emit = Emitter(context, builder, source)
        begin, result = emit.pointer(source, source_, so_), emit.pointer(target, target_, to_)
        _run(emit, result, count_, lambda at, mask: emit.load(emit.at(begin, at), mask))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def clear_run(typingctx, target, to, count):
    """Write ``count`` zeros from ``target[to]`` on."""
    signature = types.void(target, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target_, to_, count_ = args
        emit = Emitter(context, builder, target)
        _run(emit, emit.pointer(target, target_, to_), count_, lambda *_: emit.constant(0.0))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def scale_rows(typingctx, target, rows, factors, first):
    """Multiply rows of a panel's width by the ``factors`` from ``first`` on."""
    signature = types.void(target, types.intp, factors, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target_, rows_, factors_, first_ = args
        emit = Emitter(context, builder, target)
        begin = emit.pointer(factors, factors_, first_)
        by = [emit.load(emit.at(begin, j * emit.lanes)) for j in range(VECTORS)]

        def step(carried: Any) -> Any:
            (row,) = carried
            for j, factor in enumerate(by):
                place = emit.at(row, j * emit.lanes)
                emit.store(builder.fmul(emit.load(place), factor), place)
            return [emit.at(row, VECTORS * emit.lanes)]

        emit.loop(rows_, [emit.pointer(target, target_, INDEX(0))], step)
        return context.get_dummy_value()

    return signature, generate


def _run(emit: Emitter, target: Any, count: Any, value: Any) -> None:
    """Store a value a vector at a time; the last one partly, if elements are left for it."""
    builder = emit.builder
    whole = builder.sdiv(count, INDEX(emit.lanes))

    def step(carried: Any) -> Any:
        (done,) = carried
        emit.store(value(done, None), emit.at(target, done))
        return [builder.add(done, INDEX(emit.lanes))]

    (done,) = emit.loop(whole, [INDEX(0)], step)
    with builder.if_then(builder.icmp_signed("<", done, count)):
        mask = emit.mask(builder.sub(count, done), 0)
        emit.store(value(done, mask), emit.at(target, done), mask)
