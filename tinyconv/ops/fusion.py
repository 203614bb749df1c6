"""Several ops in one pass over memory.

    y = F.relu(bn(x) + shortcut)

``bn(x)`` is *pending* (see ``autograd/pending.py``): it holds the promise of
:class:`Normalised`. The sum absorbs it into another promise, and ReLU, the end of the chain, has
all three computed at once; neither ``bn(x)`` nor the sum is ever written to memory. What happens on
the way back is in :mod:`.masks`.

In a chain of modules it is known beforehand what follows (see ``nn/chain.py``): ``bn`` is told to
clip its result itself, and there is one node for both.

If nothing was added, ReLU's result is pending still. A convolution of one tap reads what comes
*before* the normalisation then, and has it normalised and clipped on the way into a core's cache,
a block of pixels at a time; its weight gradient does so again. Whoever else reads the result of
ReLU has it computed once, for all.

Convolution is pending, too (:class:`Convolved`). A ReLU that follows clips the results before they
are written. At inference, batch normalisation is an affine map of each channel, and so goes into
the weights of the convolution, which may also add a residual. In training it wants mean and
variance of the results first, and a backend that says so (``Backend.measures``) finds them in the
convolution.

``config.fusion`` turns it off. An op joins in by overriding :meth:`Promise.plus` and
:meth:`Promise.clipped` in a promise of its own.
"""

from __future__ import annotations

from math import prod
from typing import Any

from .. import config
from ..autograd import TensorBase
from ..autograd.pending import (
    Promise,
    Snapshot,
    defer,
    held,
    is_private,
    may_wait,
    promise_of,
)
from ..backend.reference.activation import Limits
from ..backend.reference.norm import Norm, Prologue
from ._operands import raw
from .elementwise.arithmetic import Add, add

#: Elements from which on a pass saved is worth the care.
SMALLEST = 1 << 14


class Convolved(Promise):
    """A convolution, normalised by constants if there are any.

    Parameters
    ----------
    reads : tuple of array
        What is convolved, and with what; then what is added to it once normalised, if anything.
    bias : optional
        Added to each channel: what :func:`constant` returns.
    geometry : tuple
        Stride, padding, dilation and groups, as the kernel takes them.
    prologue : Prologue, optional
        What is done to the input before.
    shape : tuple of int
        Shape of the result.
    norm : tuple, optional
        By what the result is to be normalised: vectors and eps, those of :class:`Normalised`.
    """

    __slots__ = ("bias", "geometry", "norm", "prologue")

    def __init__(
        self, reads: tuple[Any, ...], device: Any, bias: Any, geometry: tuple[Any, ...],
        prologue: Prologue | None, shape: tuple[int, ...], norm: Norm | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reads[0], device, reads, shape)
        self.bias, self.geometry, self.prologue, self.norm = bias, geometry, prologue, norm

    def compute(self, *reads: Any) -> Any:
        return self._run(reads, None)

    def clipped(self, low: float, high: float) -> Any:
        reads = self.reads
        return self._run(reads, (low, high)) if reads else None

    def normalised(self, norm: Norm) -> Promise | None:
        """Return a promise of this normalised, or ``None`` if that saves nothing."""
        reads = self.reads
        return None if self.norm is not None or not reads else self._over(reads, norm)

    def statistics(self, averages: Any, momentum: float) -> tuple[Any, Any] | None:
        """Compute the array; return mean and variance of its channels, ``None`` if it was there.

        ``averages`` are moved as ``batch_statistics`` does.
        """
        reads = self.reads
        if self.norm is not None or not reads:
            return None
        last = self.prologue, averages, momentum
        y, mean, var = self.device.backend.conv_with_statistics(
            *reads, now(self.bias), *self.geometry, *last
        )
        self.keep_as(y)
        return mean, var

    def plus(self, other: Any) -> Promise | None:
        reads = self.reads
        if self.norm is None or len(reads) != 2:
            return None
        return self._over((*reads, other), self.norm)

    def _over(self, reads: tuple[Any, ...], norm: Norm) -> Convolved:
        return Convolved(
            reads, self.device, self.bias, self.geometry, self.prologue, self.shape, norm
        )

    def _run(self, reads: tuple[Any, ...], limits: Limits | None) -> Any:
        x, weight, *more = reads
        residual = more[0] if more else None
        norm = None if self.norm is None else tuple([now(vector) for vector in self.norm])
        last = limits, norm, residual, self.prologue
        return self.device.backend.conv(x, weight, now(self.bias), *self.geometry, *last)


