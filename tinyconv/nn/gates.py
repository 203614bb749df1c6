"""Activation layers that multiply by a gate, a number from 0 to 1."""

from __future__ import annotations

from typing import Any

from ..ops import full
from . import functional as F
from .module import Module
from .parameter import Parameter


class Hardsigmoid(Module):
    """``min(max(x + 3, 0), 6) / 6``, a sigmoid of three straight pieces.

    Parameters
    ----------
    inplace : bool, default False
        Write into the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(Module):
    """``x * hardsigmoid(x)`` (Howard et al., "Searching for MobileNetV3", 2019).

    Parameters
    ----------
    inplace : bool, default False
        Write into the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.hardswish(input, self.inplace)


class Swish(Module):
    """``x * sigmoid(beta * x)``; with ``beta`` fixed at 1 it is :class:`SiLU`.

    Ramachandran et al., "Searching for activation functions" (2017), arXiv:1710.05941.

    Parameters
    ----------
    beta : float, default 1.0
        How steep the gate is, or is at first.
    learnable : bool, default True
        Whether ``beta`` is a parameter, of 0 dimensions, rather than a constant.
    device, dtype : optional
        Of the parameter.

    Examples
    --------
    >>> import tinyconv as tc
    >>> [p.item() for p in tc.nn.Swish(1.5).parameters()]
    [1.5]
    """

    beta: Any

    def __init__(
        self, beta: float = 1.0, learnable: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.learnable = learnable
        value = float(beta)
        self.beta = Parameter(full((), value, device=device, dtype=dtype)) if learnable else value

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.swish(input, self.beta)

    def extra_repr(self) -> str:
        """Return beta."""
        return f"beta={float(self.beta):g}, learnable={self.learnable}"


class GLU(Module):
    """The first half of ``x`` times the sigmoid of the second (Dauphin et al., 2017).

    Parameters
    ----------
    dim : int, default -1
        Dimension to halve; its size is even.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """Return the dimension."""
        return f"dim={self.dim}"
