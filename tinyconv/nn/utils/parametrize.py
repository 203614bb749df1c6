"""Parameters that are computed from others: weights that stay symmetric, normalised, orthogonal.

A parametrization is a module: its ``forward`` makes the weight that the layer uses from the tensor
that is trained, and its ``right_inverse``, if it has one, finds a tensor that makes a given weight.
The layer keeps its own ``forward``; it sees the computed weight under the old name.

>>> import tinyconv as tc
>>> from tinyconv import nn
>>> class Symmetric(nn.Module):
...     def forward(self, x):
...         return x.triu() + x.triu(1).T
...
...     def right_inverse(self, a):
...         return a.triu()
>>> layer = register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
>>> layer.weight.equal(layer.weight.T)
True
>>> [name for name, _ in layer.named_parameters()]
['bias', 'parametrizations.weight.original']
>>> layer.weight = tc.eye(3)
>>> layer.parametrizations.weight.original.sum().item()
3.0

What is written into the computed tensor itself is lost, since it is computed anew at the next
read; the functions of :mod:`tinyconv.nn.init` raise there.
"""

from __future__ import annotations

from typing import Any

from ...autograd import no_grad
from ...errors import ArgumentError, DTypeError
from .._computed import note_computed
from ..containers import ModuleDict
from ..module import Module
from ..parameter import Parameter
from .parametrization_list import (
    ParametrizationList,
    cached,
    check_dtype,
    check_like,
    inverted,
    put,
    register,
)

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer of a module be computed by another module.

    Parameters
    ----------
    module : Module
        Whose tensor it is. Its class becomes a subclass of what it was, ``ParametrizedLinear``
        say, that computes the tensor whenever it is read.
    tensor_name : str
        Name of the parameter or buffer; a parametrized one gets a further parametrization, which
        is applied after those before.
    parametrization : Module
        ``forward`` takes the original and returns the tensor that the module uses. If it has a
        method ``right_inverse``, that gives the original for the present value, and makes it
        possible to assign to the tensor. It may return several originals, if it is the first
        parametrization: they are then new parameters, which an optimizer does not know yet.
        It is put into the training mode of ``module``.
    unsafe : bool, default False
        Allow that shape and dtype change; ``forward`` is then not called to check them.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ArgumentError
        If there is no such tensor.
    DTypeError
        If a method returns something else than tensors, or another dtype.
    ShapeError
        If a method returns another shape.

    Notes
    -----
    State dicts have the keys of PyTorch, ``parametrizations.weight.original`` and so on. A
    parametrized module can be copied by ``copy.deepcopy``.
    """
    if not isinstance(parametrization, Module):
        raise DTypeError(
            "register_parametrization: parametrization must be a Module, got "
            f"{type(parametrization).__name__}"
        )
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        present = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            check_like(parametrization, "forward", after, before)
            with no_grad():
                inverse = inverted([parametrization], after)
            check_like(parametrization, "right_inverse", inverse, before)
        present.append(parametrization)
        present.unsafe |= unsafe
        return module
    table = module._parameters if tensor_name in module._parameters else module._buffers
    original = table.get(tensor_name)
    if original is None:
        raise ArgumentError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer "
            f"'{tensor_name}'"
        )
    made = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    _set_class(module, type(module) if len(module.parametrizations) == 1 else _base(module))
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether a tensor of a module, or any if no name is given, is parametrized."""
    lists = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(lists, ModuleDict):
        return False
    return len(lists) > 0 if tensor_name is None else tensor_name in lists


def type_before_parametrizations(module: Module) -> type:
    """Return the class of a module as it was before its first parametrization."""
    return _base(module) if is_parametrized(module) else type(module)


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized tensor an ordinary parameter or buffer again.

    Parameters
    ----------
    module : Module
        Whose tensor it is.
    tensor_name : str
        Its name.
    leave_parametrized : bool, default True
        Give it the value that was computed; ``False`` leaves the original. With one original, it
        is the same object as before the parametrization, so that an optimizer stays right.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ArgumentError
        If the tensor is not parametrized, or the original is asked for where there are several.
    DTypeError
        If the computed value has another dtype than the one original.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: {type(module).__name__} has no parametrization of "
            f"'{tensor_name}'"
        )
    lists = module.parametrizations
    present = lists[tensor_name]
    originals = present.originals()
    if not present.is_tensor and not leave_parametrized:
        raise ArgumentError(
            f"remove_parametrizations: '{tensor_name}' of {type(module).__name__} has "
            f"{len(originals)} originals, so none can be left in its place; use "
            "leave_parametrized=True"
        )
    tensor = originals[0]
    if leave_parametrized:
        with no_grad():
            value = present.current()
        if present.is_tensor:
            check_dtype(present[-1], "forward", value, tensor.dtype)
            put(tensor, value)
        else:
            is_trained = any(original.requires_grad for original in originals)
            tensor = value.detach().clone()
            if isinstance(originals[0], Parameter):
                tensor = Parameter(tensor, is_trained)
    base = _base(module)
    del lists[tensor_name]
    _set_class(module, base)
    register(module, tensor_name, tensor)
    return module


# -- the class of a parametrized module ---------------------------------------------------------


def _base(module: Module) -> type:
    return type(module).__bases__[0]


def _set_class(module: Module, base: type) -> None:
    """Give a module the class that computes its parametrized tensors, or its own one again.

    Such a class is never changed, since copies of the module share it.
    """
    lists = module._modules["parametrizations"]
    if not len(lists):
        del module._modules["parametrizations"]
        module.__class__ = base
        return
    computed: dict[str, Any] = {name: _computed(name) for name in lists}
    module.__class__ = type(
        f"Parametrized{base.__name__}", (base,), {"__module__": base.__module__, **computed}
    )


def _computed(name: str) -> property:
    """Return the property that reads and writes a parametrized tensor."""

    def get(self: Any) -> Any:
        try:
            present = self._modules["parametrizations"][name]
            value = present.current()
        except AttributeError as error:  # Python would say that there is no such attribute
            raise RuntimeError(
                f"{type(self).__name__}: the parametrization of '{name}' raised an "
                f"AttributeError: {error}"
            ) from error
        if not present.shares_memory(value):
            note_computed(value, type(self).__name__, name)
        return value

    def put(self: Any, value: Any) -> None:
        self._modules["parametrizations"][name].right_inverse(value)

    return property(get, put)