class Normalised(Promise):
    """A batch normalised by given statistics, plus ``residual`` if there is one.

    Parameters
    ----------
    like : array
        What is normalised.
    norm : tuple
        Mean, variance, weight, bias and eps: arrays that nobody else writes to, or, of weight and
        bias, what :func:`constant` returns.
    residual : array, optional
        Added to the result.
    limits : tuple of float, optional
        To what it is clipped then.
    """

    __slots__ = ("limits", "norm")

    def __init__(
        self, like: Any, device: Any, norm: Norm, residual: Any = None, limits: Limits | None = None
    ) -> None:
        super().__init__(like, device, (like,) if residual is None else (like, residual))
        self.norm, self.limits = norm, limits

    def compute(self, x: Any, residual: Any = None) -> Any:
        return self._run(x, residual, self.limits)

    def clipped(self, low: float, high: float) -> Any:
        if self.limits is not None:
            return None
        match self.reads:
            case (x, residual):
                return self._run(x, residual, (low, high))
            case (x,):
                # A convolution may come next that clips what it reads. Half precision is rounded
                # in between, which it does not do.
                if self.device.backend.normalises and self.dtype.itemsize > 2:
                    return Normalised(x, self.device, self.norm, None, (low, high))
                return self._run(x, None, (low, high))
        return None

    def plus(self, other: Any) -> Promise | None:
        reads = self.reads
        if len(reads) != 1 or self.limits is not None:
            return None
        return Normalised(reads[0], self.device, self.norm, other)

    def _run(self, x: Any, residual: Any, limits: Limits | None) -> Any:
        norm = [now(vector) for vector in self.norm]
        return self.device.backend.batch_norm(x, *norm, residual, limits)


def convolved(
    input: Any,
    weight: Any,
    bias: Any,
    geometry: Any,
    shape: tuple[int, ...],
    one_tap: bool,
    limits: Limits | None = None,
    trained: bool = False,
    norm: Norm | None = None,
) -> Any:
    """Return the convolution of two tensors, plus a third or ``None``, pending if that may pay.

    ``one_tap``: each result reads one pixel, and has the input normalised while it reads it. With
    ``limits``, to which the result is clipped, there is nothing left to wait for. Nor is there, as
    a rule, where a convolution without a bias is ``trained``: what follows is batch normalisation,
    which wants its statistics first. ``norm``: by what the result is normalised, tensors of any
    floating dtype, and eps.
    """
    device = input.device
    before = before_prologue(input) if one_tap else None
    normalised_next = trained and bias is None and not device.backend.measures
    wait = False
    if limits is None and not normalised_next and prod(shape) >= SMALLEST:
        free = may_fuse(input, 0) if before is None else _is_on()
        wait = free and is_private(weight)
    x, prologue = before or (input.array, None)
    if norm is not None:
        norm = _constants(input, norm, wait)
    if wait:
        bias = constant(bias)
        return defer(Convolved((x, weight.array), device, bias, geometry, prologue, shape, norm))
    y = device.backend.conv(x, weight.array, raw(bias), *geometry, limits, norm, None, prologue)
    return weight.wrap(y)  # input.wrap would look at its array


