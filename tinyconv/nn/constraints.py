"""Constraints on weights, put in force after every step of an optimizer; those of Keras.

A constraint is said once, for the parameters that it is for:

>>> import tinyconv as tc
>>> from tinyconv import nn
>>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
>>> optimizer = tc.optim.SGD(model.parameters(), lr=100.0)
>>> handle = constrain(optimizer, nn.utils.weights_of(model), MaxNorm(2.0))
>>> model(tc.randn(8, 4)).sum().backward()
>>> optimizer.step()
>>> all((p.norm(dim=1) < 2.0001).all() for p in nn.utils.weights_of(model))
True

A weight has the shape (out, in, *kernel): each output unit has a vector of incoming weights, and
it is these vectors whose lengths are constrained. ``dim`` says otherwise: it names the dimensions
that are summed over for one length. So ``dim=0`` constrains what leaves each input,
``dim=(0, 2, 3)`` the outputs of a transposed convolution, whose weight is (in, out, *kernel), and
``dim=(1,)`` each place of a kernel by itself. Keras's ``axis`` means the same for weights laid out
the other way round, (*kernel, in, out).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from ..autograd import RemovableHandle, no_grad
from ..errors import ArgumentError, DTypeError, IndexRangeError
from ..ops import where
from .utils.clip_grad import listed

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "constrain"]


class Constraint:
    """Base class: calling it changes a tensor in place, as little as the constraint demands.

    A subclass defines ``project``.
    """

    def __call__(self, tensor: Any) -> Any:
        """Put the constraint in force on a tensor, in place and without a graph; return it."""
        with no_grad():
            self.project(tensor)
        return tensor

    def project(self, tensor: Any) -> None:
        """Change the tensor in place; called where no graph is recorded."""
        raise AttributeError(f"{type(self).__name__} defines no project()")

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class _OfLengths(Constraint):
    """A constraint on the lengths of the vectors along some dimensions."""

    def __init__(self, dim: int | Sequence[int] | None) -> None:
        self.dim = dim

    def project(self, tensor: Any) -> None:
        """Multiply each vector by the wanted length over its own."""
        lengths = tensor.norm(dim=self._dims(tensor.ndim), keepdim=True)
        # What is at its wanted length is multiplied by exactly 1; zeros have no direction to grow.
        tensor.mul_(where(lengths > 0, self.wanted(lengths) / lengths, 1.0))

    def _dims(self, ndim: int) -> Any:
        if self.dim is None:
            return tuple(range(1, ndim)) or None
        dims = (self.dim,) if isinstance(self.dim, int) else tuple(self.dim)
        if any(not -ndim <= d < ndim for d in dims):
            raise IndexRangeError(
                f"{type(self).__name__}: dim={self.dim} is out of range for a tensor of {ndim} "
                "dimensions"
            )
        return dims

    def wanted(self, lengths: Any) -> Any:
        """Return the lengths that vectors of given lengths shall have."""
        raise AttributeError(f"{type(self).__name__} defines no wanted()")


class MaxNorm(_OfLengths):
    """Shorten vectors of weights that are longer than ``max_value``.

    Parameters
    ----------
    max_value : float, default 2.0
        Largest length, above 0 and finite.
    dim : int or sequence of int, optional
        Dimensions along which a vector lies; default all but the first: one vector for each
        output unit. A tensor of one dimension is then one vector.

    Raises
    ------
    ArgumentError
        If ``max_value`` is out of range.

    References
    ----------
    Srebro, Rennie and Jaakkola, "Maximum-margin matrix factorization", NeurIPS 2004; with dropout:
    Srivastava et al., JMLR 15 (2014).

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.constraints.MaxNorm(1.0)(tc.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """

    def __init__(self, max_value: float = 2.0, dim: int | Sequence[int] | None = None) -> None:
        if not 0 < max_value < inf:
            raise ArgumentError(f"MaxNorm: max_value must be above 0 and finite, got {max_value}")
        self.max_value = max_value
        super().__init__(dim)

    def wanted(self, lengths: Any) -> Any:
        """Return the lengths, at most ``max_value``."""
        return lengths.clamp(max=self.max_value)


class UnitNorm(_OfLengths):
    """Bring vectors of weights to length 1; zeros stay zeros.

    Parameters
    ----------
    dim : int or sequence of int, optional
        As for :class:`MaxNorm`.
    """

    def __init__(self, dim: int | Sequence[int] | None = None) -> None:
        super().__init__(dim)

    def wanted(self, lengths: Any) -> Any:
        """Return 1."""
        return 1.0


class MinMaxNorm(_OfLengths):
    """Bring the lengths of vectors of weights into a range, at once or bit by bit.

    Parameters
    ----------
    min_value, max_value : float, default 0.0 and 1.0
        Least and largest length, from 0 and finite; zeros stay zeros.
    rate : float, default 1.0
        Share of the way into the range that is gone in one step, from 0 to 1.
    dim : int or sequence of int, optional
        As for :class:`MaxNorm`.

    Raises
    ------
    ArgumentError
        If an option is out of range, or ``max_value`` is less than ``min_value``.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        dim: int | Sequence[int] | None = None,
    ) -> None:
        if not 0 <= min_value <= max_value < inf:
            raise ArgumentError(
                "MinMaxNorm: need 0 <= min_value <= max_value, both finite, got "
                f"min_value={min_value} and max_value={max_value}"
            )
        if not 0 <= rate <= 1:
            raise ArgumentError(f"MinMaxNorm: rate must be from 0 to 1, got {rate}")
        self.min_value, self.max_value, self.rate = min_value, max_value, rate
        super().__init__(dim)

    def wanted(self, lengths: Any) -> Any:
        """Return the lengths, moved towards the range."""
        return lengths + self.rate * (lengths.clamp(self.min_value, self.max_value) - lengths)


