"""Initial values of parameters: each function fills a tensor in place and returns it.

Random ones draw from ``generator``, or else from the default generator that
``tinyconv.manual_seed`` seeds; the numbers are the same on every device. In a convolution's
weight ``(out, in / groups, *kernel)``, fan_in is ``in / groups`` times the size of the kernel and
fan_out is ``out`` times that size. A weight that a parametrization computes cannot be filled, as it
is computed anew at the next read: that raises ``ArgumentError``, which names ways that last.
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd.pending import settle
from ..backend.generator import Generator, default_generator
from ..backend.random import Stream
from ..errors import ArgumentError, ShapeError
from ..ops._operands import check_floating
from ._skipping import skippable

_GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3,
    "relu": math.sqrt(2), "selu": 0.75,
}  # fmt: skip


#: Standard deviation of standard normal numbers between -2 and 2.
TRUNCATED_STD = 0.87962566103423978


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which a weight's standard deviation makes up for an activation.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"conv2d"`` and the like (1), ``"sigmoid"`` (1), ``"tanh"`` (5/3),
        ``"relu"`` (sqrt 2), ``"leaky_relu"`` (sqrt(2 / (1 + slope**2))) or ``"selu"`` (3/4).
    param : float, optional
        Slope of the leaky ReLU, default 0.01.

    Raises
    ------
    ArgumentError
        If the activation is unknown.

    Examples
    --------
    >>> from tinyconv import nn
    >>> nn.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"calculate_gain: nonlinearity {nonlinearity!r} is unknown; choose leaky_relu, "
            + ", ".join(_GAINS)
        )
    return _GAINS[nonlinearity]


def calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    """Return the number of inputs of one output of a weight, and of outputs of one input.

    Raises
    ------
    ShapeError
        If the tensor has fewer than two dimensions.
    """
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ShapeError(
            f"fan_in and fan_out need a weight of at least 2 dimensions, got shape {tuple(shape)}"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = calculate_fan_in_and_fan_out  # the name PyTorch scripts use


@skippable
def constant_(tensor: Any, val: float) -> Any:
    """Fill with one number."""
    return _fill(tensor, val)


@skippable
def zeros_(tensor: Any) -> Any:
    """Fill with 0."""
    return _fill(tensor, 0)


@skippable
def ones_(tensor: Any) -> Any:
    """Fill with 1."""
    return _fill(tensor, 1)


@skippable
def uniform_(
    tensor: Any, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Any:
    """Fill with numbers uniform on [a, b)."""
    return _fill(tensor, a + (b - a) * _uniform("uniform_", tensor, generator))


@skippable
def normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Any:
    """Fill with normal numbers of the given mean and standard deviation."""
    return _fill(tensor, mean + std * _normal("normal_", tensor, generator))


@skippable
def trunc_normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Any:
    """Fill with normal numbers, each redrawn until it is in [a, b].

    Parameters
    ----------
    tensor : Tensor
        What to fill.
    mean, std : float
        Of the normal distribution before it is cut.
    a, b : float
        The bounds, in the units of the numbers (not of ``std``).
    generator : Generator, optional
        Source of the draws.

    Raises
    ------
    ArgumentError
        If less than 1 % of the distribution is between the bounds: redrawing would take long.
    """
    probability = (math.erf((b - mean) / (std * math.sqrt(2)))
                   - math.erf((a - mean) / (std * math.sqrt(2)))) / 2  # fmt: skip
    if probability < 0.01:
        raise ArgumentError(
            f"trunc_normal_: only a share of {probability:.2g} of the normal distribution with "
            f"mean={mean} and std={std} is between a={a} and b={b}; widen the bounds"
        )
    xp = tensor.xp
    values = mean + std * _normal("trunc_normal_", tensor, generator)
    while xp.any(outside := (values < a) | (values > b)):
        values = xp.where(outside, mean + std * _normal("trunc_normal_", tensor, generator), values)
    return _fill(tensor, values)


@skippable
def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Fill uniformly so that the variance is ``gain**2 * 2 / (fan_in + fan_out)``.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
    (2010).
    """
    bound = math.sqrt(3) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


@skippable
def xavier_normal_(
    tensor: Any, gain: float = 1.0, generator: Generator | None = None, *, truncated: bool = False
) -> Any:
    """Fill with normal numbers of the variance that :func:`xavier_uniform_` has.

    ``truncated`` redraws what is beyond two standard deviations, and widens the distribution so
    that the variance stays the same: Keras's ``GlorotNormal``.
    """
    return _normal_of(tensor, _xavier_std(tensor, gain), generator, truncated)


