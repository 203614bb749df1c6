"""What a node keeps for its backward pass, and the check that nobody modified it since."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import GradientError, InPlaceError
from .modes import state
from .pending import Promise, defer, held
from .tensor_base import TensorBase

if TYPE_CHECKING:
    from .function import Function


class SavedInput:
    """A tensor kept as it is."""

    __slots__ = ("tensor", "version")

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self.version = tensor._version[0]

    @property
    def array(self) -> Any:
        """The array kept."""
        return self.tensor.array

    def unpack(self, node: Any) -> Any:
        """Return the tensor, or raise ``InPlaceError`` if it was modified since."""
        tensor = self.tensor
        if tensor._version[0] != self.version:
            _raise_modified(node, "an input", tensor.array, tensor._version[0], self.version)
        return tensor


class SavedOutput:
    """An output, kept as a bare array (or the promise of one) plus its number.

    It is made into a tensor again when asked for: a node that held its own output would be a
    reference cycle.
    """

    __slots__ = ("counter", "device", "differentiable", "held", "index", "version")

    def __init__(self, tensor: Any, index: int, differentiable: bool) -> None:
        self.held, self.device = held(tensor), tensor.device
        self.counter = tensor._version
        self.version = self.counter[0]
        self.index, self.differentiable = index, differentiable

    @property
    def array(self) -> Any:
        """The array kept, computed now if it was promised."""
        return self.held.keep() if isinstance(self.held, Promise) else self.held

    def unpack(self, node: Any) -> Any:
        """Return the tensor, or raise ``InPlaceError`` if it was modified since."""
        kept = self.held
        if self.counter[0] != self.version:
            what = f"output {self.index}"
            _raise_modified(node, what, kept, self.counter[0], self.version)
        if isinstance(kept, Promise):
            tensor = defer(kept)
        else:
            tensor = TensorBase.public_class(kept, self.device)
        tensor._version = self.counter
        if self.differentiable:
            tensor._grad_fn, tensor._output_index = node, self.index
            tensor._requires_grad = True
        return tensor


class SavedElsewhere(ABC):
    """Base of tensors that are not kept but brought back by :meth:`fetch`; history is restored.

    The history of an input is its place in the graph, which costs no array; so the result can
    take part in second derivatives although it is another tensor object.
    """

    __slots__ = ("__weakref__", "edge", "index")

    def __init__(self, tensor: Any, index: int, differentiable: bool) -> None:
        self.index = index if differentiable or index < 0 else -1
        self.edge = tensor._edge if index < 0 and tensor._requires_grad else None

    @abstractmethod
    def fetch(self, node: Any) -> Any:
        """Return a tensor with the contents."""

    @property
    def array(self) -> Any:
        """The array kept: none."""
        return None

    def unpack(self, node: Any) -> Any:
        """Return the tensor, with the history it had."""
        data = self.fetch(node)
        edge = (node, self.index) if self.index >= 0 else self.edge
        if edge is None:
            return data
        from .relays import relay  # a node needs this file to save anything

        return relay(data, edge)


class _Packed(SavedElsewhere):
    """What ``pack`` of :func:`saved_tensors_hooks` made of a tensor."""

    __slots__ = ("packed", "unpack_hook")

    def __init__(
        self, tensor: Any, index: int, differentiable: bool,
        pack: Callable[[Any], Any], unpack: Callable[[Any], Any],
    ) -> None:  # fmt: skip
        super().__init__(tensor, index, differentiable)
        self.packed, self.unpack_hook = pack(tensor.detach()), unpack

    def fetch(self, node: Any) -> Any:
        tensor = self.unpack_hook(self.packed)
        if isinstance(tensor, TensorBase):
            return tensor
        raise GradientError(
            f"saved_tensors_hooks: unpack must return a tensor, got {type(tensor).__name__}"
        )


@contextmanager
def saved_tensors_hooks(pack_hook: Any, unpack_hook: Any) -> Iterator[None]:
    """Keep ``pack_hook(tensor)`` instead of each tensor that ops inside the block save.

    Parameters
    ----------
    pack_hook : callable
        Gets a detached tensor, returns anything: a compressed copy, a file name ...
    unpack_hook : callable
        Gets what ``pack_hook`` returned, gives back a tensor of the same shape and dtype.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.ones(3, requires_grad=True)
    >>> with tc.autograd.saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
    ...     y = (x * x).sum()  # keeps x in half precision
    >>> y.backward()
    >>> x.grad
    tensor([2., 2., 2.])
    """
    with saving(lambda t, index, diff: _Packed(t, index, diff, pack_hook, unpack_hook)):
        yield


@contextmanager
def saving(saver: Callable[[Any, int, bool], Any]) -> Iterator[None]:
    """Have ops inside the block save tensors with ``saver`` instead of :func:`keep`."""
    before, state.saving = state.saving, saver
    try:
        yield
    finally:
        state.saving = before


def save(node: Function, tensors: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a node keeps of ``tensors``; ``None`` stays ``None``."""
    saver = state.saving
    saved: list[Any] = []
    for tensor in tensors:
        if tensor is None:
            saved.append(None)
            continue
        if tensor._version is None:
            raise GradientError(
                f"{node.name()}: a tensor made in inference mode cannot be saved for the backward "
                "pass; clone() it outside inference mode"
            )
        index = -1
        for number, output in enumerate(outputs):
            if output is tensor:
                index = number
                break
        if index < 0 and saver is None:
            saved.append(SavedInput(tensor))
        else:
            differentiable = index >= 0 and node.is_differentiable(tensor)
            saved.append((saver or keep)(tensor, index, differentiable))
    return tuple(saved)


def keep(tensor: Any, index: int, differentiable: bool) -> Any:
    """Save an input (``index`` is -1) or an output the usual way."""
    return SavedInput(tensor) if index < 0 else SavedOutput(tensor, index, differentiable)


def _raise_modified(node: Any, what: str, array: Any, now: int, version: int) -> None:
    where = (
        f". It was computed here:\n{node.created}"
        if node.created
        else "; tinyconv.autograd.detect_anomaly() shows where it was computed"
    )
    raise InPlaceError(
        f"{node.name()}: {what} of shape {tuple(array.shape)} that the backward pass needs was "
        f"modified by an in-place operation: it is at version {now}, expected version {version}. "
        f"Use the out-of-place form, or clone() it first{where}"
    )
