"""Distances and similarities of vectors, and vectors of length 1."""

from __future__ import annotations

from typing import Any

from ._operands import check_floating, floating_operands
from .broadcasting import broadcast_tensors
from .selection import AtLeast
from .statistics import norm


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """Return the p-norm of ``x1 - x2 + eps`` over the last dimension.

    Parameters
    ----------
    x1, x2 : Tensor
        (N, D) or (D,), or other shapes that broadcast.
    p : float, default 2.0
        Of the norm; see :func:`tinyconv.norm`.
    eps : float, default 1e-6
        Added to each component of the difference, so that equal vectors have a gradient.
    keepdim : bool, default False
        Keep the last dimension with size 1.

    Returns
    -------
    Tensor
        (N,) or ().

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.pairwise_distance(tc.tensor([3.0, 4.0]), tc.tensor([0.0, 0.0]))
    tensor(5.0000)
    """
    x1, x2 = floating_operands("pairwise_distance", x1, x2)
    return norm(x1 - x2 + eps, p, -1, keepdim)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return the cosine of the angle between vectors along a dimension.

    Parameters
    ----------
    x1, x2 : Tensor
        Floating point; shapes that broadcast.
    dim : int, default 1
        Along which the vectors lie.
    eps : float, default 1e-8
        Shorter vectors are divided by this instead of by their length.

    Returns
    -------
    Tensor
        The broadcast shape without ``dim``; from -1 to 1.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> a, b = tc.tensor([[1.0, 0.0]]), tc.tensor([[1.0, 1.0]])
    >>> tc.nn.functional.cosine_similarity(a, b)
    tensor([0.7071])
    """
    op = "cosine_similarity"
    x1, x2 = floating_operands(op, check_floating(op, "x1", x1), check_floating(op, "x2", x2))
    if x1.array.shape != x2.array.shape:  # else dim could mean two different dimensions
        x1, x2 = broadcast_tensors(x1, x2)
    units = [x / AtLeast.apply(norm(x, 2, dim, True), eps) for x in (x1, x2)]
    return (units[0] * units[1]).sum(dim)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """Return vectors of p-norm 1: ``input / max(norm(input), eps)`` along a dimension.

    Parameters
    ----------
    input : Tensor
        Floating point, any shape.
    p : float, default 2.0
        Of the norm.
    dim : int, default 1
        Along which the vectors lie.
    eps : float, default 1e-12
        Shorter vectors are divided by this instead of by their length; 0 stays 0.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.normalize(tc.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    check_floating("normalize", "input", input)
    return input / norm(input, p, dim, True).clamp(min=eps)
