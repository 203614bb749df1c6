"""Normalisation within one sample: over its last dimensions, or over groups of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError
from ..ops import ones, zeros
from . import functional as F
from . import init
from ._arguments import positive
from .module import Module
from .parameter import Parameter


class LayerNorm(Module):
    """Normalise over the last dimensions, then scale and shift every element.

    Ba et al., "Layer normalization" (2016).

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last dimensions of the input.
    eps : float, default 1e-5
        Added to the (biased) variance before the root is taken.
    elementwise_affine : bool, default True
        Whether there is a ``weight`` of ``normalized_shape``, at first 1.
    bias : bool, default True
        Whether there is a ``bias`` too, at first 0.
    device, dtype : optional
        Of the parameters.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        new = {"device": device, "dtype": dtype}
        shape = self.normalized_shape
        self.register_parameter(
            "weight", Parameter(ones(shape, **new)) if elementwise_affine else None
        )
        self.register_parameter(
            "bias", Parameter(zeros(shape, **new)) if elementwise_affine and bias else None
        )

    def reset_parameters(self) -> None:
        """Set the scale to 1 and the shift to 0."""
        _reset(self)

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divide by the root of the mean square over the last dimensions, then scale every element.

    Zhang and Sennrich, "Root mean square layer normalization" (2019).

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the last dimensions of the input.
    eps : float, optional
        Added to the mean square; default the precision of the input's dtype.
    elementwise_affine : bool, default True
        Whether there is a ``weight`` of ``normalized_shape``, at first 1.
    device, dtype : optional
        Of the parameter.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = ones(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)

    def reset_parameters(self) -> None:
        """Set the scale to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Normalise over groups of channels and all positions, then scale and shift every channel.

    Wu and He, "Group normalization" (2018).

    Parameters
    ----------
    num_groups : int
        Number of groups; divides ``num_channels``.
    num_channels : int
        Channels C of the input (N, C, *).
    eps : float, default 1e-5
        Added to the (biased) variance before the root is taken.
    affine : bool, default True
        Whether there are a ``weight`` (C,), at first 1, and a ``bias`` (C,), at first 0.
    device, dtype : optional
        Of the parameters.
    bias : bool, default True
        Whether ``affine`` includes the shift.

    Raises
    ------
    ArgumentError
        If the groups do not divide the channels.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = positive("GroupNorm", "num_groups", num_groups)
        self.num_channels = positive("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: num_channels={num_channels} must be divisible by "
                f"num_groups={num_groups}"
            )
        self.eps, self.affine = eps, affine
        new = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_channels, **new)) if affine else None)
        self.register_parameter(
            "bias", Parameter(zeros(num_channels, **new)) if affine and bias else None
        )

    def reset_parameters(self) -> None:
        """Set the scale to 1 and the shift to 0."""
        _reset(self)

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Divide each element by a power of the squares around it in neighbouring channels.

    ``x / (k + alpha / size * sum(x**2)) ** beta``. Krizhevsky et al., "ImageNet classification
    with deep convolutional neural networks" (2012), section 3.3.

    Parameters
    ----------
    size : int
        Channels that are summed over.
    alpha, beta, k : float, default 1e-4, 0.75 and 1.0
        The constants of the formula.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = positive("LocalResponseNorm", "size", size)
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, input: Any) -> Any:
        """Normalise (N, C, *)."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Return the constants."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _reset(module: Any) -> None:
    if module.weight is not None:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)
