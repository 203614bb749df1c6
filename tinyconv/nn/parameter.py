"""The tensor that a module counts as its own."""

from __future__ import annotations

import copy
from typing import Any

from ..autograd import TensorBase
from ..errors import DTypeError
from ..ops import zeros
from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that becomes a parameter of the module it is assigned to.

    It is a leaf of the graph on the same memory as ``data``. Unlike a plain tensor it may carry
    attributes of the user's own.

    Parameters
    ----------
    data : Tensor, optional
        The values; an empty tensor by default.
    requires_grad : bool, default True
        Whether gradients are wanted.

    Raises
    ------
    DTypeError
        If ``data`` is not a tensor.
    GradientError
        If gradients are wanted for an integer tensor.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.Parameter(tc.ones(2)).is_leaf
    True
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        if data is None:
            data = zeros(0)
        if not isinstance(data, TensorBase):
            raise DTypeError(
                f"Parameter: argument 'data' must be a Tensor, got {type(data).__name__}; "
                "make one with tinyconv.tensor(...)"
            )
        super().__init__(data.array, data.device, requires_grad)
        if data._version is not None:
            self._version = data._version

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        values = self.wrap(self.xp.asarray(self.array, copy=True))
        other = type(self)(values, self.requires_grad)
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other
