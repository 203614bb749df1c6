"""``shared``: several threads run one compiled kernel at once, each on pieces of its work.

    @kernel
    def double(board, seat, first, last, x, y):
        if shared(board, seat):
            return
        for i in range(first, last):
            y[i] = 2 * x[i]

Called with the seat ``-1 - helpers``, and the length of the work and of a piece as ``first`` and
``last``, the kernel does not look at its work: ``shared`` writes the arguments to the board, and
the address of a small function, the *usher*, that calls this kernel with them. Then it opens the
door, behind which threads that wait (see :mod:`.serving`) take pieces of ``range(length)``, one
after the other, and have the usher call the kernel with the number of the thread's seat (0 for the
caller) and the piece. The caller works like the others, then shuts the door and waits for those
inside. So a region costs one call from Python, in the caller, and other threads never need the GIL
for it.

What is done once, before the pieces or after the last, is part of the caller's same call:

    if calls(board, seat):
        fill(table)
    if not shared(board, seat):
        ...
    if calls(board, seat):
        add_up(parts)

A kernel may also call several such kernels, one region after the other, so that they cost one call
from Python together:

    @kernel
    def doubled_and_halved(board, seat, first, last, x, y):
        double(board, seat, first, last, x, y)
        first, last = another(seat, len(y), 100)
        halve(board, seat, first, last, y)

A thread that looks at the door late finds it shut and goes away, or another region behind it, and
helps there: what is on the board is read only behind the door, and changes only while it is shut
and nobody is inside.

The first four parameters of such a kernel have these names; the arguments must be alive until the
call returns, which it does not before all threads have left. Therefore arrays are passed on as
nobody's: otherwise each use of one would count references, in a cache line that all threads want.

Each seat has a share of the pieces, neighbours all of them, and only who has done its own helps
with those of others: what a core has written is in its cache when the next region reads it, while
a cache line that another core has written takes as long as one from memory.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from ..compiler.jit import kernel
from .board import (
    ARGUMENTS,
    ASLEEP,
    CALL,
    CORE,
    DOOR,
    FAILED,
    FIRST_LINE,
    LEFT,
    LENGTH,
    LINE,
    LOCK,
    OPEN,
    SEATS,
    SHUT,
    STEP,
    TAKEN,
    USHER,
    WORK,
)
from .spin import core_here, relax_here

#: Rounds of waiting for others to leave, between which the core is offered to other threads.
ROUNDS = 4096

NUMBER = ir.IntType(64)
#: The first two parts of an array: whose references are counted, and the Python object behind it.
_OWNER = ir.IntType(8).as_pointer()
#: A function of a board and a seat, and that of a kernel, which also takes a piece.
AT_BOARD = ir.FunctionType(ir.VoidType(), [NUMBER.as_pointer(), NUMBER])
_USHER = ir.FunctionType(ir.IntType(1), [NUMBER.as_pointer(), NUMBER, NUMBER, NUMBER])


class Numbers:
    """Writes the code that reads and changes the numbers of a board."""

    def __init__(self, builder: Any, data: Any) -> None:
        self.builder, self.data = builder, data

    @classmethod
    def of(cls, context: Any, builder: Any, kind: Any, value: Any) -> Numbers:
        """Return the board in an array of int64."""
        return cls(builder, context.make_array(kind)(context, builder, value).data)

    def at(self, place: Any) -> Any:
        """Return the address of a number."""
        place = NUMBER(place) if isinstance(place, int) else place
        return self.builder.gep(self.data, [place])

    def of_seat(self, seat: Any, place: int) -> Any:
        """Return the place of one of the numbers of a seat."""
        line = self.builder.mul(seat, NUMBER(LINE))
        return self.builder.add(line, NUMBER(FIRST_LINE + place))

    def load(self, place: Any) -> Any:
        """Return a number."""
        return self.builder.load_atomic(self.at(place), "seq_cst", 8)

    def store(self, value: Any, place: Any) -> None:
        """Write a number."""
        value = NUMBER(value) if isinstance(value, int) else value
        self.builder.store_atomic(value, self.at(place), "seq_cst", 8)

    def swap(self, value: int, place: Any) -> Any:
        """Write a number; return what it was."""
        return self.builder.atomic_rmw("xchg", self.at(place), NUMBER(value), "seq_cst")

    def add(self, value: Any, place: Any) -> Any:
        """Add to a number; return what it was."""
        value = NUMBER(value) if isinstance(value, int) else value
        return self.builder.atomic_rmw("add", self.at(place), value, "seq_cst")


@intrinsic
def shared(typingctx, board, seat):
    """Return False to a thread that has a seat; else have everything done, and return True."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kernel = builder.function
        usher = _write_usher(kernel)
        outside = builder.icmp_signed("<", args[1], NUMBER(0))
        with builder.if_then(outside, likely=False):
            numbers = Numbers.of(context, builder, signature.args[0], args[0])
            # The arguments of every function of Numba begin with two pointers for its results.
            length, step = (_argument(kernel, name) for name in ("first", "last"))
            helpers = builder.sub(NUMBER(-1), args[1])
            for value, place in ((helpers, SEATS), (length, LENGTH), (step, STEP)):
                numbers.store(value, place)
            for place, argument in enumerate(kernel.args[2:]):
                slot = builder.bitcast(numbers.at(ARGUMENTS + place), argument.type.as_pointer())
                builder.store(argument, slot)
            numbers.store(builder.ptrtoint(usher, NUMBER), USHER)
            open_door = builder.inttoptr(numbers.load(OPEN), AT_BOARD.as_pointer())
            builder.call(open_door, [numbers.data, NUMBER(0)])
        return outside

    return types.boolean(board, seat), generate


