"""Standardisation of images by fixed figures, as the first layer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ArgumentError, ShapeError
from ..ops import tensor as new_tensor
from .module import Module


class Normalize(Module):
    """Subtract a mean from every channel, and divide by a standard deviation.

    As the first layer it belongs to the model: whoever calls, saves or attacks the model works with
    pixels. The figures are buffers, so they travel with the weights.

    Parameters
    ----------
    mean, std : float or sequence of float
        One number, or one a channel; ``std`` is positive.
    device, dtype : optional
        Of the buffers.

    Notes
    -----
    Input and output ``(N, C, ...)``.

    Raises
    ------
    ArgumentError
        If the two differ in length, or a standard deviation is not positive.

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.nn.Normalize(mean=0.5, std=0.25)
    >>> layer(tc.tensor([[[[0.0, 1.0]]]]))
    tensor([[[[-2.,  2.]]]])
    """

    def __init__(
        self,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        means = [float(mean)] if isinstance(mean, int | float) else [float(m) for m in mean]
        stds = [float(std)] if isinstance(std, int | float) else [float(s) for s in std]
        if not means or len(means) != len(stds):
            raise ArgumentError(
                f"Normalize: mean and std need one number a channel each, got {len(means)} and "
                f"{len(stds)}"
            )
        if not all(0 < value < float("inf") for value in stds):
            raise ArgumentError(f"Normalize: std must be positive and finite, got {std!r}")
        self.register_buffer("mean", new_tensor(means, dtype=dtype, device=device))
        self.register_buffer("std", new_tensor(stds, dtype=dtype, device=device))

    def forward(self, input: Any) -> Any:
        """Return the standardised images."""
        channels = len(self.mean)
        if input.ndim < 2 or channels not in (1, input.shape[1]):
            raise ShapeError(
                f"Normalize: expected a batch of images (N, {channels}, ...), got shape "
                f"{tuple(input.shape)}"
            )
        shape = (-1, *[1] * (input.ndim - 2))
        return (input - self.mean.reshape(shape)) / self.std.reshape(shape)

    def extra_repr(self) -> str:
        """Return the arguments for the printed form."""
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"
