"""Vector instructions for compiled kernels: what Numba's own loop vectoriser cannot promise.

Numba compiles Python through LLVM, and LLVM has vector types: ``<16 x float>`` is one AVX-512
register. An *intrinsic* is a Python function that writes such LLVM code directly. This module is
the small vocabulary in which :mod:`.tile` and :mod:`.sandwich` do so: pointers into arrays,
(masked) loads and stores, fused multiply-adds, and a counting loop that carries registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.np import arrayobj

from ..host import host

INDEX = ir.IntType(64)


def lanes_of(array: Any) -> int:
    """Return how many elements of an array's type fit a vector register."""
    return host().vector_bytes // (array.dtype.bitwidth // 8)


class Emitter:
    """Writes the LLVM code of one intrinsic, for elements of one type."""

    def __init__(self, context: Any, builder: ir.IRBuilder, array: Any) -> None:
        self.context, self.builder = context, builder
        self.lanes = lanes_of(array)
        self.element = context.get_value_type(array.dtype)
        self.vector = ir.VectorType(self.element, self.lanes)
        self.bytes = array.dtype.bitwidth // 8
        self._suffix = f"v{self.lanes}f{array.dtype.bitwidth}"
        self._align_stack()

    def _align_stack(self) -> None:
        """Have the function begin its stack where a vector may lie.

        Vectors that find no register are kept there. LLVM aligns the stack only for variables that
        it knows of before it deals out registers, so here is one. Half of a vector in each of two
        cache lines makes a loop up to three times slower.
        """
        with self.builder.goto_entry_block():
            place = self.builder.alloca(self.vector)
            place.align = host().vector_bytes
            kind = ir.FunctionType(ir.VoidType(), [place.type])
            self.builder.asm(kind, "", "r", [place], side_effect=True)  # it is not to be left out

    def pointer(self, array: Any, value: Any, offset: Any) -> Any:
        """Return the address of the element ``offset`` of an array's memory."""
        data = arrayobj.make_array(array)(self.context, self.builder, value).data
        return self.builder.gep(data, [offset])

    def scaled(self, value: Any, factor: int) -> Any:
        """Return an index times a constant."""
        return self.builder.mul(value, INDEX(factor))

    def hidden(self, value: Any) -> Any:
        """Return an index or a pointer of which LLVM does not know how it was made."""
        kind = ir.FunctionType(value.type, [value.type])
        return self.builder.asm(kind, "", "=r,0", [value], side_effect=False)

    def multiples(self, value: Any, count: int) -> list[Any]:
        """Return 0, 1, 2 ... times an index, none of which takes another one to be made.

        An address may contain an index, doubled once or twice; so the odd ones are hidden, and the
        others made from them.
        """
        result = [INDEX(0)] * count
        for odd in range(1, count, 2):
            index, times = self.hidden(self.scaled(value, odd)), 1
            while odd * times < count:
                result[odd * times] = self.scaled(index, times)
                times *= 2
        return result

    def at(self, pointer: Any, offset: Any) -> Any:
        """Return a pointer moved by a number of elements."""
        return self.builder.gep(pointer, [INDEX(offset) if isinstance(offset, int) else offset])

    def splat(self, scalar: Any) -> Any:
        """Return a vector of one number."""
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), scalar,
                                            ir.IntType(32)(0))  # fmt: skip
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, first, order)

    def constant(self, number: float) -> Any:
        """Return a vector of one constant."""
        return ir.Constant(self.vector, [self.element(number)] * self.lanes)

    def broadcast(self, pointer: Any) -> Any:
        """Load one element into all lanes."""
        return self.splat(self.builder.load(pointer))

    def mask(self, count: Any, first: int) -> Any:
        """Return which lanes hold one of ``count`` elements, if lane 0 holds element ``first``."""
        kind = ir.VectorType(INDEX, self.lanes)
        numbers = ir.Constant(kind, [INDEX(first + lane) for lane in range(self.lanes)])
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), count,
                                          ir.IntType(32)(0))  # fmt: skip
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.icmp_signed("<", numbers, self.builder.shuffle_vector(one, one, order))

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """Load a vector from any address; lanes that are masked out are 0 and are not touched."""
        address = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(address, align=self.bytes)
        kind = ir.FunctionType(self.vector, [address.type, ir.IntType(32), mask.type, self.vector])
        name = f"llvm.masked.load.{self._suffix}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        zero = ir.Constant(self.vector, [self.element(0)] * self.lanes)
        return self.builder.call(function, [address, ir.IntType(32)(self.bytes), mask, zero])

    def prefetch(self, pointer: Any, write: bool = False) -> None:
        """Ask for the cache line at any address, read or written soon; there need not be memory."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        address = self.builder.bitcast(pointer, byte)
        self.builder.call(function, [address, number(int(write)), number(3), number(1)])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        """Store a vector at any address, without the lanes that are masked out."""
        address = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, address, align=self.bytes)
            return
        kind = ir.FunctionType(
            ir.VoidType(), [self.vector, address.type, ir.IntType(32), mask.type]
        )
        name = f"llvm.masked.store.{self._suffix}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        self.builder.call(function, [value, address, ir.IntType(32)(self.bytes), mask])

    def store_half(self, value: Any, which: int, pointer: Any, mask: Any) -> None:
        """Store the lower or the upper half of a vector; the first half of a ``mask`` counts."""
        count = self.lanes // 2
        kind = ir.VectorType(self.element, count)
        address = self.builder.bitcast(pointer, kind.as_pointer())

        def half(vector: Any, which: int) -> Any:
            order = [which * count + i for i in range(count)]
            order = ir.Constant(ir.VectorType(ir.IntType(32), count), order)
            return self.builder.shuffle_vector(vector, vector, order)

        few = half(mask, 0)
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(ir.VoidType(), [kind, address.type, ir.IntType(32), few.type]),
            f"llvm.masked.store.v{count}f{8 * self.bytes}.p0",
        )
        self.builder.call(function, [half(value, which), address, ir.IntType(32)(self.bytes), few])

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return ``a * b + c``, rounded once."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.fma.{self._suffix}"
        )
        return self.builder.call(function, [a, b, c])

    def interleave(self, a: Any, b: Any, half: int) -> Any:
        """Return a0 b0 a1 b1 ... of the first half of two vectors, or of the second."""
        start = half * self.lanes // 2
        order = [start + i // 2 + self.lanes * (i % 2) for i in range(self.lanes)]
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        return self.builder.shuffle_vector(a, b, ir.Constant(kind, order))

    def limits(self, pair: Any) -> tuple[Any, Any]:
        """Return vectors of the least and the largest value, from a tuple of two scalars."""
        low, high = (self.builder.extract_value(pair, i) for i in range(2))
        return self.splat(low), self.splat(high)

    def clip(self, value: Any, limits: tuple[Any, Any]) -> Any:
        """Return a vector clipped to :meth:`limits`; NaN stays NaN."""
        low, high = limits
        value = self.builder.select(self.builder.fcmp_ordered("<", value, low), low, value)
        return self.builder.select(self.builder.fcmp_ordered(">", value, high), high, value)

    def add(self, a: Any, b: Any) -> Any:
        """Return the sum of two vectors."""
        return self.builder.fadd(a, b)

    def least(self, a: Any, b: Any) -> Any:
        """Return the smaller of two indices."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def when(
        self,
        condition: Any,
        carried: Sequence[Any],
        body: Callable[[Sequence[Any]], Sequence[Any]],
    ) -> list[Any]:
        """Run ``body`` on some values if a condition is true; return what they are then."""
        builder = self.builder
        before = builder.block
        then, end = builder.append_basic_block("then"), builder.append_basic_block("end")
        builder.cbranch(condition, then, end)
        builder.position_at_end(then)
        results = list(body(carried))
        last = builder.block
        builder.branch(end)
        builder.position_at_end(end)
        return self._joined(carried, before, results, last)

    def loop(
        self,
        count: Any,
        carried: Sequence[Any],
        body: Callable[[Sequence[Any]], Sequence[Any]],
    ) -> list[Any]:
        """Run ``body`` ``count`` times on values that stay in registers; return the last ones."""
        builder = self.builder
        before = builder.block
        head = builder.append_basic_block("loop")
        end = builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed(">", count, INDEX(0)), head, end)
        builder.position_at_end(head)
        number = builder.phi(INDEX)
        values = [builder.phi(value.type) for value in carried]
        results = list(body(values))
        following = builder.add(number, INDEX(1))
        last = builder.block
        number.add_incoming(INDEX(0), before)
        number.add_incoming(following, last)
        for phi, start, result in zip(values, carried, results, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(result, last)
        again = builder.cbranch(builder.icmp_signed("<", following, count), head, end)
        again.set_metadata("llvm.loop", self._as_written())
        builder.position_at_end(end)
        return self._joined(carried, before, results, last)

    def each_vector(self, count: Any, body: Callable[[Any, Any], None]) -> None:
        """Run ``body(at, mask)`` for each vector of ``count`` elements; only a part has a mask."""
        builder = self.builder

        def step(carried: Any) -> Any:
            (at,) = carried
            body(at, None)
            return [builder.add(at, INDEX(self.lanes))]

        (at,) = self.loop(builder.sdiv(count, INDEX(self.lanes)), [INDEX(0)], step)
        with builder.if_then(builder.icmp_signed("<", at, count)):
            body(at, self.mask(builder.sub(count, at), 0))

    def _as_written(self) -> Any:
        """Return the note to LLVM not to unroll a loop: it would run out of registers."""
        module = self.builder.module
        note = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        loop = ir.MDValue(module, [], name=str(len(module.metadata)))
        loop.operands = (loop, note)
        return loop

    def _joined(
        self, starts: Sequence[Any], before: Any, results: Sequence[Any], last: Any
    ) -> list[Any]:
        """Return the values here, which come from one of two blocks of code."""
        final = []
        for start, result in zip(starts, results, strict=True):
            phi = self.builder.phi(start.type)
            phi.add_incoming(start, before)
            phi.add_incoming(result, last)
            final.append(phi)
        return final
