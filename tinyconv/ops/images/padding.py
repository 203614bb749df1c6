"""Padding: more elements around a tensor, or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError, ShapeError
from .._operands import check_tensor
from .._tables import table
from ..indexing.gather import IndexSelect

Pairs = tuple[tuple[int, int], ...]


class PadConstant(Function):
    """x with ``value`` around it; a negative pad crops. One (before, after) for each dimension."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, pairs: Pairs, value: float) -> Any:
        ctx.back = tuple([(-before, -after) for before, after in pairs])
        xp, array = x.xp, x.array
        sizes = [n + b + a for n, (b, a) in zip(array.shape, pairs, strict=True)]
        inside = [
            slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(array.shape, pairs, strict=True)
        ]
        outside = [slice(max(b, 0), n - max(a, 0)) for n, (b, a) in zip(sizes, pairs, strict=True)]
        out = xp.full(tuple(sizes), value, dtype=array.dtype)
        out[tuple(outside)] = array[tuple(inside)]
        return x.wrap(out)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        # Padding with zeros and cropping by as much are adjoint, in both directions.
        return PadConstant.apply(grad, ctx.back, 0), None, None


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Return ``input`` padded along its last dimensions.

    Parameters
    ----------
    input : Tensor
        Any shape.
    pad : sequence of int
        Pairs (before, after), the last dimension first: ``(left, right, top, bottom, ...)``.
        Negative numbers crop.
    mode : {"constant", "reflect", "replicate", "circular"}
        What the new elements are: ``value``; the input mirrored at its edge element (which is
        not repeated); the edge element; the input wrapped around.
    value : float, default 0
        For mode ``"constant"``.

    Raises
    ------
    ArgumentError
        If the mode is unknown, or the pads do not fit it.
    ShapeError
        If there are more pairs than dimensions, or a pad is larger than the mode allows.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.pad(tc.tensor([1.0, 2.0, 3.0]), (2, 0), mode="reflect")
    tensor([3., 2., 1., 2., 3.])
    """
    shape = check_tensor("pad", "input", input).array.shape
    widths = tuple([int(n) for n in pad])
    if len(widths) % 2 or len(widths) > 2 * len(shape):
        raise ShapeError(
            f"pad: needs pairs (before, after) for at most {len(shape)} dimensions, got {widths} "
            f"for shape {tuple(shape)}"
        )
    given = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)][::-1]
    pairs = ((0, 0),) * (len(shape) - len(given)) + tuple(given)
    if mode == "constant":
        return _pad_constant(input, pairs, value)
    if mode not in _SOURCES:
        choices = ", ".join(["constant", *_SOURCES])
        raise ArgumentError(f"pad: mode {mode!r} is unknown; choose {choices}")
    if value:
        raise ArgumentError(f"pad: mode {mode!r} takes no value, got {value}")
    for dim, (before, after) in enumerate(pairs):
        if before or after:
            source = _SOURCES[mode](shape[dim], before, after, dim)
            index = input.wrap(table(input.device, tuple(source)))
            input = IndexSelect.apply(input, index, dim)
    return input


def _pad_constant(input: Any, pairs: Pairs, value: float | None) -> Any:
    for dim, (size, (before, after)) in enumerate(zip(input.array.shape, pairs, strict=True)):
        _check_crop(size, before, after, dim)
        _check_crop(size, min(before, 0), min(after, 0), dim)
    return PadConstant.apply(input, pairs, 0 if value is None else value)


def _check(mode: str, size: int, before: int, after: int, limit: int, dim: int) -> None:
    if max(before, after) > limit:
        raise ShapeError(
            f"pad: mode {mode!r} allows pads of at most {limit} along dimension {dim}, "
            f"got ({before}, {after})"
        )
    _check_crop(size, before, after, dim)


def _check_crop(size: int, before: int, after: int, dim: int) -> None:
    if size + before + after < 0:
        raise ShapeError(
            f"pad: ({before}, {after}) crops more than the size {size} of dimension {dim}"
        )


def _reflect(size: int, before: int, after: int, dim: int) -> list[int]:
    """Return which element each place holds: 2 1 | 0 1 2 3 | 2 1."""
    _check("reflect", size, before, after, max(size - 1, 0), dim)
    return [size - 1 - abs(size - 1 - abs(i)) for i in range(-before, size + after)]


def _replicate(size: int, before: int, after: int, dim: int) -> list[int]:
    """Return which element each place holds: 0 0 | 0 1 2 3 | 3 3."""
    _check("replicate", size, before, after, max(before, after, 0) if size else 0, dim)
    return [min(max(i, 0), size - 1) for i in range(-before, size + after)]


def _circular(size: int, before: int, after: int, dim: int) -> list[int]:
    """Return which element each place holds: 2 3 | 0 1 2 3 | 0 1; crops come first."""
    left = range(max(-before, 0), size - max(-after, 0))
    _check("circular", size, before, after, size if left else 0, dim)
    return [left[i % len(left)] for i in range(-max(before, 0), len(left) + max(after, 0))]


_SOURCES = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}