@skippable
def kaiming_uniform_(
    tensor: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Any:
    """Fill uniformly so that the variance is ``gain**2 / fan``.

    He et al., "Delving deep into rectifiers" (2015).

    Parameters
    ----------
    tensor : Tensor
        A weight of at least 2 dimensions.
    a : float, default 0.0
        Slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        Keep the variance of the values going forward, or of the gradients going back.
    nonlinearity : str, default "leaky_relu"
        See :func:`calculate_gain`.
    generator : Generator, optional
        Source of the draws.
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


@skippable
def kaiming_normal_(
    tensor: Any,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
    *,
    truncated: bool = False,
) -> Any:
    """Fill with normal numbers of the variance that :func:`kaiming_uniform_` has.

    ``truncated`` is as for :func:`xavier_normal_`; with the nonlinearity ``"relu"`` that is
    Keras's ``HeNormal``.
    """
    return _normal_of(tensor, _kaiming_std(tensor, a, mode, nonlinearity), generator, truncated)


@skippable
def lecun_uniform_(tensor: Any, generator: Generator | None = None) -> Any:
    """Fill uniformly so that the variance is ``1 / fan_in`` (LeCun et al., 1998)."""
    bound = math.sqrt(3 / max(1, calculate_fan_in_and_fan_out(tensor)[0]))
    return uniform_(tensor, -bound, bound, generator)


@skippable
def lecun_normal_(
    tensor: Any, generator: Generator | None = None, *, truncated: bool = False
) -> Any:
    """Fill with normal numbers of variance ``1 / fan_in``.

    ``truncated`` is as for :func:`xavier_normal_`, and gives Keras's ``LecunNormal``.
    """
    std = math.sqrt(1 / max(1, calculate_fan_in_and_fan_out(tensor)[0]))
    return _normal_of(tensor, std, generator, truncated)


@skippable
def orthogonal_(tensor: Any, gain: float = 1.0, generator: Generator | None = None) -> Any:
    """Fill so that the rows, or else the columns, are orthogonal and of length ``gain``.

    Dimensions after the first are taken as one. Saxe et al., "Exact solutions to the nonlinear
    dynamics of learning in deep linear neural networks" (2014).

    Raises
    ------
    ShapeError
        If the tensor has fewer than two dimensions.
    """
    shape, xp = tensor.array.shape, tensor.xp
    if len(shape) < 2:
        raise ShapeError(f"orthogonal_: need at least 2 dimensions, got shape {tuple(shape)}")
    rows, columns = shape[0], math.prod(shape[1:])
    if rows * columns == 0:
        return tensor
    tall = (max(rows, columns), min(rows, columns))
    draws = (generator or default_generator()).normal(
        tensor.device.backend, tall, "float64", Stream.INIT
    )
    q, r = xp.linalg.qr(draws)
    # The signs of R's diagonal make the distribution uniform over orthogonal matrices.
    q = q * xp.sign(xp.linalg.diagonal(r))
    q = q if rows >= columns else xp.permute_dims(q, (1, 0))
    return _fill(tensor, xp.reshape(gain * q, shape))


@skippable
def eye_(tensor: Any) -> Any:
    """Fill a matrix with the identity."""
    if tensor.array.ndim != 2:
        raise ShapeError(f"eye_: need 2 dimensions, got shape {tuple(tensor.array.shape)}")
    return _fill(tensor, tensor.xp.eye(*tensor.array.shape, dtype=tensor.array.dtype))


@skippable
def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Fill a convolution's weight so that it passes its input channels through unchanged.

    Parameters
    ----------
    tensor : Tensor
        Weight of 3, 4 or 5 dimensions.
    groups : int, default 1
        Groups of the convolution; each group passes its own channels through.

    Raises
    ------
    ShapeError
        If the number of dimensions is another, or ``groups`` does not divide the first.
    """
    shape = tuple(tensor.array.shape)
    if len(shape) not in (3, 4, 5) or groups < 1 or shape[0] % groups:
        raise ShapeError(
            f"dirac_: need a weight of 3 to 5 dimensions whose first size groups={groups} "
            f"divides, got shape {shape}"
        )
    centre = tuple(size // 2 for size in shape[2:])
    values = tensor.xp.zeros(shape, dtype=tensor.array.dtype)
    out_per_group = shape[0] // groups
    for group in range(groups):
        for channel in range(min(out_per_group, shape[1])):
            values[(group * out_per_group + channel, channel, *centre)] = 1
    return _fill(tensor, values)


@skippable
def sparse_(
    tensor: Any, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Any:
    """Fill a matrix with normal numbers, and the share ``sparsity`` of each column with 0.

    Martens, "Deep learning via Hessian-free optimization" (2010).

    Raises
    ------
    ShapeError
        If the tensor is no matrix.
    """
    if tensor.array.ndim != 2:
        raise ShapeError(f"sparse_: need 2 dimensions, got shape {tuple(tensor.array.shape)}")
    xp, rows = tensor.xp, tensor.array.shape[0]
    # The position of each row in a random order of its column's rows: the first ones become 0.
    ranks = xp.argsort(xp.argsort(_uniform("sparse_", tensor, generator), axis=0), axis=0)
    values = std * _normal("sparse_", tensor, generator)
    zeroed = ranks < math.ceil(sparsity * rows)
    return _fill(tensor, xp.where(zeroed, xp.zeros_like(values), values))


def _fill(tensor: Any, values: Any) -> Any:
    """Write values into the tensor's memory without a trace in the graph."""
    if hasattr(values, "dtype") and values.dtype != tensor.array.dtype:
        values = tensor.xp.astype(values, tensor.array.dtype)
    settle(tensor)
    tensor.array[...] = values
    tensor._bump_version()
    return tensor


def _uniform(op: str, tensor: Any, generator: Generator | None) -> Any:
    check_floating(op, "tensor", tensor)
    return (generator or default_generator()).uniform(
        tensor.device.backend, tuple(tensor.array.shape), tensor.dtype.name, Stream.INIT
    )


def _normal(op: str, tensor: Any, generator: Generator | None) -> Any:
    check_floating(op, "tensor", tensor)
    return (generator or default_generator()).normal(
        tensor.device.backend, tuple(tensor.array.shape), tensor.dtype.name, Stream.INIT
    )


def _normal_of(tensor: Any, std: float, generator: Generator | None, truncated: bool) -> Any:
    """Fill with normal numbers, or with such as are cut off but have the same deviation."""
    if not truncated:
        return normal_(tensor, 0.0, std, generator)
    std /= TRUNCATED_STD
    return trunc_normal_(tensor, 0.0, std, -2 * std, 2 * std, generator)


def _xavier_std(tensor: Any, gain: float) -> float:
    return gain * math.sqrt(2 / max(1, sum(calculate_fan_in_and_fan_out(tensor))))


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan))  # fan 0: nothing to fill
