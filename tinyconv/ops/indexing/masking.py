"""Picking and overwriting elements by a bool mask."""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...errors import DTypeError, ShapeError
from .._operands import TensorBase, check_tensor, dimension
from ..shapes.broadcasting import broadcast_shapes, broadcast_tensors
from .gather import IndexSelect, check_index


class MaskedFill(Function):
    """A number where the mask is true, x elsewhere; both already broadcast."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, mask: Any, value: float) -> Any:
        ctx.save_for_backward(mask)
        xp, array = x.xp, x.array
        filled = xp.asarray(value, dtype=array.dtype)
        return x.wrap(xp.where(mask.array, filled, array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (mask,) = ctx.saved_tensors
        return MaskedFill.apply(grad, mask, 0), None, None


def check_mask(op: str, mask: Any) -> Any:
    """Return ``mask`` if it is a bool tensor, else raise ``DTypeError``."""
    if check_tensor(op, "mask", mask).dtype.kind != 0:
        raise DTypeError(f"{op}: argument 'mask' must be bool, got {mask.dtype}; use .bool()")
    return mask


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """Return ``input`` with ``value`` where ``mask`` is true.

    Parameters
    ----------
    input : Tensor
        Any shape.
    mask : bool Tensor
        Broadcasts with ``input``.
    value : number, or Tensor of 0 dimensions
        A tensor receives a gradient.

    Raises
    ------
    DTypeError
        If the mask is not bool, or a float would go into an integer tensor.
    """
    shape = check_tensor("masked_fill", "input", input).array.shape
    mask = check_mask("masked_fill", mask)
    if isinstance(value, TensorBase):
        if value.array.ndim:
            raise ShapeError(
                f"masked_fill: value must have 0 dimensions, got {tuple(value.array.shape)}; "
                "use where"
            )
        return value.to(input.dtype).where(mask, input)
    if isinstance(value, float) and not input.dtype.is_floating_point:
        raise DTypeError(f"masked_fill: {value} does not fit into a tensor of {input.dtype}")
    if mask.array.shape != shape and broadcast_shapes(shape, mask.array.shape) != shape:
        input, mask = broadcast_tensors(input, mask)
    return MaskedFill.apply(input, mask, value)


def masked_select(input: Any, mask: Any) -> Any:
    """Return the elements where ``mask`` is true, in row-major order, in one dimension."""
    check_mask("masked_select", mask)
    input, mask = broadcast_tensors(check_tensor("masked_select", "input", input), mask)
    flat = mask.xp.reshape(mask.array, (-1,))
    where = mask.wrap(mask.xp.nonzero(flat)[0])
    return IndexSelect.apply(input.reshape(-1), where, 0)


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Return the indices of the elements that are not zero, in row-major order.

    Parameters
    ----------
    input : Tensor
        Any shape.
    as_tuple : bool, default False
        Return one index tensor a dimension, for use as an index, instead of one matrix.

    Returns
    -------
    int64 Tensor (n, input.ndim), or tuple of Tensor (n,)
    """
    xp, array = input.xp, check_tensor("nonzero", "input", input).array
    if array.ndim == 0:
        found = (xp.nonzero(xp.reshape(array, (1,)))[0],) if as_tuple else ()
        count = int(xp.count_nonzero(array))
    else:
        found = xp.nonzero(array)
        count = found[0].shape[0]
    if as_tuple:
        return tuple([input.wrap(index) for index in found])
    if not found:
        return input.wrap(xp.zeros((count, 0), dtype=xp.int64))
    return input.wrap(xp.stack(found, axis=1))


def argwhere(input: Any) -> Any:
    """Return the indices of the elements that are not zero; the same as :func:`nonzero`."""
    return nonzero(input)


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """Return ``input`` with ``value`` in the slices at ``index`` along dimension ``dim``."""
    shape = check_tensor("index_fill", "input", input).array.shape
    dim = dimension("index_fill", dim, len(shape))
    index = check_index("index_fill", index, shape[dim], dim).reshape(-1)
    xp = input.xp
    column = xp.reshape(xp.arange(shape[dim]), (-1, 1))
    hit = xp.any(column == xp.reshape(index.array, (1, -1)), axis=1)
    mask = xp.reshape(hit, tuple([n if d == dim else 1 for d, n in enumerate(shape)]))
    return masked_fill(input, input.wrap(mask), value)
