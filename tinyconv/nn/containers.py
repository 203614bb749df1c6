"""Modules that hold modules: in a chain, a list or a dict."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self

from ..errors import ArgumentError, DTypeError, IndexRangeError
from . import chain
from .module import Module, indent, lines_repr


class _ModuleSequence(Module):
    """Children by position; what :class:`Sequential` and :class:`ModuleList` have in common."""

    def _from(self, modules: Iterable[Module]) -> Any:
        """Return a container of this kind with ``modules``."""
        return type(self)(modules)  # type: ignore[call-arg]

    def _position(self, index: Any, end: int | None = None) -> int:
        """Return an index counted from the front, or raise ``IndexRangeError``."""
        size = len(self) if end is None else end
        index = operator.index(index)
        if not -size <= index < size:
            raise IndexRangeError(
                f"{type(self).__name__}: index {index} is out of range, it has {len(self)} modules"
            )
        return index + size if index < 0 else index

    def _renumber(self, modules: Iterable[Any]) -> None:
        modules = list(modules)
        self._modules.clear()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._modules.values()))

    def __contains__(self, module: object) -> bool:
        return any(module is m for m in self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._from(list(self._modules.values())[index])
        return list(self._modules.values())[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._modules)[self._position(index)], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self._modules.values())
        del modules[index if isinstance(index, slice) else self._position(index)]
        self._renumber(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end; return self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end; return self."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before position ``index``, and renumber; return self."""
        if not isinstance(module, Module):
            raise DTypeError(
                f"{type(self).__name__}: insert needs a Module, got {type(module).__name__}"
            )
        modules = list(self._modules.values())
        modules.insert(self._position(index, len(modules) + 1) if index >= 0 else index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove and return the module at a position, the last by default."""
        module = self[index]
        del self[index]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, modules: Iterable[Module]) -> Any:
        return self._from([*self, *modules])


class Sequential(_ModuleSequence):
    """A chain of modules: each gets the output of the one before.

    Parameters
    ----------
    *args : Module, or one mapping of str to Module
        The modules, named "0", "1" ... or by the keys of the mapping.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
    >>> net(tc.zeros(5, 2, 2)).shape
    tinyconv.Size([5, 3])
    >>> net[1:]
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            named = list(args[0].items())
        else:
            named = [(str(number), module) for number, module in enumerate(args)]
        for name, module in named:
            self.add_module(name, module)

    def _from(self, modules: Iterable[Module]) -> Any:
        return type(self)(*modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):  # a slice keeps names that are words
            names = list(self._modules)
            if not all(name.isdigit() for name in names):
                return type(self)({name: self._modules[name] for name in names[index]})
        return super().__getitem__(index)

    def forward(self, input: Any) -> Any:
        """Pass ``input`` through all modules."""
        return chain.run(list(self._modules.values()), input)


class ModuleList(_ModuleSequence):
    """A list of modules, registered so that their parameters are found.

    It has no ``forward``: the module that holds it says what is called when.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules, in order.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __repr__(self) -> str:
        """Return one line for a run of equal modules."""
        lines, first = [], 0
        for text, run in groupby(map(repr, self)):
            last = first + len(list(run)) - 1
            span = f"({first})" if first == last else f"({first}-{last})"
            many = "" if first == last else f"{last - first + 1} x "
            lines.append(f"{span}: {many}{indent(text)}")
            first = last + 1
        return lines_repr(type(self).__name__, "", lines)


class ModuleDict(Module):
    """A dict of modules, registered so that their parameters are found; keeps its order.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
        The modules by name; a name has no dot.
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._modules:
            raise KeyError(key)
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return pairs of name and module."""
        return self._modules.items()

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping, or of pairs of name and module."""
        if not isinstance(modules, Mapping | ModuleDict | Iterable):
            raise ArgumentError(
                f"ModuleDict: update needs a mapping or pairs, got {type(modules).__name__}"
            )
        pairs = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        for name, module in pairs:
            self.add_module(name, module)

    def pop(self, key: str) -> Any:
        """Remove the module called ``key`` and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()
