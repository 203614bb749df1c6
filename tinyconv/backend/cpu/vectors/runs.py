"""Copying, clearing and scaling runs of adjacent numbers, a vector at a time.

Numba would call the C library for a slice, which costs more than a run of a few channels takes,
or compare the addresses of the two arrays before each loop.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from .vector import INDEX, Emitter


@intrinsic
def copy_run(typingctx, source, so, target, to, count):
    """Copy ``count`` elements from ``source[so]`` on to ``target[to]`` on."""
    signature = types.void(source, types.intp, target, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source_, so_, target_, to_, count_ = args
        emit = Emitter(context, builder, source)
        begin, result = emit.pointer(source, source_, so_), emit.pointer(target, target_, to_)

        def copy(at: Any, mask: Any) -> None:
            emit.store(emit.load(emit.at(begin, at), mask), emit.at(result, at), mask)

        emit.each_vector(count_, copy)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def fetch_run(typingctx, source, so, count):
    """Ask for ``count`` elements from ``source[so]`` on, soon to be read; there may be fewer."""
    signature = types.void(source, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source_, so_, count_ = args
        emit = Emitter(context, builder, source)
        begin = emit.pointer(source, source_, so_)
        emit.each_vector(count_, lambda at, mask: emit.prefetch(emit.at(begin, at)))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def clear_run(typingctx, target, to, count):
    """Write ``count`` zeros from ``target[to]`` on."""
    signature = types.void(target, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target_, to_, count_ = args
        emit = Emitter(context, builder, target)
        result = emit.pointer(target, target_, to_)

        def clear(at: Any, mask: Any) -> None:
            emit.store(emit.constant(0.0), emit.at(result, at), mask)

        emit.each_vector(count_, clear)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def scale_columns(typingctx, target, rows, width, factors, first):
    """Multiply the columns of ``rows`` x ``width`` elements by the ``factors`` from ``first`` on.

    The width is one of whole vectors.
    """
    index = types.intp
    signature = types.void(target, index, index, factors, index)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target_, rows_, width_, factors_, first_ = args
        emit = Emitter(context, builder, target)
        by, begin = emit.pointer(factors, factors_, first_), emit.pointer(target, target_, INDEX(0))

        def columns(carried: Any) -> Any:
            (at,) = carried
            factor = emit.load(emit.at(by, at))

            def row(carried: Any) -> Any:
                (place,) = carried
                emit.store(builder.fmul(emit.load(place), factor), place)
                return [emit.at(place, width_)]

            emit.loop(rows_, [emit.at(begin, at)], row)
            return [builder.add(at, INDEX(emit.lanes))]

        emit.loop(builder.udiv(width_, INDEX(emit.lanes)), [INDEX(0)], columns)
        return context.get_dummy_value()

    return signature, generate