@register_jitable
def calls(board, seat):
    """Return whether this thread has been called from Python, and not for one piece of many."""
    return seat < 0 or len(board) == 1


@register_jitable
def another(seat, length, step):
    """Return ``first`` and ``last`` with which a kernel called from Python calls another one.

    That does ``range(length)`` in pieces of ``step``.
    """
    return (length, step) if seat < 0 else (0, length)


def _argument(kernel: Any, name: str) -> Any:
    """Return an argument that is a number, by its name."""
    return next(argument for argument in kernel.args if argument.name == f"arg.{name}")


def _write_usher(kernel: Any) -> Any:
    """Write the function that calls ``kernel`` for a piece, and return it."""
    usher = ir.Function(kernel.module, _USHER, f"{kernel.name}.usher")
    usher.linkage = "internal"
    for function in (kernel, usher):  # a copy of one inside the other takes long to compile
        function.attributes.add("noinline")
    builder = ir.IRBuilder(usher.append_basic_block("entry"))
    data, *piece = usher.args
    numbers = Numbers(builder, data)
    result, error = (builder.alloca(argument.type.pointee) for argument in kernel.args[:2])
    builder.store(ir.Constant(error.type.pointee, None), error)
    given = {}
    for place, argument in enumerate(kernel.args[2:]):
        if argument.type == _OWNER and argument.name.endswith((".0", ".1")):
            given[argument.name] = ir.Constant(_OWNER, None)
            continue
        slot = builder.bitcast(numbers.at(ARGUMENTS + place), argument.type.as_pointer())
        given[argument.name] = builder.load(slot)
    own = dict(zip(("arg.seat", "arg.first", "arg.last"), piece, strict=True))
    if len(given) > FIRST_LINE - ARGUMENTS or not own.keys() < given.keys():
        raise ValueError(f"{kernel.name}: too many parameters, or not those of a shared kernel")
    status = builder.call(kernel, [result, error, *(given | own).values()])
    # Numba's kernels return 0, or -2 for None; everything else is an exception.
    good = builder.or_(*(builder.icmp_signed("==", status, ir.IntType(32)(n)) for n in (0, -2)))
    builder.ret(good)
    return usher


