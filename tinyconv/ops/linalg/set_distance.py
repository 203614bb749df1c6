"""How far apart the vectors of sets are, each from each."""

from __future__ import annotations

import math
from typing import Any

from ...autograd import Function, is_grad_enabled
from ...backend.dtypes import wide
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_floating
from ..creation.filled import ones_like, zeros_like
from ..elementwise.selection import where
from ..indexing.gather import IndexAdd
from ..reductions.statistics import SqrtOrZero
from ..shapes.broadcasting import broadcast_shapes
from ..shapes.joining import cat
from ._matrices import check_alike, check_matrices

#: Number of vectors from which :func:`cdist` takes a matrix product if it may, as in PyTorch.
MANY = 25
COMPUTE_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


class Distances(Function):
    """d[n, i, j], the p-norm of a[n, i] - b[n, j]; the gradient where it is 0 is 0."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, p: float) -> Any:
        result = a.wrap(a.device.backend.distances(a.array, b.array, p))
        ctx.save_for_backward(a, b, result)
        ctx.p = p
        return result

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (a, b, distance), p = ctx.saved_tensors, ctx.p
        if p == 0:
            return zeros_like(a), zeros_like(b), None
        if is_grad_enabled():
            slopes = grad.unsqueeze(-1) * _slopes(a, b, p)
            return slopes.sum(-2), -slopes.sum(-3), None
        kernel, (of_a, of_b, _) = grad.device.backend.distances_grad, ctx.needs_input_grad
        turned = [grad.xp.permute_dims(x.array, (0, 2, 1)) for x in (grad, distance)]
        return (
            a.wrap(kernel(grad.array, a.array, b.array, distance.array, p)) if of_a else None,
            b.wrap(kernel(turned[0], b.array, a.array, turned[1], p)) if of_b else None,
            None,
        )


class PairDistances(Function):
    """The part above the diagonal of the distances of a set (1, N, M) to itself, row by row."""

    @staticmethod
    def forward(ctx: Any, x: Any, p: float) -> Any:
        xp, size = x.xp, x.array.shape[1]
        whole = x.device.backend.distances(x.array, x.array, p)
        row = xp.arange(size, device=x.array.device)
        above = xp.reshape(xp.reshape(row, (-1, 1)) < row, (-1,))
        places = x.wrap(xp.astype(xp.nonzero(above)[0], xp.int64))
        ctx.save_for_backward(x, x.wrap(whole), places)
        ctx.p = p
        return x.wrap(xp.take(xp.reshape(whole, (-1,)), places.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x, whole, places), p = ctx.saved_tensors, ctx.p
        size = x.array.shape[1]
        if p == 0:
            return zeros_like(x), None
        upper = IndexAdd.apply(grad, places, 0, size * size).reshape(1, size, size)
        both = upper + upper.mT
        if is_grad_enabled():
            return (both.unsqueeze(-1) * _slopes(x, x, p)).sum(-2), None
        kernel = grad.device.backend.distances_grad
        return grad.wrap(kernel(both.array, x.array, x.array, whole.array, p)), None


def _slopes(a: Any, b: Any, p: float) -> Any:
    """Return the derivatives of distances by the differences, (N, P, R, M)."""
    difference = a.unsqueeze(-2) - b.unsqueeze(-3)
    size, distance = difference.abs(), Distances.apply(a, b, p).unsqueeze(-1)
    sign = difference.sign()
    if p == 1:
        return sign
    if p == math.inf:
        ties = (size == distance).to(a.dtype)
        return sign * ties / ties.sum(-1, True)
    none = (size == 0) | (distance == 0)
    return sign * (where(none, 1, size) / where(none, 1, distance)) ** (p - 1)


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
        The gradient where a distance is 0 is 0. Second derivatives hold P * R * M elements on the
        way.

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
    _check_exponent("cdist", p)
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
    batch = broadcast_shapes(a[:-2], b[:-2])
    sets = [x.expand(*batch, *x.array.shape[-2:]) for x in (x1, x2)]
    sets = [x.reshape(math.prod(batch), *x.array.shape[-2:]) for x in sets]
    return Distances.apply(*sets, float(p)).reshape(*batch, a[-2], b[-2])


def pdist(input: Any, p: float = 2.0) -> Any:
    """Return the p-norm distance of each pair of vectors of a set.

    Parameters
    ----------
    input : Tensor (N, M)
        The vectors, floating point.
    p : float, default 2.0
        From 0, which counts the elements that differ, to ``inf``.

    Returns
    -------
    Tensor (N * (N - 1) / 2,)
        The distances of vector 0 to 1, 2 ..., of vector 1 to 2, 3 ... and so on: the part above
        the diagonal of ``cdist(input, input)``. The gradient where a distance is 0 is 0.

    Raises
    ------
    ArgumentError
        If ``p`` is negative or NaN.
    ShapeError
        If ``input`` is no matrix.
    DTypeError
        If it is not floating point.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.pdist(tc.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]))
    tensor([5., 3., 4.])
    """
    shape = tuple(check_floating("pdist", "input", input).array.shape)
    if len(shape) != 2:
        raise ShapeError(f"pdist: argument 'input' must be (N, M), got shape {shape}")
    _check_exponent("pdist", p)
    return PairDistances.apply(input.unsqueeze(0), float(p))


def _check_exponent(op: str, p: Any) -> None:
    if not isinstance(p, int | float) or not p >= 0:
        raise ArgumentError(f"{op}: p={p!r} must be a number of at least 0")


def _euclidean(x1: Any, x2: Any) -> Any:
    """Return 2-norm distances by |a - b|^2 = |a|^2 + |b|^2 - 2 a b."""
    dtype = x1.dtype  # the squares may exceed what float16 holds
    x1, x2 = cast(x1, wide(dtype)), cast(x2, wide(dtype))
    # One product: of (-2 a, |a|^2, 1) and (b, 1, |b|^2).
    one, other = ones_like(x1[..., :1]), ones_like(x2[..., :1])
    left = cat([x1 * -2, (x1 * x1).sum(-1, True), one], -1)
    right = cat([x2, other, (x2 * x2).sum(-1, True)], -1)
    return cast(SqrtOrZero.apply((left @ right.mT).clamp(min=0)), dtype)