class NonNeg(Constraint):
    """Set weights below 0 to 0."""

    def project(self, tensor: Any) -> None:
        """Clamp at 0."""
        tensor.clamp_(min=0)


class _AfterStep:
    """A hook of an optimizer; an object, so that a deep copy refers to the copied parameters."""

    def __init__(self, parameters: list[Any], constraint: Constraint) -> None:
        self.parameters, self.constraint = parameters, constraint

    def __call__(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        for parameter in self.parameters:
            self.constraint(parameter)


def constrain(optimizer: Any, parameters: Any, constraint: Constraint) -> RemovableHandle:
    """Put a constraint in force on parameters after every step of an optimizer.

    Parameters
    ----------
    optimizer : Optimizer
        Holds the parameters.
    parameters : iterable of Parameter, or Parameter
        What is constrained; :func:`~tinyconv.nn.utils.weights_of` finds the weights of a model.
        They stay as they are until the first step.
    constraint : Constraint
        Or any function that changes a tensor in place. Several may be in force; they are in the
        order in which they were given.

    Returns
    -------
    RemovableHandle
        ``handle.remove()`` lifts the constraint.

    Raises
    ------
    ArgumentError
        If the optimizer does not hold a parameter, or there are none.
    DTypeError
        If ``constraint`` cannot be called, as where the class is given for an object.
    IndexRangeError
        At the step: if a parameter has not the dimensions of the constraint.
    """
    parameters = listed(parameters)
    if not callable(constraint) or isinstance(constraint, type):
        raise DTypeError(
            f"constrain: constraint must be a Constraint such as MaxNorm(2.0), got {constraint!r}"
        )
    if not parameters:
        raise ArgumentError("constrain: there are no parameters to constrain")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for parameter in parameters:
        if id(parameter) not in held:
            raise ArgumentError(
                f"constrain: {type(optimizer).__name__} does not hold the given parameter of shape "
                f"{tuple(parameter.shape)}; a parametrized weight is computed, so constrain its "
                "original"
            )
    return optimizer.register_step_post_hook(_AfterStep(parameters, constraint))
