"""Activation functions that write into their input and return it: PyTorch's names with ``_``.

``relu_(x)`` is ``relu(x, inplace=True)``; a leaf that requires gradients raises ``GradientError``.
"""

from __future__ import annotations

from typing import Any

from ...backend.generator import Generator
from .piecewise import hardtanh, leaky_relu, relu, rrelu
from .piecewise import threshold as _threshold
from .smooth import celu, elu, selu


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """Do what :func:`celu` does in place, and return ``input``."""
    return celu(input, alpha, inplace=True)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """Do what :func:`elu` does in place, and return ``input``."""
    return elu(input, alpha, inplace=True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Do what :func:`hardtanh` does in place, and return ``input``."""
    return hardtanh(input, min_val, max_val, inplace=True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """Do what :func:`leaky_relu` does in place, and return ``input``."""
    return leaky_relu(input, negative_slope, inplace=True)


def relu_(input: Any) -> Any:
    """Do what :func:`relu` does in place, and return ``input``."""
    return relu(input, inplace=True)


def rrelu_(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Any:
    """Do what :func:`rrelu` does in place, and return ``input``."""
    return rrelu(input, lower, upper, training, inplace=True, generator=generator)


def selu_(input: Any) -> Any:
    """Do what :func:`selu` does in place, and return ``input``."""
    return selu(input, inplace=True)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """Do what :func:`threshold` does in place, and return ``input``."""
    return _threshold(input, threshold, value, inplace=True)
