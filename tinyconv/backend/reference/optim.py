"""One step of each optimizer, in place, for all parameters of a group.

Every kernel takes lists of arrays, one entry a parameter: the parameters, their gradients, and what
the optimizer remembers of each. Parameters and what is remembered are written to, gradients are
only read. All arrays of one parameter have its shape and dtype. Where that is of half precision,
the step is computed in float32 and rounded once.

Three options work alike everywhere: ``maximize`` turns the gradient round, then ``weight_decay``
adds so many times the parameter to it; and a ``guard`` may leave the step out and counts the steps
on the device, instead of ``step``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..guard import Guard, guarded
from .half import updates_in_float32


@guarded
@updates_in_float32
def sgd(
    xp: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    velocities: Sequence[Any] | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Gradient descent; ``velocities`` is ``None`` without momentum.

    ``velocity = momentum * velocity + (1 - dampening) * grad``, ``param -= lr * velocity``, or in
    Nesterov's form ``param -= lr * (grad + momentum * velocity)``. Without ``dampening`` in the
    first step of a ``guard``.
    """
    share: Any = 1 - dampening
    if guard is not None:
        share = xp.where(guard.steps == 1, xp.ones((), dtype=xp.float64), share)
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        grad = _wanted(grad, param, weight_decay, maximize)
        if velocities is not None:
            velocity = velocities[i]
            velocity *= momentum
            velocity += _like(xp, share, grad) * grad
            grad = grad + momentum * velocity if nesterov else velocity
        param -= lr * grad


@guarded
@updates_in_float32
def adam(
    xp: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    means: Sequence[Any],
    squares: Sequence[Any],
    largest: Sequence[Any] | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Adam, step number ``step`` (from 1); ``largest`` is for AMSGrad, else ``None``.

    ``mean += (1 - beta1) * (grad - mean)``, ``square = beta2 * square + (1 - beta2) * grad**2``
    and, both divided by ``1 - beta**step``, ``param -= lr * mean / (sqrt(square) + eps)``.
    """
    number: Any = step if guard is None else xp.astype(guard.steps, xp.float64)
    rate, rest = lr / (1 - beta1**number), 1 - beta2**number
    root = math.sqrt(rest) if guard is None else xp.sqrt(rest)
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        if decoupled and weight_decay:
            param *= 1 - lr * weight_decay
        grad = _wanted(grad, param, 0 if decoupled else weight_decay, maximize)
        mean, square = means[i], squares[i]
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * (grad * grad)
        if largest is not None:
            largest[i][...] = xp.maximum(largest[i], square)
            square = largest[i]
        denominator = xp.sqrt(square) / _like(xp, root, square) + eps
        param -= _like(xp, rate, mean) * (mean / denominator)


@guarded
@updates_in_float32
def rmsprop(
    xp: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    squares: Sequence[Any],
    means: Sequence[Any] | None,
    velocities: Sequence[Any] | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """RMSprop; ``means`` is for the centred form, ``velocities`` for momentum, else ``None``.

    ``square = alpha * square + (1 - alpha) * grad**2``, ``step = grad / (sqrt(square) + eps)``;
    centred, ``mean += (1 - alpha) * (grad - mean)`` and ``mean**2`` is taken off ``square``.
    ``velocity = momentum * velocity + step``, ``param -= lr * velocity``.
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        grad = _wanted(grad, param, weight_decay, maximize)
        square = squares[i]
        square *= alpha
        square += (1 - alpha) * (grad * grad)
        variance = square
        if means is not None:
            mean = means[i]
            mean += (1 - alpha) * (grad - mean)
            variance = square - mean * mean
        step = grad / (xp.sqrt(variance) + eps)
        if velocities is not None:
            velocity = velocities[i]
            velocity *= momentum
            velocity += step
            step = velocity
        param -= lr * step


@guarded
@updates_in_float32
def adagrad(
    xp: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    totals: Sequence[Any],
    step: int,
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Adagrad: ``total += grad**2``, ``param -= lr * grad / (sqrt(total) + eps)``.

    ``lr`` is divided by ``1 + (step - 1) * lr_decay`` first.
    """
    number: Any = step if guard is None else xp.astype(guard.steps, xp.float64)
    rate = lr / (1 + (number - 1) * lr_decay)
    for param, grad, total in zip(params, grads, totals, strict=True):
        grad = _wanted(grad, param, weight_decay, maximize)
        total += grad * grad
        param -= _like(xp, rate, grad) * (grad / (xp.sqrt(total) + eps))


@guarded
@updates_in_float32
def adadelta(
    xp: Any,
    params: Sequence[Any],
    grads: Sequence[Any],
    squares: Sequence[Any],
    step_squares: Sequence[Any],
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Adadelta: ``step = sqrt(step_square + eps) / sqrt(square + eps) * grad``.

    ``square`` and ``step_square`` are running means of ``grad**2`` and ``step**2``, and
    ``param -= lr * step``.
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        grad = _wanted(grad, param, weight_decay, maximize)
        square, step_square = squares[i], step_squares[i]
        square *= rho
        square += (1 - rho) * (grad * grad)
        step = xp.sqrt(step_square + eps) / xp.sqrt(square + eps) * grad
        step_square *= rho
        step_square += (1 - rho) * (step * step)
        param -= lr * step


def _wanted(grad: Any, param: Any, weight_decay: float, maximize: bool) -> Any:
    """Return the gradient to go down, of the loss with its penalty."""
    if maximize:
        grad = -grad
    return grad + weight_decay * param if weight_decay else grad


def _like(xp: Any, number: Any, array: Any) -> Any:
    """Return a number that a guard has computed on the device in an array's dtype."""
    return xp.astype(number, array.dtype) if hasattr(number, "dtype") else number
