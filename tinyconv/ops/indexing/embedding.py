"""Looking up rows of a table."""

from __future__ import annotations

from typing import Any

from ...autograd import Function, no_grad
from ...backend.cuda.driver.graphs import recording
from ...errors import ArgumentError, IndexRangeError, ShapeError
from .._operands import check_floating, check_tensor
from ..elementwise.selection import masked
from ..reductions.statistics import norm
from .gather import IndexSelect, check_index
from .getitem import setitem


class Embedding(Function):
    """y[i] = weight[index[i]]."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, weight: Any, index: Any, padding: int | None, by_frequency: bool) -> Any:
        ctx.save_for_backward(index)
        ctx.settings = weight.array.shape[0], padding, by_frequency
        return weight.wrap(weight.xp.take(weight.array, index.array, axis=0))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        return EmbeddingGrad.apply(grad, index, *ctx.settings), None, None, None


class EmbeddingGrad(Function):
    """dweight[index[i]] += dy[i], but nothing for the padding; divided by how often i occurs.

    As in PyTorch, the second derivative knows the padding but not the division.
    """

    @staticmethod
    def forward(
        ctx: Any, grad: Any, index: Any, size: int, padding: int | None, by_frequency: bool
    ) -> Any:
        ctx.save_for_backward(index)
        ctx.padding, xp, rows = padding, grad.xp, grad.array
        scatter_add = grad.device.backend.scatter_add
        if by_frequency:
            ones = xp.ones((rows.shape[0], 1), dtype=xp.float32)
            counts = xp.take(scatter_add(size, index.array, ones), index.array, axis=0)
            rows = rows / xp.astype(counts, rows.dtype)
        summed = scatter_add(size, index.array, rows)
        if padding is not None:
            summed[padding, :] = 0.0
        return grad.wrap(summed)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (index,) = ctx.saved_tensors
        rows = IndexSelect.apply(grad, index, 0)
        if ctx.padding is not None:
            rows = masked(rows, grad.xp.reshape(index.array, (-1, 1)) != ctx.padding)
        return rows, None, None, None, None


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Return the rows of ``weight`` at the indices ``input``.

    Parameters
    ----------
    input : Tensor
        Indices from 0 to V - 1, any shape, signed integers.
    weight : Tensor (V, D)
        The table.
    padding_idx : int, optional
        A row whose gradient is 0; negative counts from the end.
    max_norm : float, optional
        Rows that are looked up, and longer, are first scaled to this norm, *in* ``weight``.
    norm_type : float, default 2.0
        The exponent of that norm, as in :func:`norm`.
    scale_grad_by_freq : bool, default False
        Divide the gradient of a row by how often it is looked up in this call.
    sparse : bool, default False
        Gradients are always dense; ``True`` raises.

    Returns
    -------
    Tensor
        Shape of ``input`` and one more dimension, D.

    Raises
    ------
    IndexRangeError
        If an index, or ``padding_idx``, names no row.
    DTypeError
        If the indices are not integers, or rows to be scaled not floating point.
    ShapeError
        If ``weight`` is not a matrix.
    ArgumentError
        If ``sparse`` is true.

    Examples
    --------
    >>> import tinyconv as tc
    >>> table = tc.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> tc.nn.functional.embedding(tc.tensor([1, 0, 1]), table)
    tensor([[2., 3.],
            [0., 1.],
            [2., 3.]])
    """
    refuse_sparse("embedding", sparse)
    shape = check_tensor("embedding", "weight", weight).array.shape
    if len(shape) != 2:
        raise ShapeError(f"embedding: argument 'weight' must be a matrix, got {tuple(shape)}")
    padding = row_of("embedding", padding_idx, shape[0])
    index = check_index("embedding", input, shape[0], 0)
    if index.array.size and not recording() and int(input.xp.min(input.array)) < 0:
        raise IndexRangeError(
            f"embedding: indices must be from 0 to {shape[0] - 1}, got {int(input.min())}"
        )
    flat = index.reshape(-1)
    if max_norm is not None:
        _shorten(check_floating("embedding", "weight", weight), flat, max_norm, norm_type)
    rows = Embedding.apply(weight, flat, padding, scale_grad_by_freq)
    return rows.reshape(*input.array.shape, shape[1])


def _shorten(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows of ``weight`` at ``index`` that are longer than ``max_norm``, in place."""
    with no_grad():
        used = index.wrap(index.xp.unique_values(index.array))
        rows = IndexSelect.apply(weight, used, 0)
        lengths = norm(rows, norm_type, 1, keepdim=True)
        long = lengths > max_norm
        if long.any():
            factor = (max_norm / (lengths + 1e-7)).where(long, 1.0)
            setitem(weight, used, rows * factor)


def row_of(name: str, padding_idx: int | None, count: int) -> int | None:
    """Return ``padding_idx`` counted from the front."""
    if padding_idx is None:
        return None
    if not -count <= padding_idx < count:
        raise IndexRangeError(
            f"{name}: padding_idx={padding_idx} is out of range for {count} embeddings"
        )
    return padding_idx % count


def refuse_sparse(name: str, sparse: bool) -> None:
    """Raise ``ArgumentError`` if sparse gradients are asked for."""
    if sparse:
        raise ArgumentError(
            f"{name}: sparse=True asks for a sparse gradient, but tensors here are dense; "
            "use sparse=False"
        )
