"""How variables vary together."""

from __future__ import annotations

from typing import Any

from ...backend.dtypes import INTEGER
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import as_floating, cast, check_not_bool, check_tensor
from ..shapes.diagonals import diagonal


def cov(input: Any, *, correction: float = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Return the covariances of the variables in the rows of a matrix.

    Parameters
    ----------
    input : Tensor
        (variables, observations), or (observations,) of one variable; integers become the default
        float dtype.
    correction : number, default 1
        The sums of products are divided by the number of observations less this. With weights:
        by ``w - correction * sum(weights * aweights) / w``, with w the sum of the weights.
    fweights : Tensor, optional
        (observations,) of integers: how often each was made.
    aweights : Tensor, optional
        (observations,), floating point: how much each counts.

    Returns
    -------
    Tensor
        (variables, variables), or () for one variable.

    Raises
    ------
    ShapeError
        If the input has more than two dimensions, or the weights do not fit.
    DTypeError
        If dtypes are not as above.
    ArgumentError
        If a weight is negative, or all are 0.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.cov(tc.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    check_not_bool("cov", check_tensor("cov", "input", input))
    shape = tuple(input.array.shape)
    if len(shape) > 2:
        raise ShapeError(f"cov: expected at most 2 dimensions, got shape {shape}")
    x = as_floating("cov", input)
    x = x if len(shape) == 2 else x.reshape(1, -1)
    weights = _weights(x, fweights, aweights)
    if weights is None:
        weighted = centered = x - x.mean(1, True)
        norm = x.array.shape[1] - correction
    else:
        total = weights.sum()
        if total.item() == 0:
            raise ArgumentError("cov: the weights sum to 0, so there is no mean")
        centered = x - (x * weights).sum(1, True) / total
        weighted = centered * weights
        share = 1 if aweights is None else (weights * cast(aweights, x.dtype)).sum() / total
        norm = total - correction * share
    result = (weighted @ centered.T) / _at_least_0(norm)
    return result if len(shape) == 2 else result.reshape(())


def _weights(x: Any, fweights: Any, aweights: Any) -> Any:
    """Return the product of both kinds of weights, or ``None``."""
    result = None
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        kind = check_tensor("cov", name, weights).dtype
        if (kind.kind != INTEGER) if name == "fweights" else not kind.is_floating_point:
            wanted = "integers" if name == "fweights" else "floating-point numbers"
            raise DTypeError(f"cov: {name} must hold {wanted}, got {kind}")
        if weights.array.shape != x.array.shape[1:]:
            raise ShapeError(
                f"cov: {name} of shape {tuple(weights.array.shape)} must have one weight for each "
                f"of {x.array.shape[1]} observations"
            )
        if x.xp.any(weights.array < 0):
            raise ArgumentError(f"cov: {name} must not be negative, got {weights.tolist()}")
        here = cast(weights, x.dtype)
        result = here if result is None else result * here
    return result


def _at_least_0(norm: Any) -> Any:
    return max(norm, 0) if isinstance(norm, int | float) else norm.clamp(min=0)


def corrcoef(input: Any) -> Any:
    """Return the correlation coefficients of the variables in the rows of a matrix.

    Parameters
    ----------
    input : Tensor
        As for :func:`cov`.

    Returns
    -------
    Tensor
        (variables, variables), or () for one variable; in [-1, 1], and NaN beside a variable that
        does not vary.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.corrcoef(tc.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    check_not_bool("corrcoef", check_tensor("corrcoef", "input", input))
    if input.array.ndim > 2:
        shape = tuple(input.array.shape)
        raise ShapeError(f"corrcoef: expected at most 2 dimensions, got shape {shape}")
    c = cov(input)
    if c.array.ndim == 0:
        return c / c
    deviation = diagonal(c).sqrt()
    return (c / deviation.unsqueeze(1) / deviation).clamp(-1, 1)
