"""Formulas of each element in one pass over memory, and adding to an array in place."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import reference
from .driver.launching import CTYPES, Kernel, Variant, blocks_for, name_of
from .layout import Array, dense, is_alike, is_fast
from .loops.formulas import Formula, follow
from .loops.mapping import THREADS, fits, kernels, variants

#: Arrays, arrays of no dimension, and numbers that a formula may have, as in formula.cu.
MOST, NUMBERS = 4, 16
FORMULA = Kernel(
    "formula.cu",
    "formula",
    f"arrays:pointer*{MOST} singles:pointer*{MOST} out count:int64 numbers:float32*{NUMBERS}",
    ("map.cuh",),
    threads=THREADS,
)
KERNELS = kernels("elementwise.cu", "accumulate")
#: A program may have any; here is every kind of line, and what operands are called.
EXAMPLES: list[tuple[Callable[..., Any], str]] = [
    (operator.add, "x[0] x[1]"),
    (operator.mul, "s[0] x[0]"),
    (lambda g, a: g / (abs(a) + 1) / (abs(a) + 1), "x[0] x[1]"),
    (lambda g, a, b, c: -g * (a / b / b) - (a < 1) * c**-0.5, "x[0] x[1] x[2] x[3]"),
    (lambda a: np.where((a <= -3) | ~(a < 3), 0.0, np.exp(np.minimum(a, 0))), "x[0]"),
]


def _variant(formula: Formula, dtype: str, arrays: int, singles: int) -> Variant:
    return FORMULA.of_name(dtype, ARRAYS=arrays, SINGLES=singles, FORMULA=formula.text)


VARIANTS = variants(KERNELS) + [
    _variant(formula, dtype, names.count("x["), names.count("s["))
    for function, names in EXAMPLES
    if (formula := follow(function, names.split()))
    for dtype in CTYPES
]


def elementwise(xp: Any, function: Callable[..., Any], *operands: Any) -> Any:
    """Return ``function(*operands)``; see the reference kernel."""
    result = _in_one_launch(xp, function, operands)
    return reference.elementwise(xp, function, *operands) if result is None else result


def _in_one_launch(xp: Any, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
    """Return the result, ``None`` for a function or operands that the kernel does not know."""
    given = [o for o in operands if isinstance(o, xp.ndarray)]
    if not is_fast(*given):
        return None
    shape = max((a.shape for a in given), key=len)
    arrays: list[Array] = []
    singles: list[Array] = []
    named: list[Any] = []
    for operand in operands:
        if not isinstance(operand, xp.ndarray):
            named.append(operand)
        elif operand.shape == shape:
            named.append(f"x[{len(arrays)}]")
            arrays.append(operand)
        elif not operand.ndim:
            named.append(f"s[{len(singles)}]")
            singles.append(operand)
        else:
            return None
    formula = follow(function, named)
    if formula is None or max(len(arrays), len(singles)) > MOST or len(formula.numbers) > NUMBERS:
        return None
    if formula.operations == 1 and not is_alike(*arrays):
        return None  # a kernel of CuPy's reads any layout
    arrays = list(dense(xp, *arrays))
    out = xp.empty_like(arrays[0])
    if out.size:
        _variant(formula, name_of(out.dtype), len(arrays), len(singles))(
            blocks_for(out.size, THREADS, 16 // out.itemsize), THREADS,
            _padded(arrays, MOST, None), _padded(singles, MOST, None), out, out.size,
            _padded(formula.numbers, NUMBERS, 0.0),
        )  # fmt: skip
    return out


def _padded(values: list[Any], length: int, filling: Any) -> list[Any]:
    return values + [filling] * (length - len(values))


def accumulate(xp: Any, total: Array, addend: Array) -> None:
    """Add an array to another of the same shape and dtype, in place."""
    if fits(total, addend) and is_alike(total, addend):
        if total.size:
            KERNELS["accumulate"].of(total.dtype)(
                blocks_for(total.size, THREADS, 16 // total.itemsize), THREADS,
                total, addend, total, total.size, 0, 0,
            )  # fmt: skip
    else:
        total += addend


def added(xp: Any, array: Array, total: Array | None) -> Array:
    """Return ``array``, or the sum of it and of ``total``, in the memory of the latter."""
    if total is None:
        return array
    accumulate(xp, total, array)
    return total
