"""Fully connected layers: linear in one input, or in each of two."""

from __future__ import annotations

import math
from typing import Any

from ..ops import empty
from . import functional as F
from . import init
from ._arguments import sizes
from .module import Module
from .parameter import Parameter


class Identity(Module):
    """Return the input as it is; takes, and ignores, any arguments, so it can replace any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Return ``input``."""
        return input


class Linear(Module):
    """Fully connected layer: ``input @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Size of the last dimension of the input (..., in_features) and of the output
        (..., out_features).
    bias : bool, default True
        Whether to add a bias.
    device, dtype : optional
        Of the parameters: ``weight`` (out_features, in_features) and ``bias`` (out_features,),
        both uniform on +-1 / sqrt(in_features) at first.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.Linear(3, 2)(tc.zeros(5, 3)).shape
    tinyconv.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        (self.in_features,) = sizes("Linear", "in_features", in_features, 1)
        (self.out_features,) = sizes("Linear", "out_features", out_features, 1)
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init_fan_in_uniform(self.weight, self.bias)

    def forward(self, input: Any) -> Any:
        """Map (..., in_features) to (..., out_features)."""
        return self.forward_with(None, input)

    def forward_with(self, activation: str | None, input: Any) -> Any:
        """Map the input, and apply an activation of :func:`.functional.linear` at once."""
        weight, bias = self._entries(self._parameters, "weight", "bias")
        return F.linear(input, weight, bias, activation=activation)

    def mult_adds(self, input: Any, output: Any) -> int:
        """Return the number of multiply-adds of one call, for ``summary``."""
        return math.prod(output.shape) * self.in_features

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """A bilinear form of two inputs for each output: ``x1 @ weight[o] @ x2 + bias[o]``.

    Parameters
    ----------
    in1_features, in2_features, out_features : int
        Size of the last dimension of the inputs and of the output.
    bias : bool, default True
        Whether to add a bias.
    device, dtype : optional
        Of the parameters: ``weight`` (out_features, in1_features, in2_features) and ``bias``
        (out_features,), both uniform on +-1 / sqrt(in1_features) at first.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.Bilinear(3, 4, 2)(tc.zeros(5, 3), tc.zeros(5, 4)).shape
    tinyconv.Size([5, 2])
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        (self.in1_features,) = sizes("Bilinear", "in1_features", in1_features, 1, low=1)
        (self.in2_features,) = sizes("Bilinear", "in2_features", in2_features, 1)
        (self.out_features,) = sizes("Bilinear", "out_features", out_features, 1)
        new = {"device": device, "dtype": dtype}
        self.weight = Parameter(empty(out_features, in1_features, in2_features, **new))
        self.register_parameter("bias", Parameter(empty(out_features, **new)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        """Map (..., in1_features) and (..., in2_features) to (..., out_features)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def mult_adds(self, input: Any, output: Any) -> int:
        """Return the number of multiply-adds of one call, for ``summary``."""
        return math.prod(output.shape) * self.in1_features * self.in2_features

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


def init_fan_in_uniform(weight: Parameter, bias: Parameter | None) -> None:
    """Draw weight and bias uniformly on +-1 / sqrt(fan_in): what linear and conv layers start with.

    That is Kaiming's uniform with the slope sqrt(5); LeCun et al., "Efficient BackProp" (1998).
    """
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = init.calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(bias, -bound, bound)