def before_prologue(input: Any) -> tuple[Any, Prologue] | None:
    """Return the array that a tensor promises to be, normalised and clipped, and how; or ``None``.

    Whoever may write to that array calls :func:`settle` first.
    """
    promise = promise_of(input)
    if isinstance(promise, Normalised) and promise.limits is not None:
        reads = promise.reads
        if len(reads) == 1:
            return reads[0], Prologue(promise.norm, promise.limits)
    return None


def statistics(input: Any, averages: Any, momentum: float) -> tuple[Any, Any]:
    """Return mean and variance of each channel, in float64; move ``averages`` (arrays), if any.

    A convolution that is still to be computed may find them while it writes its result.
    """
    backend = input.device.backend
    if backend.measures:
        promise = promise_of(input)
        found = promise.statistics(averages, momentum) if isinstance(promise, Convolved) else None
        if found is not None:
            return found
    return backend.batch_statistics(input.array, averages, momentum)


def normalised(
    input: Any,
    vectors: tuple[Any, ...],
    eps: float,
    limits: Limits | None = None,
    frozen: bool = False,
) -> tuple[Any, Any]:
    """Return ``input`` normalised by mean, variance, weight and bias, pending if that may pay.

    Mean and variance are arrays that nobody else writes to; weight and bias are tensors. The second
    result is the bias, for :func:`now`: one that stays as it is, where it will be needed. The
    result is clipped to ``limits``, if there are any. ``frozen`` says that no gradient will be
    asked for, and that the vectors are no function of the input.
    """
    device, (mean, var, weight, bias) = input.device, vectors
    promise = promise_of(input) if frozen else None
    fuses = isinstance(promise, Convolved) or may_fuse(input)
    kept = constant(bias) if fuses or limits is not None else raw(bias)
    if not fuses:
        arguments = mean, var, raw(weight), now(kept), eps
        return input.wrap(device.backend.batch_norm(input.array, *arguments, None, limits)), kept
    norm = mean, var, constant(weight), kept, eps
    later = promise.normalised(norm) if isinstance(promise, Convolved) else None
    if later is None:
        later = Normalised(input.array, device, norm)
    result = later if limits is None else later.clipped(*limits)
    if isinstance(result, Promise):
        return defer(result), kept
    return input.public_class(result, device), kept  # input.wrap would look at its array


def constant(vector: Any) -> Any:
    """Return a vector of parameters as it is now, for :func:`now`; ``None`` stays ``None``.

    Where kernels normalise what they read, a gradient may need it long after: there it is copied.
    """
    if vector is None:
        return None
    if vector.device.backend.normalises:
        return _copy(vector, vector.array)
    return Snapshot(vector)


def now(vector: Any) -> Any:
    """Return the array that :func:`constant` was given, as it was then."""
    return vector.now() if isinstance(vector, Snapshot) else vector


def _constants(like: Any, norm: Norm, wait: bool) -> Norm:
    """Return arrays of the tensors by which a result is normalised, for :func:`now` if it waits.

    Where kernels normalise what they read, they take mean and variance in float64 alone.
    """
    *statistics, weight, bias, eps = norm
    keep = constant if wait else raw
    if like.device.backend.normalises:
        asarray, float64, copy = like.xp.asarray, like.xp.float64, True if wait else None
        mean, var = [asarray(v.array, dtype=float64, copy=copy) for v in statistics]
    else:
        mean, var = map(keep, statistics)
    return mean, var, keep(weight), keep(bias), eps


def _copy(like: Any, array: Any) -> Any:
    return like.xp.asarray(array, copy=True)


def may_fuse(tensor: Any, least: int | None = None) -> bool:
    """Return whether a result that is read off ``tensor`` may be put off, and is large enough."""
    return (
        prod(held(tensor).shape) >= (SMALLEST if least is None else least)
        and _is_on()
        and is_private(tensor)
    )


def _is_on() -> bool:
    return config.fusion.get() == "auto" and may_wait()


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
