"""Lists and dicts of parameters, registered so that the optimizer finds them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ..autograd import TensorBase
from ..errors import DTypeError, IndexRangeError
from .module import Module, lines_repr
from .parameter import Parameter


def _as_parameter(owner: Module, value: Any) -> Parameter:
    """Return a parameter as it is, and a tensor as a parameter on its memory."""
    if isinstance(value, Parameter):
        return value
    if isinstance(value, TensorBase):
        return Parameter(value)
    raise DTypeError(
        f"{type(owner).__name__}: expected a Parameter or a Tensor, got {type(value).__name__}"
    )


def _line(name: str, parameter: Any) -> str:
    return f"({name}): Parameter of shape {tuple(parameter.array.shape)}, {parameter.dtype}"


class ParameterList(Module):
    """A list of parameters; a plain tensor put into it becomes one.

    Parameters
    ----------
    values : iterable of Parameter or Tensor, optional
        The parameters, named "0", "1" ...
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _position(self, index: Any) -> int:
        size, index = len(self), operator.index(index)
        if not -size <= index < size:
            raise IndexRangeError(f"ParameterList: index {index} is out of range, it has {size}")
        return index + size if index < 0 else index

    def __getitem__(self, index: int | slice) -> Any:
        values = list(self._parameters.values())
        if isinstance(index, slice):
            return type(self)(values[index])
        return values[self._position(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self.register_parameter(str(self._position(index)), _as_parameter(self, value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._parameters.values()))

    def append(self, value: Any) -> Self:
        """Add a parameter at the end; return self."""
        self.register_parameter(str(len(self)), _as_parameter(self, value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several parameters at the end; return self."""
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __repr__(self) -> str:
        lines = [_line(str(number), p) for number, p in enumerate(self)]
        return lines_repr(type(self).__name__, "", lines)


class ParameterDict(Module):
    """A dict of parameters; a plain tensor put into it becomes one.

    Parameters
    ----------
    parameters : mapping of str to Parameter or Tensor, or iterable of pairs, optional
        The parameters by name; a name has no dot.
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._parameters:
            raise KeyError(key)
        return self._parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _as_parameter(self, value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """Return the parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return pairs of name and parameter."""
        return self._parameters.items()

    def update(self, parameters: Any) -> None:
        """Add the parameters of a mapping, or of pairs of name and parameter."""
        mapping = isinstance(parameters, Mapping | ParameterDict)
        for name, value in parameters.items() if mapping else parameters:
            self[name] = value

    def pop(self, key: str) -> Any:
        """Remove the parameter called ``key`` and return it."""
        parameter = self[key]
        del self[key]
        return parameter

    def clear(self) -> None:
        """Remove all parameters."""
        self._parameters.clear()

    def __repr__(self) -> str:
        lines = [_line(name, p) for name, p in self.items()]
        return lines_repr(type(self).__name__, "", lines)
