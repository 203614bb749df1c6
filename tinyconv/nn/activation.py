"""Activation layers: one function of every element."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..ops import full
from ..ops.activations.piecewise import check_slopes
from . import functional as F
from .module import Module
from .parameter import Parameter


class _InPlace(Module):
    """An activation whose only argument is whether it may write into its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Return ``inplace=True`` if so."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """``max(x, 0)``, the rectified linear unit (Nair and Hinton, 2010).

    Parameters
    ----------
    inplace : bool, default False
        Write into the input, which saves memory.
    """

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.relu(input, self.inplace)


class ReLU6(_InPlace):
    """``min(max(x, 0), 6)``; keeps low precision numbers in range (Krizhevsky, 2010)."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.relu6(input, self.inplace)


class SELU(_InPlace):
    """``scale * ELU(x)`` with constants that drive mean and variance to 0 and 1.

    Klambauer et al., "Self-normalizing neural networks" (2017).
    """

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.selu(input, self.inplace)


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also called swish (Ramachandran et al., 2017)."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """``x * tanh(log(1 + exp(x)))`` (Misra, 2019)."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.mish(input, self.inplace)


class LeakyReLU(Module):
    """``x`` where positive, else ``negative_slope * x`` (Maas et al., 2013).

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope on the left.
    inplace : bool, default False
        Write into the input.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with a learnt weight (He et al., 2015).

    Parameters
    ----------
    num_parameters : int, default 1
        One weight for all, or one a channel (dimension 1 of the input).
    init : float, default 0.25
        The weights' first value.
    device, dtype : optional
        Of the weights.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        weight = full((num_parameters,), float(init), device=device, dtype=dtype)
        self.weight = Parameter(weight)

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Return the number of weights."""
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """``x`` where positive, else ``alpha * (exp(x) - 1)`` (Clevert et al., 2016).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit on the left.
    inplace : bool, default False
        Write into the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """Return alpha."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class CELU(Module):
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)`` (Barron, 2017).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit on the left; not 0.
    inplace : bool, default False
        Write into the input.

    Raises
    ------
    ArgumentError
        If ``alpha`` is 0.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if alpha == 0:
            raise ArgumentError("CELU: alpha divides the input and must not be 0")
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """Return alpha."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class RReLU(Module):
    """``x`` where positive, else ``x`` times a random slope, in evaluation their mean.

    Xu et al., "Empirical evaluation of rectified activations in convolutional network" (2015).

    Parameters
    ----------
    lower, upper : float, default 1/8 and 1/3
        Bounds of the slopes, of which each element gets its own.
    inplace : bool, default False
        Write into the input.

    Raises
    ------
    ArgumentError
        If the bounds are not finite and in order.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        check_slopes("RReLU", lower, upper)
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Return the bounds."""
        bounds = f"lower={self.lower}, upper={self.upper}"
        return bounds + (", inplace=True" if self.inplace else "")


class GELU(Module):
    """``x`` times the share of a normal distribution below ``x`` (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Exact, or by a formula with the hyperbolic tangent.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """Return the way it is computed."""
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.sigmoid(input)


class LogSigmoid(Module):
    """``log(1 / (1 + exp(-x)))``, without overflow."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.logsigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.tanh(input)


class Softsign(Module):
    """``x / (1 + |x|)``."""

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.softsign(input)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, a smooth ReLU.

    Parameters
    ----------
    beta : float, default 1.0
        Steepness.
    threshold : float, default 20.0
        Where ``beta * x`` is larger, the result is ``x``.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Return the constants."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardtanh(Module):
    """``x`` clipped to [min_val, max_val].

    Parameters
    ----------
    min_val, max_val : float, default -1.0 and 1.0
        The limits.
    inplace : bool, default False
        Write into the input.

    Raises
    ------
    ArgumentError
        If ``min_val`` is not below ``max_val``.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ArgumentError(f"Hardtanh: min_val={min_val} must be less than max_val={max_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """Return the limits."""
        limits = f"min_val={self.min_val}, max_val={self.max_val}"
        return limits + (", inplace=True" if self.inplace else "")


class Threshold(Module):
    """``x`` where above ``threshold``, else ``value``.

    Parameters
    ----------
    threshold, value : float
        The limit, and what stands below it.
    inplace : bool, default False
        Write into the input.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """Return the constants."""
        constants = f"threshold={self.threshold}, value={self.value}"
        return constants + (", inplace=True" if self.inplace else "")
