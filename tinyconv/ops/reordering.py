"""The same elements in another order along their dimensions, in new memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import Function
from ..errors import ArgumentError
from ._operands import check_tensor, dimension, dimensions
from .shape import ints


class Flip(Function):
    """The elements in reverse order along some dimensions."""

    @staticmethod
    def forward(ctx: Any, x: Any, dims: tuple[int, ...]) -> Any:
        ctx.dims = dims
        return x.wrap(x.xp.asarray(x.xp.flip(x.array, axis=dims), copy=True))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Flip.apply(grad, ctx.dims), None


class Roll(Function):
    """The elements moved along some dimensions; those that fall off come in at the other end."""

    @staticmethod
    def forward(ctx: Any, x: Any, shifts: tuple[int, ...], dims: tuple[int, ...] | None) -> Any:
        ctx.back = tuple([-shift for shift in shifts]), dims
        by = shifts[0] if dims is None else shifts
        return x.wrap(x.xp.roll(x.array, by, axis=dims))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Roll.apply(grad, *ctx.back), None, None


def flip(input: Any, *dims: Any) -> Any:
    """Return a copy with the order of the elements reversed along ``dims``."""
    ndim = check_tensor("flip", "input", input).array.ndim
    return Flip.apply(input, dimensions("flip", ints("flip", dims), ndim))


def roll(input: Any, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Any:
    """Return the elements moved by ``shifts`` places along ``dims``, wrapping around.

    Parameters
    ----------
    input : Tensor
        Any shape.
    shifts : int or sequence of int
        How far, one for each of ``dims``; negative moves toward index 0.
    dims : int or sequence of int, optional
        Default: roll the flattened tensor by one shift.
    """
    ndim = check_tensor("roll", "input", input).array.ndim
    steps = ints("roll", (shifts,))
    along = None if dims is None else tuple(
        [dimension("roll", d, ndim) for d in ints("roll", (dims,))]
    )  # fmt: skip
    if len(steps) != (1 if along is None else len(along)):
        raise ArgumentError(f"roll: {len(steps)} shifts {shifts} for dims {dims}")
    return Roll.apply(input, steps, along) if ndim else input
