"""Dropout: set random elements, or whole channels, to zero while training.

What is kept is scaled up by ``1 / (1 - p)``, so that nothing changes on average and nothing needs
to be done at inference. Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a
simple way to prevent neural networks from overfitting", JMLR 15 (2014).
"""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...autograd import inplace as in_place
from ...backend.generator import Generator, default_generator
from ...backend.random import Stream, key_and_counter
from ...errors import ArgumentError, ShapeError
from .._operands import check_floating


class Dropout(Function):
    """y = x * scale where a mask that is drawn here keeps it, else 0."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, input: Any, p: float, generator: Generator) -> Any:
        draw = key_and_counter(*_draw(generator))
        keep = 1 - p
        ctx.scale = 1 / keep if keep else 1.0  # with p = 1, nothing is left to scale
        kernel = input.device.backend.dropout
        y, mask = kernel(input.array, round(keep * 2**32), ctx.scale, *draw)
        ctx.save_for_backward(input.wrap(mask))
        return input.wrap(y)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (keep,) = ctx.saved_tensors
        return Kept.apply(grad, keep, ctx.scale), None, None


class Kept(Function):
    """y = x * scale where kept, else 0; linear in x, so its gradient is the same function."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, input: Any, keep: Any, scale: float) -> Any:
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return input.wrap(input.device.backend.kept(input.array, keep.array, scale))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (keep,) = ctx.saved_tensors
        return Kept.apply(grad, keep, ctx.scale), None, None


def _draw(generator: Generator) -> tuple[int, int, int]:
    seed, draw = generator.next_draw()
    return seed, Stream.DROPOUT, draw


def dropout(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set each element to zero with probability ``p``, and scale the others by ``1 / (1 - p)``.

    Parameters
    ----------
    input : Tensor
        Any shape, floating point.
    p : float, default 0.5
        Probability of zero, from 0 to 1.
    training : bool, default True
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

    Examples
    --------
    >>> import tinyconv as tc
    >>> sorted(set(tc.nn.functional.dropout(tc.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    """
    shape = check_floating("dropout", "input", input).array.shape
    return _dropout("dropout", input, shape, p, training, inplace, generator)


def dropout1d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set whole channels of (N, C, L) or (C, L) to zero; as :func:`dropout2d`."""
    return _channels("dropout1d", (2, 3), 1, input, p, training, inplace, generator)


def dropout2d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set whole channels to zero with probability ``p``, and scale the others by ``1 / (1 - p)``.

    Neighbouring pixels are so alike that dropping single ones hides little; dropping the whole
    feature map does.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or, as in PyTorch, (N, C, L); floating point.
    p, training, inplace, generator
        As in :func:`dropout`.

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    ArgumentError
        If ``p`` is not from 0 to 1.
    ShapeError
        If the input has another number of dimensions.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient object localization using
    convolutional networks", CVPR 2015, arXiv:1411.4280.
    """
    return _channels("dropout2d", (3, 4), 2, input, p, training, inplace, generator)


def dropout3d(
    input: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to zero; as :func:`dropout2d`."""
    return _channels("dropout3d", (4, 5), 3, input, p, training, inplace, generator)


def _channels(
    op: str,
    ndims: tuple[int, int],
    dims: int,
    input: Any,
    p: float,
    training: bool,
    inplace: bool,
    generator: Generator | None,
) -> Any:
    """Drop whole channels: one random decision for each, the same at all its positions."""
    shape = tuple(check_floating(op, "input", input).array.shape)
    if len(shape) not in ndims:
        raise ShapeError(f"{op}: argument 'input' must have {ndims[1]} dimensions, got {shape}")
    leading = 1 if len(shape) == dims + 1 and dims != 2 else 2
    mask_shape = shape[:leading] + (1,) * (len(shape) - leading)
    return _dropout(op, input, mask_shape, p, training, inplace, generator)


def _dropout(
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
    generator = default_generator() if generator is None else generator
    if mask_shape == input.array.shape:
        if inplace:
            return in_place.write(op, input, lambda x: Dropout.apply(x, p, generator))
        return Dropout.apply(input, p, generator)
    backend = input.device.backend
    keep = input.wrap(generator.bernoulli(backend, mask_shape, 1 - p, Stream.DROPOUT))
    scale = 1 / (1 - p) if p < 1 else 1.0
    if inplace:
        return in_place.write(op, input, lambda x: Kept.apply(x, keep, scale))
    return Kept.apply(input, keep, scale)


def check_probability(op: str, p: float) -> None:
    """Raise ``ArgumentError`` if ``p`` is not from 0 to 1."""
    if not 0 <= p <= 1:
        raise ArgumentError(f"{op}: p is a probability and must be from 0 to 1, got {p}")
