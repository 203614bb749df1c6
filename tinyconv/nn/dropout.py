"""Dropout and its kin: random changes in training, nothing in evaluation."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..ops.randomness.noise import check_std, check_stochastic_depth
from . import functional as F
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be from 0 to 1, got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Set each element to 0 with probability ``p`` in training, and scale the rest by 1/(1-p).

    So the expected value stays the same, and nothing is to be done in evaluation ("inverted
    dropout"). Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting" (2014).

    Parameters
    ----------
    p : float, default 0.5
        Probability of a zero, from 0 to 1.
    inplace : bool, default False
        Write into the input.
    """

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random zeros while training."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Set whole channels of (N, C, L) or (C, L) to 0; arguments as :class:`Dropout`."""

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels zero while training."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Set whole channels of (N, C, H, W) to 0; arguments as :class:`Dropout`.

    Neighbouring pixels are alike, so zeros here and there hide little. Tompson et al., "Efficient
    object localization using convolutional networks" (2015).
    """

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels zero while training."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Set whole channels of (N, C, D, H, W) to 0; arguments as :class:`Dropout`."""

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels zero while training."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for networks with :class:`SELU`; arguments as :class:`Dropout`.

    What is dropped becomes the lowest value of SELU, and all is scaled and shifted so that mean 0
    and variance 1 stay. Klambauer et al., "Self-normalizing neural networks" (2017).
    """

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random elements dropped while training."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """:class:`AlphaDropout` of whole channels of (N, C, ...)."""

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random channels dropped while training."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)


class StochasticDepth(Module):
    """Set whole samples to 0 with probability ``p`` in training, and scale the rest by 1/(1-p).

    At the end of a residual branch it skips the branch at random, so that training sees networks
    of many depths. Huang et al., "Deep networks with stochastic depth" (2016).

    Parameters
    ----------
    p : float
        Probability of a zero, from 0 to 1.
    mode : {"row", "batch"}
        Decide for each sample, or once for the batch.

    Raises
    ------
    ArgumentError
        If ``p`` is not a probability, or ``mode`` is unknown.
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        check_stochastic_depth("StochasticDepth", p, mode)
        self.p, self.mode = p, mode

    def forward(self, input: Any) -> Any:
        """Return ``input`` with random samples zero while training."""
        return F.stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        """Return the probability and the mode."""
        return f"p={self.p}, mode={self.mode}"


class GaussianNoise(Module):
    """Add normal noise of mean 0 in training; as the layer of Keras.

    Parameters
    ----------
    std : float
        Standard deviation of the noise, at least 0.

    Raises
    ------
    ArgumentError
        If ``std`` is negative or not finite.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        check_std("GaussianNoise", std)
        self.std = std

    def forward(self, input: Any) -> Any:
        """Return ``input`` with noise added while training."""
        return F.gaussian_noise(input, self.std, self.training)

    def extra_repr(self) -> str:
        """Return the standard deviation."""
        return f"std={self.std}"
