"""How long vectors are, how far apart, and whether they point the same way."""

from __future__ import annotations

from typing import Any

from .._operands import check_floating, check_tensor, operands
from ..elementwise.selection import AtLeast
from ..reductions.statistics import norm
from ..reductions.sums import Dim
from ..shapes.broadcasting import broadcast_tensors


def normalize(input: Any, p: float = 2.0, dim: Dim = 1, eps: float = 1e-12) -> Any:
    """Return ``input`` divided by its p-norm along ``dim``, or by ``eps`` where that is larger.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    p : float, default 2.0
        The exponent, as in :func:`norm`.
    dim : int or sequence of int, default 1
        The dimensions of one vector.
    eps : float, default 1e-12
        Least divisor, so that zeros stay zeros.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.normalize(tc.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    check_floating("normalize", "input", input)
    return input / norm(input, p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between vectors along ``dim``.

    Parameters
    ----------
    x1, x2 : Tensor
        Shapes that broadcast; at least one floating point.
    dim : int, default 1
        Dimension of the common shape that makes the vectors.
    eps : float, default 1e-8
        Least length to divide by; a vector of zeros has the cosine 0.

    Returns
    -------
    Tensor
        The common shape without ``dim``; from -1 to 1.

    Raises
    ------
    DTypeError
        If both are integers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.cosine_similarity(tc.tensor([[1.0, 0.0]]), tc.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    check_tensor("cosine_similarity", "x2", x2)
    x1, x2 = operands("cosine_similarity", check_tensor("cosine_similarity", "x1", x1), x2)
    check_floating("cosine_similarity", "x1", x1)
    if x1.array.shape != x2.array.shape:
        x1, x2 = broadcast_tensors(x1, x2)
    units = [x / AtLeast.apply(norm(x, 2, dim, True), eps) for x in (x1, x2)]
    return (units[0] * units[1]).sum(dim)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """Return the p-norm of ``x1 - x2 + eps`` along the last dimension.

    Parameters
    ----------
    x1, x2 : Tensor
        (N, D) or (D,), or any shapes that broadcast.
    p : float, default 2.0
        The exponent, as in :func:`norm`.
    eps : float, default 1e-6
        Added to each difference, so that equal vectors have a gradient.
    keepdim : bool, default False
        Keep the last dimension with size 1.

    Returns
    -------
    Tensor
        The common shape without its last dimension.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.pairwise_distance(tc.tensor([[3.0, 0.0]]), tc.tensor([[0.0, 4.0]]))
    tensor([5.])
    """
    check_tensor("pairwise_distance", "x2", x2)
    x1, x2 = operands("pairwise_distance", check_tensor("pairwise_distance", "x1", x1), x2)
    return norm(x1 - x2 + eps, p, -1, keepdim)


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """Return the p-norm of all elements of ``input - other``.

    Parameters
    ----------
    input, other : Tensor
        Shapes that broadcast; at least one floating point.
    p : number, default 2
        The exponent, as in :func:`norm`.

    Returns
    -------
    Tensor ()
        The gradient where the distance is 0 is 0.

    Raises
    ------
    DTypeError
        If both are integers.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.dist(tc.tensor([3.0, 0.0]), tc.tensor([0.0, 4.0]))
    tensor(5.)
    """
    check_tensor("dist", "other", other)
    x1, x2 = operands("dist", check_tensor("dist", "input", input), other)
    return norm(check_floating("dist", "input", x1) - x2, p)
