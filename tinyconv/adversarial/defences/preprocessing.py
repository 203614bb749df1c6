"""Transforms of the input as defences, and gradients that see through them.

A defence that rounds, sorts or draws random numbers in front of a model hides the gradient more
than it helps (Athalye, Carlini and Wagner, 2018, "Obfuscated gradients give a false sense of
security", arXiv 1802.00420). Each transform here is a layer that is also there in evaluation, and
each can be given a stand-in for its backward pass, so that an attack can be honest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...autograd import Function, no_grad
from ...errors import ArgumentError, ShapeError
from ...nn import Module
from ...nn import functional as F
from ...nn._arguments import positive
from ...ops import arange, outer, randint, randn_like, sort

#: How the gradient passes: ``None`` (the true one), ``"identity"``, or a function in place of the
#: transform.
Backward = str | Callable[[Any], Any] | None


class _Replaced(Function):
    """The value of one tensor with the gradient of another."""

    @staticmethod
    def forward(ctx: Any, smooth: Any, value: Any) -> Any:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None


class BPDA(Module):
    """One function forward, and the gradient of another backward.

    Backward pass differentiable approximation: Athalye, Carlini and Wagner (2018), arXiv
    1802.00420, section 4.1. The backward function is evaluated at the same input, and the gradient
    goes through it as if its output had been used.

    Parameters
    ----------
    forward : callable
        Gives the output; it needs no gradient.
    backward : callable or "identity", default "identity"
        Differentiable, with outputs of the same shape.

    Raises
    ------
    ArgumentError
        If one of them is not callable.

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.adversarial.BPDA(lambda x: x.round())
    >>> x = tc.tensor([0.2, 0.7], requires_grad=True)
    >>> y = layer(x)
    >>> (y * y).sum().backward()
    >>> y.tolist(), x.grad.tolist()
    ([0.0, 1.0], [0.0, 2.0])
    """

    def __init__(
        self, forward: Callable[[Any], Any], backward: Callable[[Any], Any] | str = "identity"
    ) -> None:
        super().__init__()
        if not callable(forward):
            raise ArgumentError(f"BPDA: argument 'forward' must be callable, got {forward!r}")
        self.function, self.backward = forward, _backward("BPDA", backward)

    def forward(self, input: Any) -> Any:
        """Return the forward function of ``input``."""
        return _through("BPDA", input, self.function, self.backward)

    def extra_repr(self) -> str:
        """Return what stands in, where it is no module."""
        return "" if isinstance(self.backward, Module) else f"backward={self.backward!r}"


class Transform(Module):
    """What the transforms have in common: a subclass defines ``transform``.

    Parameters
    ----------
    bpda : None, "identity" or callable
        How the gradient passes: ``None`` takes the true one, ``"identity"`` lets it through as it
        is, a function stands in for the transform, as in :class:`BPDA`.
    """

    def __init__(self, bpda: Backward) -> None:
        super().__init__()
        self.bpda = None if bpda is None else _backward(type(self).__name__, bpda)

    def transform(self, input: Any) -> Any:
        """Return the transformed images; every subclass defines it."""
        raise AttributeError(f"{type(self).__name__} defines no transform()")

    def forward(self, input: Any) -> Any:
        """Return the transformed images."""
        if self.bpda is None:
            return self.transform(input)
        return _through(type(self).__name__, input, self.transform, self.bpda)

    def extra_repr(self) -> str:
        """Return the stand-in, where there is one and it is no module."""
        return "" if isinstance(self.bpda, Module | None) else f"bpda={self.bpda!r}"


class BitDepthReduction(Transform):
    """Round every value to one of ``2 ** bits`` levels.

    Xu, Evans and Qi (2018), "Feature squeezing: detecting adversarial examples in deep neural
    networks", arXiv 1704.01155. The true gradient is zero everywhere, so the identity stands in
    for it unless told otherwise.

    Parameters
    ----------
    bits : int
        From 1 (black and white) up.
    bounds : (float, float), default (0, 1)
        The lowest and the highest level.
    bpda : None, "identity" or callable, default "identity"
        As for :class:`Transform`.

    Raises
    ------
    ArgumentError
        If an argument is not as above.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.adversarial.BitDepthReduction(1)(tc.tensor([0.2, 0.4, 0.6])).tolist()
    [0.0, 0.0, 1.0]
    """

    def __init__(
        self, bits: int, bounds: tuple[float, float] = (0, 1), bpda: Backward = "identity"
    ) -> None:
        super().__init__(bpda)
        self.bits = positive("BitDepthReduction", "bits", bits)
        low, high = (float(value) for value in bounds)
        if not -math.inf < low < high < math.inf:
            raise ArgumentError(
                f"BitDepthReduction: argument 'bounds' must be two finite numbers, the smaller "
                f"first, got {bounds!r}"
            )
        self.bounds = (low, high)

    def transform(self, input: Any) -> Any:
        """Return the nearest levels."""
        low, high = self.bounds
        steps = 2**self.bits - 1
        return ((input - low) * (steps / (high - low))).round() * ((high - low) / steps) + low

    def extra_repr(self) -> str:
        """Return the arguments."""
        return _joined(f"bits={self.bits}, bounds={self.bounds}", super().extra_repr())


class MedianFilter(Transform):
    """Replace every pixel by the median of the square round it, channel by channel.

    Xu, Evans and Qi (2018), arXiv 1704.01155. The image is mirrored at its edges. The gradient goes
    to the pixel that is the median.

    Parameters
    ----------
    kernel_size : int
        Side of the square. An even one reaches one pixel further up and left, and takes the upper
        of the two middle values, as SciPy's ``median_filter`` does.
    bpda : None, "identity" or callable, optional
        As for :class:`Transform`.

    Notes
    -----
    Input and output ``(N, C, H, W)``; H and W are greater than half of the kernel.
    """

    def __init__(self, kernel_size: int, bpda: Backward = None) -> None:
        super().__init__(bpda)
        self.kernel_size = positive("MedianFilter", "kernel_size", kernel_size)

    def transform(self, input: Any) -> Any:
        """Return the medians."""
        shape, k = _image_shape(self, input), self.kernel_size
        before, after = k // 2, (k - 1) // 2
        padded = F.pad(input, (before, after, before, after), mode="reflect")
        windows = F.unfold(padded, k).reshape(shape[0], shape[1], k * k, -1)
        return sort(windows, 2)[0][:, :, k * k // 2].reshape(shape)

    def extra_repr(self) -> str:
        """Return the size."""
        return _joined(f"kernel_size={self.kernel_size}", super().extra_repr())


class GaussianBlur(Transform):
    """Average every pixel with its neighbours, weighted by a normal density; a convolution.

    Parameters
    ----------
    kernel_size : int
        Side of the window; odd.
    sigma : float
        Standard deviation of the density in pixels; positive.
    bpda : None, "identity" or callable, optional
        As for :class:`Transform`.

    Raises
    ------
    ArgumentError
        If the size is even, or ``sigma`` is not positive.

    Notes
    -----
    Input and output ``(N, C, H, W)``, mirrored at the edges.
    """

    def __init__(self, kernel_size: int, sigma: float, bpda: Backward = None) -> None:
        super().__init__(bpda)
        self.kernel_size = positive("GaussianBlur", "kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ArgumentError(f"GaussianBlur: kernel_size must be odd, got {kernel_size}")
        if not 0 < sigma < math.inf:
            raise ArgumentError(f"GaussianBlur: sigma must be positive and finite, got {sigma!r}")
        self.sigma = sigma

    def transform(self, input: Any) -> Any:
        """Return the weighted means."""
        _, channels, *_ = _image_shape(self, input)
        half = self.kernel_size // 2
        place = arange(-half, half + 1, dtype=input.dtype, device=input.device)
        weights = (place * place * (-0.5 / self.sigma**2)).softmax(0)
        kernel = outer(weights, weights).expand(channels, 1, -1, -1)
        padded = F.pad(input, (half, half, half, half), mode="reflect")
        return F.conv2d(padded, kernel, groups=channels)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return _joined(f"kernel_size={self.kernel_size}, sigma={self.sigma}", super().extra_repr())


class RandomResizePad(Transform):
    """Shrink the images to a random size, and pad them with zeros at a random place.

    Xie et al. (2018), "Mitigating adversarial effects through randomization", arXiv 1711.01991. One
    size and place a call, from the global random numbers (an attack gives the model a seed of its
    own). Attack it with ``eot`` above 1.

    Parameters
    ----------
    size : int
        Side of the (square) output.
    smallest : int
        Side of the smallest image within it, from 1 to ``size``.
    mode : str, default "nearest"
        How to resize, as in ``F.interpolate``.
    bpda : None, "identity" or callable, optional
        As for :class:`Transform`; ``"identity"`` where ``size`` is that of the input.

    Raises
    ------
    ArgumentError
        If the sizes are not in order.
    """

    def __init__(
        self, size: int, smallest: int, mode: str = "nearest", bpda: Backward = None
    ) -> None:
        super().__init__(bpda)
        self.size = positive("RandomResizePad", "size", size)
        self.smallest = positive("RandomResizePad", "smallest", smallest)
        if smallest > size:
            raise ArgumentError(f"RandomResizePad: smallest={smallest} must be at most size={size}")
        self.mode = mode

    def transform(self, input: Any) -> Any:
        """Return images of ``size`` x ``size`` pixels."""
        _image_shape(self, input)
        side = int(randint(self.smallest, self.size + 1, ()).item())
        room = self.size - side
        top, left = randint(0, room + 1, (2,)).tolist()
        small = F.interpolate(input, (side, side), mode=self.mode)
        return F.pad(small, (left, room - left, top, room - top))

    def extra_repr(self) -> str:
        """Return the sizes."""
        return _joined(
            f"size={self.size}, smallest={self.smallest}, mode={self.mode!r}", super().extra_repr()
        )


class AdditiveNoise(Transform):
    """Add normal noise, in evaluation too; :class:`tinyconv.nn.GaussianNoise` does so in training.

    The base of randomized smoothing (:class:`SmoothedClassifier` adds noise of its own). Attack it
    with ``eot`` above 1.

    Parameters
    ----------
    std : float
        Standard deviation; at least 0.
    bpda : None, "identity" or callable, optional
        As for :class:`Transform`.

    Raises
    ------
    ArgumentError
        If ``std`` is negative or not finite.
    """

    def __init__(self, std: float, bpda: Backward = None) -> None:
        super().__init__(bpda)
        if not 0 <= std < math.inf:
            raise ArgumentError(f"AdditiveNoise: std must be finite and at least 0, got {std!r}")
        self.std = std

    def transform(self, input: Any) -> Any:
        """Return the noisy images."""
        return input + randn_like(input) * self.std

    def extra_repr(self) -> str:
        """Return the standard deviation."""
        return _joined(f"std={self.std}", super().extra_repr())


def _backward(name: str, backward: Any) -> Any:
    if backward != "identity" and not callable(backward):
        raise ArgumentError(
            f"{name}: the backward pass must be 'identity' or a function, got {backward!r}"
        )
    return backward


def _through(name: str, input: Any, forward: Callable[[Any], Any], backward: Any) -> Any:
    """Return ``forward(input)`` with the gradient of ``backward``."""
    with no_grad():
        value = forward(input.detach())
    smooth = input if backward == "identity" else backward(input)
    if smooth.shape != value.shape:
        raise ShapeError(
            f"{name}: the stand-in for the backward pass gives shape {tuple(smooth.shape)}, the "
            f"forward pass {tuple(value.shape)}"
        )
    return _Replaced.apply(smooth, value)


def _image_shape(layer: Module, input: Any) -> Any:
    if input.ndim != 4:
        raise ShapeError(
            f"{type(layer).__name__}: expected images (N, C, H, W), got shape {tuple(input.shape)}"
        )
    return input.shape


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
