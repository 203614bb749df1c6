"""Constructor arguments that several families of layers share."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError, DTypeError

Size = int | Sequence[int]


def sizes(layer: str, name: str, value: Any, n: int, low: int = 0) -> tuple[int, ...]:
    """Return ``n`` ints from one int, which counts for every dimension, or a sequence of ``n``.

    Raises
    ------
    DTypeError
        If ``value`` is neither.
    ArgumentError
        If the number of values is wrong, or one is below ``low``.
    """
    try:
        values = (value,) * n if not isinstance(value, Sequence) else tuple(value)
        values = tuple(operator.index(v) for v in values)
    except TypeError:
        raise DTypeError(f"{layer}: {name} must be an int or {n} ints, got {value!r}") from None
    if len(values) != n or any(v < low for v in values):
        raise ArgumentError(
            f"{layer}: {name} must be one int or {n}, each at least {low}, got {value!r}"
        )
    return values


def positive(layer: str, name: str, value: Any, low: int = 1) -> int:
    """Return ``value`` if it is an int of at least 1, or of another least number.

    Raises
    ------
    DTypeError
        If it is no int.
    ArgumentError
        If it is too small.
    """
    if isinstance(value, Sequence):
        raise DTypeError(f"{layer}: {name} must be one int, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise DTypeError(f"{layer}: {name} must be an int, got {value!r}") from None
    if number < low:
        raise ArgumentError(f"{layer}: {name} must be an int of at least {low}, got {value!r}")
    return number


def choice(layer: str, name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """Return ``value`` if it is one of the choices, else raise ``ArgumentError``."""
    if value not in choices:
        legal = ", ".join(map(repr, choices))
        raise ArgumentError(f"{layer}: argument '{name}' must be one of {legal}, got {value!r}")
    return value
