"""How long vectors are, how far apart, and whether they point the same way."""

from __future__ import annotations

from typing import Any

from ...backend.dtypes import wide
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_floating, check_tensor, operands
from ..elementwise.selection import AtLeast
from ..reductions.statistics import SqrtOrZero, norm
from ..reductions.sums import Dim
from ..shapes.broadcasting import broadcast_shapes, broadcast_tensors
from ._matrices import check_alike, check_matrices

#: Number of vectors from which :func:`cdist` takes a matrix product if it may, as in PyTorch.
MANY = 25
COMPUTE_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


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


def cdist(
    x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Any:
    """Return the p-norm distance of each vector of one set to each of another.

    Parameters
    ----------
    x1, x2 : Tensor (..., P, M), (..., R, M)
        Floating point, of equal dtype; batches broadcast.
    p : float, default 2.0
        From 0, which counts the elements that differ, to ``inf``.
    compute_mode : str, default "use_mm_for_euclid_dist_if_necessary"
        Whether the 2-norm may be computed by a matrix product, which is faster and takes less
        memory but loses digits where vectors are near to each other:
        ``"use_mm_for_euclid_dist"`` always, ``"donot_use_mm_for_euclid_dist"`` never, and the
        default where P or R is above 25.

    Returns
    -------
    Tensor (..., P, R)
        The gradient where a distance is 0 is 0. Without a matrix product, P * R * M elements
        are held on the way.

    Raises
    ------
    ArgumentError
        If ``p`` is negative or NaN, or the mode unknown.
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the dtypes differ or are not floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cdist(tc.tensor([[0.0, 0.0], [3.0, 4.0]]), tc.tensor([[0.0, 0.0]]))
    tensor([[0.],
            [5.]])
    """
    check_alike("cdist", x1, x2, ("x1", "x2"))
    check_floating("cdist", "x1", x1)
    a = check_matrices("cdist", "x1", x1).array.shape
    b = check_matrices("cdist", "x2", x2).array.shape
    if not isinstance(p, int | float) or not p >= 0:
        raise ArgumentError(f"cdist: p={p!r} must be a number of at least 0")
    if compute_mode not in COMPUTE_MODES:
        raise ArgumentError(
            f"cdist: compute_mode={compute_mode!r} is not legal; choose "
            f"{', '.join(map(repr, COMPUTE_MODES))}"
        )
    try:
        broadcast_shapes(a[:-2], b[:-2])
        fits = a[-1] == b[-1]
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"cdist: shapes {tuple(a)} and {tuple(b)} must have the same last size, and batches "
            "that broadcast"
        )
    many = a[-2] > MANY or b[-2] > MANY
    if p == 2 and (compute_mode == COMPUTE_MODES[1] or (compute_mode == COMPUTE_MODES[0] and many)):
        return _euclidean(x1, x2)
    difference = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    return norm(difference, p, -1) if a[-1] else difference.sum(-1)


def _euclidean(x1: Any, x2: Any) -> Any:
    """Return 2-norm distances by |a - b|^2 = |a|^2 + |b|^2 - 2 a b."""
    dtype = x1.dtype  # the squares may exceed what float16 holds
    x1, x2 = cast(x1, wide(dtype)), cast(x2, wide(dtype))
    squares = (x1 * x1).sum(-1, True) + (x2 * x2).sum(-1).unsqueeze(-2)
    return cast(SqrtOrZero.apply((squares - 2 * (x1 @ x2.mT)).clamp(min=0)), dtype)
