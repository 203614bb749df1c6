"""How the elements of a tensor lie in memory: strides, row-major or channels-last, copies."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ...autograd import Function
from ...errors import ArgumentError, ShapeError
from .._operands import check_tensor
from .views import permute


class MemoryFormat(Enum):
    """An order of the elements in memory; the shape of a tensor does not change with it."""

    CONTIGUOUS = "contiguous_format"  # row-major: the last dimension is dense
    CHANNELS_LAST = "channels_last"  # (N, C, H, W) with dense channels: NHWC in memory
    CHANNELS_LAST_3D = "channels_last_3d"  # (N, C, D, H, W) likewise
    PRESERVE = "preserve_format"  # whatever the input has

    def __repr__(self) -> str:
        return f"tinyconv.{self.value}"

    __str__ = __repr__


contiguous_format = MemoryFormat.CONTIGUOUS
channels_last, channels_last_3d = MemoryFormat.CHANNELS_LAST, MemoryFormat.CHANNELS_LAST_3D
preserve_format = MemoryFormat.PRESERVE
_DIMS = {channels_last: 4, channels_last_3d: 5}


class Clone(Function):
    """The same values in memory of their own."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.wrap(x.xp.asarray(x.array, copy=True))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad


class Contiguous(Function):
    """The same values in row-major memory of their own."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        out = x.xp.empty(x.array.shape, dtype=x.array.dtype)
        out[...] = x.array
        return x.wrap(out)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad


def strides(input: Any) -> tuple[int, ...]:
    """Return the step of each dimension in elements; an array that tells none is row-major."""
    array = input.array
    steps = getattr(array, "strides", None)
    if steps is not None:
        return tuple([step // array.itemsize for step in steps])
    step = 1
    found: list[int] = []
    for size in reversed(array.shape):
        found.append(step)
        step *= max(size, 1)
    return tuple(reversed(found))


def is_contiguous(input: Any, memory_format: MemoryFormat = contiguous_format) -> bool:
    """Return whether the elements lie without gaps in row-major, or another, order.

    Parameters
    ----------
    input : Tensor
        Any shape.
    memory_format : MemoryFormat, default ``tc.contiguous_format``
        Or ``tc.channels_last`` (4 dimensions) and ``tc.channels_last_3d`` (5); false for tensors
        with other numbers of dimensions.
    """
    shape, steps = input.array.shape, strides(input)
    if _check("is_contiguous", memory_format) in _DIMS:
        if len(shape) != _DIMS[memory_format]:
            return False
        order = (0, *range(2, len(shape)), 1)
        shape, steps = tuple(shape[d] for d in order), tuple(steps[d] for d in order)
    if 0 in shape:
        return True
    expected = 1
    for size, step in zip(reversed(shape), reversed(steps), strict=True):
        if size != 1:
            if step != expected:
                return False
            expected *= size
    return True


def contiguous(input: Any, memory_format: MemoryFormat = contiguous_format) -> Any:
    """Return ``input`` in row-major, or another, order: itself if it is so already, else a copy.

    Convolution, pooling and batch normalisation compute in channels-last memory and return it, so a
    network converts an image once, at its input; it is never needed for speed here.

    Parameters
    ----------
    input : Tensor
        Any shape.
    memory_format : MemoryFormat, default ``tc.contiguous_format``
        Or ``tc.channels_last`` (4 dimensions) and ``tc.channels_last_3d`` (5).

    Raises
    ------
    ShapeError
        If the format asks for another number of dimensions.
    ArgumentError
        If it is ``tc.preserve_format``, which says nothing here, or no format.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.zeros(2, 3, 4, 5).contiguous(memory_format=tc.channels_last)
    >>> x.shape, x.stride()
    (tinyconv.Size([2, 3, 4, 5]), (60, 1, 15, 3))
    """
    if _check("contiguous", memory_format) is preserve_format:
        raise ArgumentError("contiguous: argument 'memory_format' must not be preserve_format")
    if is_contiguous(input, memory_format):
        return input
    if memory_format is contiguous_format:
        return Contiguous.apply(input)
    dims = input.array.ndim
    if dims != _DIMS[memory_format]:
        raise ShapeError(
            f"contiguous: {memory_format!r} is for tensors of {_DIMS[memory_format]} dimensions, "
            f"got shape {tuple(input.array.shape)}"
        )
    pixels = Contiguous.apply(permute(input, (0, *range(2, dims), 1)))
    return permute(pixels, (0, dims - 1, *range(1, dims - 1)))


def clone(input: Any, *, memory_format: MemoryFormat = preserve_format) -> Any:
    """Return a differentiable copy in memory of its own, in the same or another order."""
    check_tensor("clone", "input", input)
    if _check("clone", memory_format) is preserve_format or is_contiguous(input, memory_format):
        return Clone.apply(input)
    return contiguous(input, memory_format)


def _check(op: str, memory_format: Any) -> MemoryFormat:
    if isinstance(memory_format, MemoryFormat):
        return memory_format
    names = ", ".join(f"tc.{each.value}" for each in MemoryFormat)
    raise ArgumentError(
        f"{op}: argument 'memory_format' must be one of {names}, got {memory_format!r}"
    )
