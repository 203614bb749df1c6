"""What is random in training besides dropout: for SELU networks, for whole branches, and noise.

At inference they all return their input.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

from ...autograd import Function
from ...autograd import inplace as in_place
from ...backend.generator import Generator, default_generator
from ...backend.random import Stream
from ...errors import ArgumentError, ShapeError
from .._operands import check_floating
from ..activations.smooth import SELU_ALPHA, SELU_SCALE
from ..elementwise._formulas import binary
from .dropout import Kept, check_probability

#: What SELU tends to far to the left.
LOWEST = -SELU_ALPHA * SELU_SCALE


class AlphaDropout(Function):
    """x * scale + shift where kept, else a constant."""

    @staticmethod
    def forward(
        ctx: Any, input: Any, keep: Any, scale: float, shift: float, otherwise: float
    ) -> Any:
        ctx.save_for_backward(keep)
        ctx.scale, xp = scale, input.xp
        return binary(lambda a, k: xp.where(k, a * scale + shift, otherwise), input, keep)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (keep,) = ctx.saved_tensors
        return Kept.apply(grad, keep, ctx.scale), None, None, None, None


def alpha_dropout(
    input: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set elements to SELU's lowest value with probability ``p``; keep mean 0 and variance 1.

    An affine map of all elements, kept or not, makes up for what the new values do to mean and
    variance of an input that has 0 and 1, as it does between layers with :func:`selu`.

    Parameters
    ----------
    input : Tensor
        Any shape, floating point.
    p : float, default 0.5
        Probability of being dropped, from 0 to 1; 1 gives zeros.
    training : bool, default False
        ``False`` returns ``input`` itself.
    inplace : bool, default False
        Write the result into ``input``.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ArgumentError
        If ``p`` is not from 0 to 1.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", NeurIPS 2017,
    arXiv:1706.02515.
    """
    shape = tuple(check_floating("alpha_dropout", "input", input).array.shape)
    return _alpha_dropout("alpha_dropout", input, shape, p, training, inplace, generator)


def feature_alpha_dropout(
    input: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Do what :func:`alpha_dropout` does to whole channels of (N, C, ...).

    Raises
    ------
    ShapeError
        If ``input`` has less than 2 dimensions.
    """
    op = "feature_alpha_dropout"
    shape = tuple(check_floating(op, "input", input).array.shape)
    if len(shape) < 2:
        raise ShapeError(f"{op}: argument 'input' must have 2 dimensions or more, got {shape}")
    mask_shape = shape[:2] + (1,) * (len(shape) - 2)
    return _alpha_dropout(op, input, mask_shape, p, training, inplace, generator)


def _alpha_dropout(
    op: str,
    input: Any,
    mask_shape: tuple[int, ...],
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None,
) -> Any:
    check_probability(op, p)
    if not training or p == 0:
        return input
    keep = _mask(input, mask_shape, p, generator)
    # Mean and variance of what is LOWEST with probability p, and else has 0 and 1.
    mean, variance = p * LOWEST, (1 - p) * (1 + p * LOWEST**2)
    scale = 1 / sqrt(variance) if variance else 0.0
    constants = (scale, -mean * scale, (LOWEST - mean) * scale)
    if inplace:
        return in_place.write(op, input, lambda x: AlphaDropout.apply(x, keep, *constants))
    return AlphaDropout.apply(input, keep, *constants)


def _mask(input: Any, shape: tuple[int, ...], p: float, generator: Generator | None) -> Any:
    """Return a bool tensor that is false with probability ``p``."""
    source = default_generator() if generator is None else generator
    return input.wrap(source.bernoulli(input.device.backend, shape, 1 - p, Stream.DROPOUT))


def stochastic_depth(
    input: Any,
    p: float,
    mode: str,
    training: bool = True,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set whole samples, or all of them, to zero with probability ``p``; scale others up.

    Put at the end of the residual branch of a block, it skips the branch at random.

    Parameters
    ----------
    input : Tensor
        (N, ...), floating point.
    p : float
        Probability of zero, from 0 to 1; what is kept is divided by ``1 - p``.
    mode : {"row", "batch"}
        Decide for each sample, or once for the batch.
    training : bool, default True
        ``False`` returns ``input`` itself.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ArgumentError
        If ``p`` is not from 0 to 1, or ``mode`` is unknown.
    ShapeError
        If there is no dimension 0 to have rows along.

    References
    ----------
    Huang, Sun, Liu, Sedra and Weinberger, "Deep networks with stochastic depth", ECCV 2016,
    arXiv:1603.09382.
    """
    shape = tuple(check_floating("stochastic_depth", "input", input).array.shape)
    check_stochastic_depth("stochastic_depth", p, mode)
    if mode == "row" and not shape:
        raise ShapeError("stochastic_depth: a tensor of 0 dimensions has no rows; use mode='batch'")
    if not training or p == 0:
        return input
    rows = shape[:1] if mode == "row" else (1,) * min(len(shape), 1)
    keep = _mask(input, rows + (1,) * (len(shape) - 1), p, generator)
    return Kept.apply(input, keep, 1 / (1 - p) if p < 1 else 1.0)


def check_stochastic_depth(name: str, p: float, mode: str) -> None:
    """Raise ``ArgumentError`` if the arguments of stochastic depth make no sense."""
    check_probability(name, p)
    if mode not in ("row", "batch"):
        raise ArgumentError(f"{name}: mode {mode!r} is unknown; choose 'row' or 'batch'")


def gaussian_noise(
    input: Any, std: float, training: bool = True, *, generator: Generator | None = None
) -> Any:
    """Add normal noise of mean 0 and standard deviation ``std`` in training.

    Sietsma and Dow, "Creating artificial neural networks that generalize", Neural Networks 4
    (1991); the layer of Keras.

    Parameters
    ----------
    input : Tensor
        Any shape, floating point.
    std : float
        Standard deviation, at least 0.
    training : bool, default True
        ``False`` returns ``input`` itself.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor
        Shape of ``input``; its gradient is that of the result.

    Raises
    ------
    ArgumentError
        If ``std`` is negative or not finite.
    """
    check_floating("gaussian_noise", "input", input)
    check_std("gaussian_noise", std)
    if not training or std == 0:
        return input
    source, shape = default_generator() if generator is None else generator, input.array.shape
    normal = source.normal(input.device.backend, tuple(shape), input.dtype.name, Stream.DROPOUT)
    return input + input.wrap(normal * std)


def check_std(name: str, std: float) -> None:
    """Raise ``ArgumentError`` if ``std`` is no standard deviation."""
    if not 0 <= std < inf:
        raise ArgumentError(f"{name}: std must be at least 0 and finite, got {std}")
