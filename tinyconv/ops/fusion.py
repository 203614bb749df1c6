"""Normalisation, sum and ReLU or ReLU6 in one pass over memory; the graph shows three plain ops.

    y = F.relu(bn(x) + shortcut)

``bn(x)`` is *pending* (see ``autograd/pending.py``): it holds the promise of
:class:`Normalised`. The sum absorbs it into another promise, and ReLU, the end of the chain, has
all three computed at once; neither ``bn(x)`` nor the sum is ever written to memory. On the way back
ReLU answers with a pending gradient, :class:`MaskedGradient`, and batch normalisation applies the
mask in the passes that it makes anyway.

``config.fusion`` turns it off. An op joins in by overriding :meth:`Promise.plus` and
:meth:`Promise.clipped` in a promise of its own.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .. import config
from ..autograd import TensorBase
from ..autograd.pending import Promise, defer, held, is_private, may_wait, promise_of
from ..backend.reference.norm import RELU, Limits
from .arithmetic import Add, add

#: Elements from which on a pass saved is worth the care.
SMALLEST = 1 << 14


class Normalised(Promise):
    """A batch normalised by given statistics, plus ``residual`` if there is one.

    Parameters
    ----------
    input : Tensor
        What is normalised.
    vectors : tuple
        Mean, variance, weight, bias: arrays that nobody else writes to, the last two or ``None``.
    eps : float
        Added to the variance.
    residual : array, optional
        Added to the result.
    """

    __slots__ = ("eps", "vectors")

    def __init__(
        self, like: Any, device: Any, vectors: tuple[Any, ...], eps: float, residual: Any = None
    ) -> None:
        super().__init__(like, device, (like,) if residual is None else (like, residual))
        self.vectors, self.eps = vectors, eps

    def compute(self, x: Any, residual: Any = None) -> Any:
        return self._run(x, residual, None)

    def clipped(self, low: float, high: float) -> Any:
        match self.reads:
            case (x, residual):
                return self._run(x, residual, (low, high))
            case (x,):
                return self._run(x, None, (low, high))
        return None

    def plus(self, other: Any) -> Promise | None:
        reads = self.reads
        if len(reads) != 1:
            return None
        return Normalised(reads[0], self.device, self.vectors, self.eps, other)

    def _run(self, x: Any, residual: Any, limits: Limits | None) -> Any:
        return self.device.backend.batch_norm(x, *self.vectors, self.eps, residual, limits)


class MaskedGradient(Promise):
    """A gradient on its way back through ReLU or the like: 0 where the output ``y`` was clipped."""

    __slots__ = ("alone", "limits")

    def __init__(self, gradient: Any, y: Any, limits: Limits, alone: bool, device: Any) -> None:
        super().__init__(gradient, device, (gradient, y))
        self.limits = limits
        #: Whether ``y`` is the result of the op before, clipped, and nothing else was added.
        self.alone = alone

    def compute(self, gradient: Any, y: Any) -> Any:
        return _clipped_gradient(self.device.backend, gradient, y, self.limits)


def normalised(input: Any, vectors: tuple[Any, ...], eps: float) -> tuple[Any, Any]:
    """Return ``input`` normalised by mean, variance, weight and bias, pending if that may pay.

    The second result is the bias: one that stays as it is, where the first one is pending.
    """
    if may_fuse(input):
        xp = input.xp
        copies = tuple(None if v is None else xp.asarray(v, copy=True) for v in vectors)
        return defer(Normalised(input.array, input.device, copies, eps)), copies[-1]
    batch_norm = input.device.backend.batch_norm
    return input.wrap(batch_norm(input.array, *vectors, eps, None, None)), vectors[-1]


def masked_gradient(ctx: Any, grad: Any, y: Any, limits: Limits) -> Any:
    """Return the gradient of an op that has clipped to ``y``, pending if that may pay."""
    if (
        getattr(ctx.edges[0][0], "takes_mask", False)
        and may_fuse(grad)
        and grad.array.dtype == y.array.dtype
    ):
        alone = getattr(ctx, "alone", False)
        return defer(MaskedGradient(grad.array, y.array, limits, alone, grad.device))
    return grad.wrap(_clipped_gradient(grad.device.backend, grad.array, y.array, limits))


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


def may_fuse(tensor: Any) -> bool:
    """Return whether a result that is read off ``tensor`` may be put off, and is large enough."""
    return (
        prod(held(tensor).shape) >= SMALLEST
        and config.fusion.get() == "auto"
        and may_wait()
        and is_private(tensor)
    )


class AddLater(Add):
    """The sum of a pending tensor and another one, pending again."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        for one, other in ((a, b), (b, a)):
            promise = promise_of(one)
            later = None if promise is None else promise.plus(other.array)
            if later is not None:
                return defer(later)
        return Add.forward(ctx, a, b)


AddLater.__name__ = AddLater.__qualname__ = "Add"  # it is one, to whoever looks at the graph


def add_to_pending(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Do what :func:`add` does, for operands of which one may be pending."""
    if (
        alpha == 1
        and isinstance(input, TensorBase)
        and isinstance(other, TensorBase)
        and other.device is input.device
        and held(other).dtype == held(input).dtype
        and held(other).shape == held(input).shape
        and all(promise_of(t) is not None or is_private(t) for t in (input, other))
    ):
        return AddLater.apply(input, other)
    return add(input, other, alpha=alpha)