@intrinsic
def _note_functions(typingctx, board):
    """Write the addresses of the functions below, which are the same for all kernels."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = Numbers.of(context, builder, signature.args[0], args[0])
        work = _write_work(builder.module)
        for place, function in ((WORK, work), (OPEN, _write_open(builder.module, work))):
            numbers.store(builder.ptrtoint(function, NUMBER), place)
        return context.get_dummy_value()

    return types.void(board), generate


@kernel
def equip(board):
    """Make a board fit for regions."""
    _note_functions(board)


def _begin(module: Any, name: str) -> tuple[Any, Any, Numbers]:
    """Begin a function of a board and a seat; return it, a builder, and the numbers."""
    function = ir.Function(module, AT_BOARD, name)
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    return function, builder, Numbers(builder, function.args[0])


def _write_open(module: Any, work: Any) -> Any:
    """Write the function with which a caller opens the door, works, and waits for the others."""
    function, builder, numbers = _begin(module, "region.open")
    seats = builder.add(numbers.load(SEATS), NUMBER(1))
    with cgutils.for_range(builder, seats) as loop:
        numbers.store(0, numbers.of_seat(loop.index, TAKEN))
    invites = builder.icmp_signed(">", seats, NUMBER(1))
    with builder.if_then(invites):
        numbers.store(core_here(builder), CORE)
        numbers.store(0, LEFT)
        numbers.store(0, DOOR)
        numbers.add(1, CALL)
        write_rouse(builder, numbers, numbers.load(SEATS))
    builder.call(work, function.args)
    with builder.if_then(invites):
        _wait_until_left(builder, numbers, numbers.add(SHUT, DOOR))
    builder.ret_void()
    return function


def _write_work(module: Any) -> Any:
    """Write the loops over all seats, the own one first, and over the pieces left of its share."""
    function, builder, numbers = _begin(module, "region.work")
    usher = builder.inttoptr(numbers.load(USHER), _USHER.as_pointer())
    length, step = numbers.load(LENGTH), numbers.load(STEP)
    seats = builder.add(numbers.load(SEATS), NUMBER(1))
    pieces = builder.sdiv(builder.add(length, builder.sub(step, NUMBER(1))), step)
    with cgutils.for_range(builder, seats) as turn:
        owner = builder.srem(builder.add(function.args[1], turn.index), seats)
        begin = builder.sdiv(builder.mul(owner, pieces), seats)
        stop = builder.sdiv(builder.mul(builder.add(owner, NUMBER(1)), pieces), seats)
        taken = numbers.of_seat(owner, TAKEN)
        take, some, none = (builder.append_basic_block(n) for n in ("take", "some", "none"))
        builder.branch(take)
        builder.position_at_end(take)
        piece = builder.add(begin, numbers.add(1, taken))
        builder.cbranch(builder.icmp_signed("<", piece, stop), some, none)
        builder.position_at_end(some)
        first = builder.mul(piece, step)
        last = builder.add(first, step)
        last = builder.select(builder.icmp_signed("<", last, length), last, length)
        good = builder.call(usher, [*function.args, first, last])
        with builder.if_then(builder.not_(good), likely=False):
            numbers.store(1, FAILED)
        builder.branch(take)
        builder.position_at_end(none)
    builder.ret_void()
    return function


def write_rouse(builder: Any, numbers: Numbers, seats: Any) -> None:
    """Write the code that wakes the workers of seats 1 to ``seats`` that sleep."""
    kind = ir.FunctionType(ir.VoidType(), [NUMBER])
    release = cgutils.get_or_insert_function(builder.module, kind, "PyThread_release_lock")
    with cgutils.for_range(builder, seats) as loop:
        seat = builder.add(loop.index, NUMBER(1))
        asleep = numbers.of_seat(seat, ASLEEP)
        looks_so = builder.icmp_signed("!=", numbers.load(asleep), NUMBER(0))
        with builder.if_then(looks_so, likely=False):
            mine = builder.icmp_signed("!=", numbers.swap(0, asleep), NUMBER(0))
            with builder.if_then(mine):
                builder.call(release, [numbers.load(numbers.of_seat(seat, LOCK))])


def _wait_until_left(builder: Any, numbers: Numbers, came: Any) -> None:
    """Wait until all who ``came`` through the door have left."""
    module, function = builder.module, builder.function
    look, wait, end = (function.append_basic_block(name) for name in ("look", "wait", "left"))
    before = builder.block
    builder.branch(look)
    builder.position_at_end(look)
    round_ = builder.phi(NUMBER)
    round_.add_incoming(NUMBER(0), before)
    inside = builder.icmp_signed("<", numbers.load(LEFT), came)
    builder.cbranch(inside, wait, end)
    builder.position_at_end(wait)
    relax_here(builder)
    following = builder.add(round_, NUMBER(1))
    if sys.platform != "win32":
        tired = builder.icmp_signed(">=", following, NUMBER(ROUNDS))
        with builder.if_then(tired, likely=False):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(module, kind, "sched_yield"), [])
    round_.add_incoming(following, builder.block)
    builder.branch(look)
    builder.position_at_end(end)
