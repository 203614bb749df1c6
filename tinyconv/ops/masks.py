"""Gradients on their way back through a ReLU or the like: the mask, and who applies it.

ReLU lets a gradient pass where its result was not clipped. That takes a pass over memory, unless
another op does it in one of its own: batch normalisation, if that came before (the gradient is
pending then, a :class:`MaskedGradient`), or max pooling, if that came after (:class:`Unpooled`),
before it spreads the gradient over a larger map.
"""

from __future__ import annotations

import operator
from typing import Any

from ..autograd import is_grad_enabled
from ..autograd.pending import Promise, defer, held, promise_of
from ..backend.quiet import quiet
from ..backend.reference.activation import RELU, Limits
from .elementwise.selection import masked
from .fusion import may_fuse


class MaskedGradient(Promise):
    """A gradient on its way back through ReLU or the like: 0 where the output ``y`` was clipped.

    ``y`` is an array, or the promise of one.
    """

    __slots__ = ("alone", "limits", "promised")

    def __init__(self, gradient: Any, y: Any, limits: Limits, alone: bool, device: Any) -> None:
        self.promised = y if isinstance(y, Promise) else None
        super().__init__(gradient, device, (gradient, y) if self.promised is None else (gradient,))
        self.limits = limits
        #: Whether ``y`` is the result of the op before, clipped, and nothing else was added.
        self.alone = alone

    def compute(self, gradient: Any, y: Any = None) -> Any:
        y = y if self.promised is None else self.promised.keep()
        return _clipped_gradient(self.device.backend, gradient, y, self.limits)


class Unpooled(Promise):
    """A gradient on its way back through max pooling: that of each output, at its winner."""

    __slots__ = ("settings",)

    def __init__(self, gradient: Any, winner: Any, y: Any, settings: Any, device: Any) -> None:
        spatial = settings[0]
        super().__init__(gradient, device, (gradient, winner, y), (*gradient.shape[:2], *spatial))
        self.settings = settings

    def compute(self, gradient: Any, winner: Any, y: Any) -> Any:
        return self.device.backend.max_pool_grad(gradient, winner, *self.settings)

    def masked(self, limits: Limits) -> Unpooled | None:
        """Return a promise of the gradient before a ReLU or the like that made what was pooled.

        An element that wins has the value of the output, so the mask can be applied there. What
        was pooled is freed before the promise is kept.
        """
        match self.reads:
            case (gradient, winner, y):
                gradient = _clipped_gradient(self.device.backend, gradient, y, limits)
                return Unpooled(gradient, winner, y, self.settings, self.device)
        return None


def unpooled(grad: Any, winner: Any, y: Any, spatial: Any, window: tuple[Any, ...]) -> Any:
    """Return the gradient of the input of max pooling with output ``y``, pending if it may pay."""
    settings = (spatial, *window)
    if may_fuse(grad):
        return defer(Unpooled(grad.array, winner, y, settings, grad.device))
    return grad.wrap(grad.device.backend.max_pool_grad(grad.array, winner, *settings))


def masked_gradient(grad: Any, y: Any, limits: Limits, ctx: Any = None) -> Any:
    """Return the gradient before an op has clipped to ``y``, pending if that may pay.

    ``ctx`` is that of the op, if clipping is all it does: the node before may apply the mask then.
    """
    if is_grad_enabled():
        return masked(grad, _passes(y.array, limits))
    promise = promise_of(grad)
    if isinstance(promise, Unpooled):
        later = promise.masked(limits)
        if later is not None:
            return defer(later)
    if (
        ctx is not None
        and getattr(ctx.edges[0][0], "takes_mask", False)
        and may_fuse(grad)
        and grad.array.dtype == held(y).dtype
    ):
        y = y.array if promise_of(y) is None else held(y)
        return defer(MaskedGradient(grad.array, y, limits, ctx.alone, grad.device))
    return grad.wrap(_clipped_gradient(grad.device.backend, grad.array, y.array, limits))


def _passes(y: Any, limits: Limits) -> Any:
    """Return where the gradient of clipping passes, given the clipped array or that before."""
    if limits == RELU:
        return ~quiet(operator.le, y, 0)
    low, high = limits
    return ~quiet(lambda: (y <= low) | (y >= high))


def _clipped_gradient(backend: Any, gradient: Any, y: Any, limits: Limits) -> Any:
    if limits == RELU:
        return backend.relu_grad(gradient, y)
    return backend.hardtanh_grad(gradient, y, *limits)


def split_mask(grad: Any) -> tuple[Any, Any, Limits | None]:
    """Return a gradient before its mask, the clipped output that tells the mask, and its limits.

    Limits are ``None`` where the gradient is one like any other; the output is, where it is known
    to be that of the op before.
    """
    promise = promise_of(grad)
    if isinstance(promise, MaskedGradient):
        reads = promise.reads
        if reads:
            return reads[0], None if promise.alone else reads[1], promise.limits
    return grad.array, None, None
