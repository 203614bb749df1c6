"""The parametrizations of one tensor, with its original, and the checks of what they return."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...autograd import TensorBase, is_grad_enabled, no_grad
from ...autograd.pending import settle
from ...errors import ArgumentError, DTypeError, ShapeError
from ..containers import ModuleList
from ..module import Module
from ..parameter import Parameter


class _Cache(threading.local):
    """Computed tensors of this thread, while :func:`cached` is in force."""

    depth = 0

    def __init__(self) -> None:
        self.tensors: dict[Any, Any] = {}


_cache = _Cache()


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor only once inside the ``with`` block.

    Useful where a layer is called several times in a step, as in a recurrent network. What is
    assigned to a parametrized tensor is seen at once; what an optimizer does to the original is
    seen after the block. A tensor computed without gradients is not taken where they are wanted.

    Examples
    --------
    >>> from tinyconv import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    >>> with nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.tensors.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order of their application, and the original.

    ``module.parametrizations.weight`` is one; :func:`register_parametrization` makes it. The
    tensor that is trained is its ``original``, or, where the first ``right_inverse`` returns
    several tensors, ``original0``, ``original1`` and so on.

    Parameters
    ----------
    modules : sequence of Module
        The parametrizations.
    original : Tensor
        The parameter or buffer as it is before.
    unsafe : bool, default False
        Whether shape and dtype may change.
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("ParametrizationList: needs at least one parametrization")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            value = inverted(reversed(modules), original)
        self.is_tensor = isinstance(value, TensorBase)
        values = _tensors(modules[0], [value] if self.is_tensor else value)
        self.ntensors = len(values)
        if self.is_tensor:
            check_dtype(modules[0], "right_inverse", value, original.dtype)
        if not unsafe:
            check_like(modules[-1], "forward", composed(modules, values), original)
        if self.is_tensor:
            put(original, value)  # an optimizer that holds the parameter stays right
            register(self, "original", original)
            return
        for number, tensor in enumerate(values):
            if isinstance(original, Parameter):
                tensor = Parameter(tensor.detach().clone(), original.requires_grad)
            register(self, f"original{number}", tensor)

    def _from(self, modules: Iterable[Module]) -> Any:
        return ModuleList(modules)

    def originals(self) -> list[Any]:
        """Return the tensors that the first parametrization gets."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{number}") for number in range(self.ntensors)]

    def right_inverse(self, value: Any) -> None:
        """Set the originals so that ``value`` is computed from them.

        Raises
        ------
        ArgumentError
            If a parametrization has no ``right_inverse``.
        DTypeError
            If one returns no tensor, or one of another dtype.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise ArgumentError(
                        f"{type(module).__name__}: the parametrization has no right_inverse, so "
                        "nothing can be assigned to what it computes"
                    )
                value = module.right_inverse(value)
            originals = self.originals()
            values = _tensors(self[0], [value] if self.is_tensor else value, len(originals))
            for original, tensor in zip(originals, values, strict=True):
                check_dtype(self[0], "right_inverse", tensor, original.dtype)
            for original, tensor in zip(originals, values, strict=True):
                put(original, tensor)
        _cache.tensors.pop((self, True), None)
        _cache.tensors.pop((self, False), None)

    def forward(self) -> Any:
        """Return the tensor that the layer uses."""
        return composed(list(self), self.originals())

    def shares_memory(self, value: Any) -> bool:
        """Return whether a computed tensor is an original, or a view of one."""
        shares_memory = value.device.backend.shares_memory
        return any(
            original.array.__class__ is value.array.__class__
            and shares_memory(value.array, original.array)
            for original in self.originals()
        )

    def current(self) -> Any:
        """Return what :meth:`forward` does, or did before inside :func:`cached`."""
        if not _cache.depth:
            return self()
        key = (self, is_grad_enabled())
        if key not in _cache.tensors:
            _cache.tensors[key] = self()
        return _cache.tensors[key]


def composed(modules: Sequence[Module], originals: Sequence[Any]) -> Any:
    """Return what parametrizations make of the originals."""
    result = modules[0](*originals)
    for module in modules[1:]:
        result = module(result)
    return result


def inverted(modules: Iterable[Any], value: Any) -> Any:
    """Go through the inverses that there are; a parametrization without one keeps the value."""
    for module in modules:
        if hasattr(module, "right_inverse"):
            with contextlib.suppress(NotImplementedError):  # of an abstract class of the user
                value = module.right_inverse(value)
    return value


def put(original: Any, value: Any) -> None:
    """Write a value into the original, which is then of its shape and on its device."""
    if value.array is original.array:
        return
    settle(original)
    original.array, original.device = value.xp.asarray(value.array, copy=True), value.device
    original._bump_version()


def register(module: Module, name: str, tensor: Any) -> None:
    """Make a tensor the parameter or buffer of a module that it is by its class."""
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _tensors(module: Module, values: Any, number: int | None = None) -> list[Any]:
    """Return the tensors that ``right_inverse`` has returned, or raise."""
    if not isinstance(values, Sequence) or not all(isinstance(v, TensorBase) for v in values):
        kinds = [type(v).__name__ for v in values] if isinstance(values, Sequence) else values
        raise DTypeError(
            f"{type(module).__name__}: right_inverse must return a Tensor or a sequence of "
            f"Tensors, got {kinds}"
        )
    if number is not None and len(values) != number:
        raise ArgumentError(
            f"{type(module).__name__}: right_inverse must return {number} tensors, as at the "
            f"registration, got {len(values)}"
        )
    return list(values)


def check_dtype(module: Module, method: str, tensor: Any, dtype: Any) -> None:
    """Raise unless a method returned a tensor of a dtype."""
    if not isinstance(tensor, TensorBase):
        raise DTypeError(
            f"{type(module).__name__}: {method} must return a Tensor, got {type(tensor).__name__}"
        )
    if tensor.dtype != dtype:
        raise DTypeError(
            f"{type(module).__name__}: {method} must keep the dtype {dtype}, got {tensor.dtype}"
        )


def check_like(module: Module, method: str, tensor: Any, like: Any) -> None:
    """Raise unless a method returned a tensor of the dtype and shape of another."""
    check_dtype(module, method, tensor, like.dtype)
    if tuple(tensor.shape) != tuple(like.shape):
        raise ShapeError(
            f"{type(module).__name__}: {method} must keep the shape {tuple(like.shape)}, got "
            f"{tuple(tensor.shape)}; pass unsafe=True to allow it"
        )
