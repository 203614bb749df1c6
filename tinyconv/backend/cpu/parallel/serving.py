"""The other side of a region: how worker threads wait for one, help in it, and sleep.

See :mod:`.region` for what is on the board, and :mod:`.workers` for the threads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..compiler.jit import kernel
from .board import ASLEEP, CALL, CORE, DOOR, LEFT, LOCK, SEATS, SHUT, USHER, WORK
from .region import AT_BOARD, NUMBER, Numbers, write_rouse
from .spin import core, load, relax, store


@intrinsic
def help_out(typingctx, board, seat):
    """Go in, if the door is open and this seat is wanted; work, and leave."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = Numbers.of(context, builder, signature.args[0], args[0])
        before = numbers.add(1, DOOR)
        with builder.if_then(builder.icmp_signed("<", before, NUMBER(SHUT))):
            with builder.if_then(builder.icmp_signed("<=", args[1], numbers.load(SEATS))):
                work = builder.inttoptr(numbers.load(WORK), AT_BOARD.as_pointer())
                builder.call(work, [numbers.data, args[1]])
            numbers.add(1, LEFT)
        return context.get_dummy_value()

    return types.void(board, seat), generate


@intrinsic
def rouse_sleepers(typingctx, board, seats):
    """Wake the workers of seats 1 to ``seats`` that sleep."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write_rouse(builder, Numbers.of(context, builder, signature.args[0], args[0]), args[1])
        return context.get_dummy_value()

    return types.void(board, seats), generate


@intrinsic
def sleep(typingctx, board, seat, seen):
    """Sleep until somebody wakes the worker of this seat; not if there was a call after ``seen``.

    First the worker says that it sleeps, then it looks; who calls does it the other way round. The
    one who takes the word back wakes the worker: itself, or by giving the lock back once.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = Numbers.of(context, builder, signature.args[0], args[0])
        kind = ir.FunctionType(ir.IntType(32), [NUMBER, ir.IntType(32)])
        acquire = cgutils.get_or_insert_function(builder.module, kind, "PyThread_acquire_lock")
        asleep = numbers.of_seat(args[1], ASLEEP)
        numbers.store(1, asleep)
        called = builder.icmp_signed("!=", numbers.load(CALL), args[2])
        with builder.if_else(called) as (then, otherwise):
            with then:
                mine = builder.icmp_signed("!=", numbers.swap(0, asleep), NUMBER(0))
                block = builder.block
            with otherwise:
                other = builder.block
        awake = builder.phi(ir.IntType(1))
        awake.add_incoming(mine, block)
        awake.add_incoming(ir.IntType(1)(0), other)
        with builder.if_then(builder.not_(awake)):
            lock = numbers.load(numbers.of_seat(args[1], LOCK))
            builder.call(acquire, [lock, ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(board, seat, seen), generate


@kernel
def rouse(board, seats):
    """Wake the workers of seats 1 to ``seats`` that sleep."""
    rouse_sleepers(board, seats)


@kernel
def serve(board, seat, seen, mine, done, stop, crowded, spins):
    """Help in regions as they come; return the number of the last call that was dealt with.

    When nothing has come for ``spins`` rounds, sleep. Returns when a call is one for Python, when
    ``mine[stop]`` is not 0, or, with ``mine[crowded]`` set to 1, when the caller runs on the same
    core: once, the next time it helps there. ``seen`` is the last call before, which goes to
    ``mine[done]``.
    """
    store(mine, done, seen)
    waited = 0
    while load(mine, stop) == 0:
        call = load(board, CALL)
        if call != seen:
            if load(board, USHER) == 0:
                break
            here = core()
            if spins > 0 and 0 <= here == load(board, CORE) and load(mine, crowded) == 0:
                store(mine, crowded, 1)
                break
            store(mine, crowded, 0)
            seen, waited = call, 0
            help_out(board, seat)
        elif waited < spins:
            relax()
            waited += 1
        else:
            sleep(board, seat, seen)
            waited = 0
    return seen
