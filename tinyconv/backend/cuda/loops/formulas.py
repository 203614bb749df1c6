"""Formulas of Python as C++: a function is called once with symbols in the place of its arrays.

What it does to a symbol, by an operator or a function of the array library, is noted as a line of
C++ and gives another symbol. A number that meets a symbol becomes an argument of the kernel. So
what is compiled depends on what is done, and not on the numbers in the function's closure.

A function that does something else to a symbol, such as asking for its shape, cannot be followed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

#: C++ of the array library's functions, by the names that NumPy and CuPy give them.
FUNCTIONS = {
    **{
        name: name + "f(%s)"
        for name in (
            "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt",
            "sin", "cos", "tan", "sinh", "cosh", "tanh",
        )
    },
    "absolute": "fabsf(%s)",
    "maximum": "larger(%s, %s)",
    "minimum": "smaller(%s, %s)",
}  # fmt: skip
#: Code of functions that could not be followed.
_refused: set[Any] = set()


class Formula(NamedTuple):
    """The lines of a function, with ``a.numbers[i]`` for number ``i`` of those in it."""

    text: str
    numbers: list[float]
    operations: int


def follow(function: Callable[..., Any], operands: Sequence[Any]) -> Formula | None:
    """Return what a function does to its operands, ``None`` if that cannot be said in C++.

    Parameters
    ----------
    function : callable
        As for the kernel ``elementwise``.
    operands : sequence of str or number
        What C++ calls an array's element, or a number.
    """
    code = getattr(getattr(function, "func", function), "__code__", None)  # also of a partial
    if code in _refused:
        return None
    notes = Notes()
    try:
        result = function(*[Symbol(notes, o) if isinstance(o, str) else o for o in operands])
    except Exception:  # an error of the function itself comes again from the reference
        result = None
    if not isinstance(result, Symbol) or result.is_mask or not notes.lines:
        if code is not None:
            _refused.add(code)
        return None
    text = " ".join([*notes.lines, f"return {result.name};"])
    return Formula(text, notes.numbers, len(notes.lines))


class Notes:
    """What has been done to symbols so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: list[float] = []

    def number(self, text: str, *operands: Any) -> Symbol:
        """Note what gives a number."""
        self._check(operands)
        return self._line("float", text, operands)

    def comparison(self, text: str, *operands: Any) -> Symbol:
        """Note what gives a mask, of numbers."""
        self._check(operands)
        return self._line("bool", text, operands)

    def logic(self, text: str, *operands: Any) -> Symbol:
        """Note what gives a mask, of masks."""
        if not all(o.__class__ is Symbol and o.is_mask for o in operands):
            raise TypeError("only masks are combined bit by bit")
        return self._line("bool", text, operands)

    def choice(self, mask: Any, *operands: Any) -> Symbol:
        """Note the choice between two numbers."""
        if not (isinstance(mask, Symbol) and mask.is_mask):
            raise TypeError("a mask is needed to choose by")
        self._check(operands)
        return self._line("float", "%s ? %s : %s", (mask, *operands))

    def call(self, name: str, operands: Sequence[Any], options: Any) -> Symbol:
        """Note a call of one of the array library's functions."""
        if options:
            raise TypeError(f"{name} with options")
        if name == "where":
            return self.choice(*operands)
        if name not in FUNCTIONS:
            raise TypeError(f"{name} has no C++ here")
        return self.number(FUNCTIONS[name], *operands)

    @staticmethod
    def _check(operands: Sequence[Any]) -> None:
        """See to it that the array library would compute in the dtype of the arrays."""
        for operand in operands:
            if operand.__class__ is Symbol and not operand.is_mask:
                return
        raise TypeError("masks and numbers alone have another dtype")

    def _line(self, kind: str, text: str, operands: Sequence[Any]) -> Symbol:
        names = [o.name if o.__class__ is Symbol else self._argument(o) for o in operands]
        name = f"v{len(self.lines)}"
        self.lines.append(f"{kind} {name} = {text % tuple(names)};")
        return Symbol(self, name, kind == "bool")

    def _argument(self, number: Any) -> str:
        if number.__class__ not in (bool, int, float):  # a NumPy number would widen the result
            raise TypeError(f"{type(number)} in a formula")
        self.numbers.append(float(number))
        return f"a.numbers[{len(self.numbers) - 1}]"


def _operator(text: str) -> Any:
    """Return the two methods of an operator on numbers."""

    def method(self: Symbol, other: Any) -> Symbol:
        return self.notes.number(text, self, other)

    def mirrored(self: Symbol, other: Any) -> Symbol:
        return self.notes.number(text, other, self)

    return method, mirrored


def _comparison(sign: str) -> Any:
    return lambda self, other: self.notes.comparison(f"%s {sign} %s", self, other)


def _logic(sign: str) -> Any:
    return lambda self, other: self.notes.logic(f"%s {sign} %s", self, other)


class Symbol:
    """A number of the arrays' dtype, or a mask, by its name in C++."""

    __slots__ = ("is_mask", "name", "notes")

    def __init__(self, notes: Notes, name: str, is_mask: bool = False) -> None:
        self.notes, self.name, self.is_mask = notes, name, is_mask

    __add__, __radd__ = _operator("%s + %s")
    __sub__, __rsub__ = _operator("%s - %s")
    __mul__, __rmul__ = _operator("%s * %s")
    __truediv__, __rtruediv__ = _operator("%s / %s")
    __pow__, __rpow__ = _operator("power(%s, %s)")
    __lt__, __le__ = _comparison("<"), _comparison("<=")
    __gt__, __ge__ = _comparison(">"), _comparison(">=")
    __eq__, __ne__ = _comparison("=="), _comparison("!=")
    __and__, __or__ = _logic("&"), _logic("|")
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Symbol:
        return self.notes.number("-%s", self)

    def __abs__(self) -> Symbol:
        return self.notes.number("fabsf(%s)", self)

    def __invert__(self) -> Symbol:
        return self.notes.logic("!%s", self)

    def __bool__(self) -> bool:
        raise TypeError("what a symbol is, is not known")

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("a symbol is no array")

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Symbol:
        """Note a function that NumPy was asked for."""
        return self.notes.call(ufunc.__name__, operands, options or method != "__call__")

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Symbol:
        """Note a function that NumPy was asked for."""
        return self.notes.call(function.__name__, operands, options)

    def __cupy_override_elementwise_kernel__(
        self, kernel: Any, *operands: Any, **options: Any
    ) -> Symbol:
        """Note a function that CuPy was asked for."""
        return self.notes.call(kernel.name.removeprefix("cupy_"), operands, options)

    def astype(self, dtype: Any, copy: bool = True) -> Symbol:
        """Return the mask itself: CuPy makes sure that what it chooses by is one."""
        if not self.is_mask or dtype != "?":
            raise TypeError("a symbol keeps its dtype")
        return self
