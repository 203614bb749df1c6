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


def positive(layer: str, name: str, value: Any) -> int:
    """Return ``value`` if it is an int of at least 1."""
    return sizes(layer, name, value, 1, low=1)[0]
