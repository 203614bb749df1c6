"""A module as a tree: named parameters, buffers and children, in the order they were assigned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..autograd import TensorBase
from ..errors import ArgumentError, DTypeError, GradientError
from .parameter import Parameter

_KINDS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "child module"}


class ModuleTree:
    """Registration, attribute access and traversal; the base of :class:`~tinyconv.nn.Module`."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers: set[str]

    def __init__(self) -> None:
        for table in _KINDS:
            object.__setattr__(self, table, {})
        object.__setattr__(self, "_non_persistent_buffers", set())

    # -- attributes -------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        """Register a parameter or a module; let everything else be an ordinary attribute."""
        if isinstance(value, Parameter):
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, ModuleTree):
            self._forget(name, keep="_modules")
            self.add_module(name, value)
        else:
            for table, kind in _KINDS.items():
                members = self.__dict__.get(table, {})
                if name in members:
                    _check_replacement(name, value, kind)
                    members[name] = value
                    return
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Reached only where the ordinary lookup fails.
        own = self.__dict__
        for table in _KINDS:
            if table in own and name in own[table]:
                return own[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _entries(self, table: dict[str, Any], *names: str) -> list[Any]:
        """Return attributes that are registered in one of the tables.

        What ``forward`` reads at each call: an attribute that the ordinary lookup misses takes
        Python longer than a look into the table.
        """
        try:
            return [table[name] for name in names]
        except KeyError:  # a parametrization computes it, say
            return [getattr(self, name) for name in names]

    def __delattr__(self, name: str) -> None:
        for table in _KINDS:
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        members = [name for table in _KINDS for name in self.__dict__.get(table, ())]
        return sorted({*super().__dir__(), *members})

    def _forget(self, name: str, keep: str) -> None:
        """Remove what else is called ``name``, since an assignment replaces it."""
        if keep not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: cannot assign the {_KINDS[keep]} '{name}' before "
                "Module.__init__() is called; call super().__init__() first"
            )
        self.__dict__.pop(name, None)
        for table in _KINDS:
            if table != keep:
                self.__dict__[table].pop(name, None)

    # -- registration -----------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; ``None`` reserves the name.

        Raises
        ------
        ArgumentError
            If the name is empty, has a dot, or is an attribute already.
        DTypeError
            If ``param`` is neither a :class:`Parameter` nor ``None``.
        """
        self._check_name("_parameters", name)
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(
                f"{type(self).__name__}: parameter '{name}' must be a Parameter or None, got "
                f"{type(param).__name__}; wrap it in nn.Parameter(...)"
            )
        if param is not None and param.grad_fn is not None:
            raise GradientError(
                f"{type(self).__name__}: parameter '{name}' is the result of a computation; "
                "parameters are leaves, so compute it in forward() instead"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained, such as a running mean.

        Parameters
        ----------
        name : str
            Attribute under which the buffer is found.
        tensor : Tensor or None
            The buffer; ``None`` is left out of the state dict.
        persistent : bool, default True
            Whether the buffer is part of the state dict.
        """
        self._check_name("_buffers", name)
        if tensor is not None and not isinstance(tensor, TensorBase):
            raise DTypeError(
                f"{type(self).__name__}: buffer '{name}' must be a Tensor or None, got "
                f"{type(tensor).__name__}"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers.discard(name)
        else:
            self._non_persistent_buffers.add(name)

    def add_module(self, name: str, module: Any) -> None:
        """Add a child module under ``name``; ``None`` reserves the name."""
        self._check_name("_modules", name)
        if module is not None and not isinstance(module, ModuleTree):
            raise DTypeError(
                f"{type(self).__name__}: child '{name}' must be a Module or None, got "
                f"{type(module).__name__}"
            )
        self._modules[name] = module

    def register_module(self, name: str, module: Any) -> None:
        """Do the same as :meth:`add_module`."""
        self.add_module(name, module)

    def _check_name(self, table: str, name: Any) -> None:
        kind, owner = _KINDS[table], type(self).__name__
        if table not in self.__dict__:
            raise AttributeError(
                f"{owner}: cannot register the {kind} '{name}' before Module.__init__() is "
                "called; call super().__init__() first"
            )
        if not isinstance(name, str):
            raise DTypeError(f"{owner}: the name of a {kind} must be a string, got {name!r}")
        if name == "" or "." in name:
            raise ArgumentError(f"{owner}: the name of a {kind} is empty or has a dot: {name!r}")
        if name not in self.__dict__[table] and hasattr(self, name):
            raise ArgumentError(f"{owner}: the attribute '{name}' exists already")

    # -- traversal --------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, module) of this module and all below it, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def modules(self) -> Iterator[Any]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, module) of the children, each module once."""
        yield from _distinct(self._modules.items())

    def children(self) -> Iterator[Any]:
        """Yield the children, each once."""
        for _, module in self.named_children():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter).

        Parameters
        ----------
        prefix : str, default ""
            Put before every name.
        recurse : bool, default True
            Include the modules below.
        remove_duplicate : bool, default True
            Yield a shared parameter under its first name only.
        """
        members = self._members(lambda m: m._parameters, prefix, recurse, remove_duplicate)
        yield from _distinct(members) if remove_duplicate else members

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once, in the order they were registered."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, buffer); arguments as :meth:`named_parameters`."""
        members = self._members(lambda m: m._buffers, prefix, recurse, remove_duplicate)
        yield from _distinct(members) if remove_duplicate else members

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Yield the buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _members(
        self, table: Callable[[Any], dict[str, Any]], prefix: str, recurse: bool, unique: bool
    ) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, entry) of one table of this module, or of all below too."""
        modules: Iterable[tuple[str, Any]] = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=unique)
        for path, module in modules:
            for name, member in table(module).items():
                if member is not None:
                    yield (f"{path}.{name}" if path else name), member

    # -- access by path ---------------------------------------------------------------------

    def get_submodule(self, target: str) -> Any:
        """Return the module at a dotted path; the empty path is this module.

        Raises
        ------
        AttributeError
            If the path leads nowhere, or to something that is no module.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute '{name}'")
            module = getattr(module, name)
            if not isinstance(module, ModuleTree):
                raise AttributeError(f"'{name}' in the path '{target}' is not a module")
        return module

    def set_submodule(self, target: str, module: Any) -> None:
        """Replace the module at a dotted path."""
        parent, _, name = target.rpartition(".")
        if not name:
            raise ArgumentError("set_submodule: the path of the module to replace is empty")
        owner = self.get_submodule(parent)
        owner.get_submodule(name)
        setattr(owner, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path, or raise ``AttributeError``."""
        return self._get_member(target, "_parameters")

    def get_buffer(self, target: str) -> Any:
        """Return the buffer at a dotted path, or raise ``AttributeError``."""
        return self._get_member(target, "_buffers")

    def _get_member(self, target: str, table: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if name not in getattr(owner, table):
            raise AttributeError(f"{type(owner).__name__} has no {_KINDS[table]} '{name}'")
        return getattr(owner, table)[name]


def _check_replacement(name: str, value: Any, kind: str) -> None:
    """Refuse to put a plain value where a parameter, buffer or module is registered."""
    if value is None or (kind == "buffer" and isinstance(value, TensorBase)):
        return
    expected = {"parameter": "nn.Parameter", "buffer": "Tensor", "child module": "nn.Module"}
    raise DTypeError(
        f"cannot assign '{type(value).__name__}' as {kind} '{name}' "
        f"({expected[kind]} or None expected)"
    )


def _distinct(members: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each member under its first name only, and no ``None``."""
    seen = set()
    for name, member in members:
        if member is not None and id(member) not in seen:
            seen.add(id(member))
            yield name, member
