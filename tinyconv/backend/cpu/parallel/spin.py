"""``signal_and_wait``: how two threads meet within a microsecond, with neither GIL nor sleep.

A thread that sleeps on a lock needs 30 microseconds or more to wake up; a whole layer of a small
network takes less. So a thread that expects news soon reads one number in a loop, for a bounded
time, with a hint to the core that it is waiting. Loads and stores are atomic and sequentially
consistent: the compiler may not move them out of the loop, and two threads that each write their
own number and then read the other's cannot both miss the news.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..compiler.jit import kernel

#: LLVM's name and arguments of the instruction that tells a core it is waiting, by architecture.
HINTS = {"x86_64": ("llvm.x86.sse2.pause", ()), "aarch64": ("llvm.aarch64.hint", (1,))}


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


@intrinsic
def load(typingctx, array, index):
    """Return ``array[index]`` of int64 numbers, atomically."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def store(typingctx, array, index, value):
    """Set ``array[index] = value`` of int64 numbers, atomically."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        builder.store_atomic(args[2], pointer, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


def relax_here(builder: Any) -> None:
    """Write the instruction that tells the core that this loop waits, where there is one."""
    name, numbers = HINTS.get(llvm.get_default_triple().split("-")[0], (None, ()))
    if name is not None:
        integer = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [integer] * len(numbers))
        hint = cgutils.get_or_insert_function(builder.module, function_type, name)
        builder.call(hint, [integer(number) for number in numbers])


@intrinsic
def relax(typingctx):
    """Tell the core that this loop waits: it saves power, and leaves the loop without delay."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        relax_here(builder)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def core(typingctx):
    """Return the number of the core that runs this thread, or -1 if that is unknown."""
    return types.int64(), lambda context, builder, signature, args: core_here(builder)


def core_here(builder: Any) -> Any:
    """Write the code that finds the number of the core."""
    number = ir.IntType(64)
    if not sys.platform.startswith("linux"):
        return number(-1)
    kind = ir.FunctionType(ir.IntType(32), [])
    function = cgutils.get_or_insert_function(builder.module, kind, "sched_getcpu")
    return builder.sext(builder.call(function, []), number)


@kernel
def signal_and_wait(mine, put, value, stop, other, at, wanted, spins, after):
    """Set ``mine[put] = value``; wait for ``other[at] >= wanted``, return whether it has come.

    It gives up after ``spins`` rounds, or when ``mine[stop]`` is not 0. When the news has come it
    waits ``after`` rounds more. Arrays hold int64 numbers; all other arguments are integers.
    """
    store(mine, put, value)
    for _ in range(spins):
        if load(other, at) >= wanted:
            for _ in range(after):
                relax()
            return True
        if load(mine, stop) != 0:
            break
        relax()
    return load(other, at) >= wanted


def rounds_per_microsecond(wait: Any, array: Any) -> float:
    """Return how many rounds of ``wait`` take a microsecond on this core."""
    rounds, best = 200, 1.0
    for _ in range(3):
        start = time.perf_counter()
        wait(array, 0, 0, 0, array, 0, 1, rounds, 0)
        best = min(best, time.perf_counter() - start)
    return rounds / (1e6 * max(best, 1e-7))
