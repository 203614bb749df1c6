"""The same elements in another order along their dimensions, in new memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError, ShapeError
from .._operands import check_tensor, dimension, dimensions
from .views import ints


class Flip(Function):
    """The elements in reverse order along some dimensions."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, dims: tuple[int, ...]) -> Any:
        ctx.dims = dims
        return x.wrap(x.xp.asarray(x.xp.flip(x.array, axis=dims), copy=True))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return Flip.apply(grad, ctx.dims), None


class Roll(Function):
    """The elements moved along some dimensions; those that fall off come in at the other end."""

    takes_bfloat16 = True

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


def fliplr(input: Any) -> Any:
    """Return the elements of each row in reverse order, along dimension 1."""
    return _flipped("fliplr", input, 1)


def flipud(input: Any) -> Any:
    """Return the rows in reverse order, along dimension 0."""
    return _flipped("flipud", input, 0)


def _flipped(op: str, input: Any, dim: int) -> Any:
    if check_tensor(op, "input", input).array.ndim <= dim:
        raise ShapeError(
            f"{op}: expected at least {dim + 1} dimensions, got shape {tuple(input.array.shape)}"
        )
    return flip(input, dim)


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Any:
    """Return the tensor turned by ``k`` right angles in the plane of two dimensions.

    Parameters
    ----------
    input : Tensor
        At least 2 dimensions.
    k : int, default 1
        How often, from the first of ``dims`` towards the second; negative turns the other way.
    dims : pair of int, default (0, 1)
        The plane.

    Raises
    ------
    ArgumentError
        If ``dims`` are not two different dimensions.
    """
    ndim = check_tensor("rot90", "input", input).array.ndim
    plane = [dimension("rot90", d, ndim) for d in dims]
    if len(plane) != 2 or plane[0] == plane[1]:
        raise ArgumentError(f"rot90: dims must be two different dimensions, got {tuple(dims)}")
    a, b = plane
    match k % 4:
        case 1:
            return flip(input, b).transpose(a, b)
        case 2:
            return flip(input, (a, b))
        case 3:
            return flip(input, a).transpose(a, b)
    return input.clone()
