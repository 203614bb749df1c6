"""Results that are put off until somebody looks at them.

Batch normalisation followed by ReLU is two ops, and two nodes of the graph. Run one after the other
they pass over memory more often than they must: what the first writes, the second reads. So an op
may return a *pending* tensor instead: one that holds, where its array would be, a
:class:`Promise` of it. The next op may know how to do both in one pass (see ``ops/fusion.py``).
Whoever else looks at ``.array`` has it computed then, once. The graph is the same either way.

A pending tensor is of a subclass of ``Tensor`` whose ``array`` is a property; when the array is
there it becomes an ordinary tensor by a change of ``__class__``. Ordinary tensors pay nothing.

What a promise reads must not change before it is kept. Every in-place write of the library calls
:func:`settle` first, which computes what is promised from that memory. Memory that NumPy or another
library was shown can change unseen; nothing waits on it (see :func:`is_private`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from . import references
from .modes import state
from .tensor_base import TensorBase

#: The slot of a tensor's array, as pending tensors hide it.
_slot: Any = TensorBase.__dict__["array"]
#: Returns the array of a tensor, or the promise of one: both have a shape and a dtype.
held: Callable[[Any], Any] = _slot.__get__
#: Promises not kept yet, by id.
_open: dict[int, weakref.ref[Promise]] = {}


class Promise:
    """How to compute an array later.

    Parameters
    ----------
    like : array
        An array of the dtype that the result will have, and of its shape if none is given.
    device : Device
        Where it will live.
    reads : tuple of array
        Arrays that are read later, and may belong to tensors.
    shape : tuple of int, optional
        Shape of the result.
    """

    __slots__ = ("__weakref__", "_array", "device", "dtype", "memory", "reads", "shape")

    def __init__(
        self, like: Any, device: Any, reads: tuple[Any, ...], shape: tuple[int, ...] | None = None
    ) -> None:
        self.shape, self.dtype, self.device = shape or like.shape, like.dtype, device
        self.reads, self._array = reads, None
        #: What tells the memory that is read from other memory, once somebody wants to know.
        self.memory: set[Any] | None = None
        _open[id(self)] = weakref.ref(self)

    def __del__(self) -> None:
        _open.pop(id(self), None)

    def compute(self, *reads: Any) -> Any:
        """Return the array, from those that were to be read; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no compute()")

    def keep(self) -> Any:
        """Return the array, computed at the first call."""
        reads = self.reads  # before the array is looked at: another thread may be keeping it too
        if self._array is None:
            self.keep_as(self.compute(*reads))
        return self._array

    def locate(self) -> set[Any]:
        """Find out ``memory``, and return it."""
        memory_of = self.device.backend.memory_of
        self.memory = {memory_of(array) for array in self.reads}
        return self.memory

    def keep_as(self, array: Any) -> None:
        """Keep the promise with an array that was computed in another way."""
        self._array = array
        _open.pop(id(self), None)
        self.reads = ()

    def plus(self, other: Any) -> Promise | None:
        """Return a promise of this array plus another, or ``None`` if that saves nothing."""
        return None

    def clipped(self, low: float, high: float) -> Any:
        """Return the array clipped to limits, or a promise of it, or ``None``: it saves nothing."""
        return None


class Snapshot(Promise):
    """The array of a tensor as it is now: copied only if somebody is about to write to it.

    Parameters
    ----------
    tensor : Tensor
        It may change later; what :meth:`now` returns does not.
    """

    __slots__ = ()

    def __init__(self, tensor: Any) -> None:
        private = is_private(tensor)
        super().__init__(tensor.array, tensor.device, (tensor.array,))
        if not private:
            self.keep()

    def compute(self, array: Any) -> Any:
        return self.device.xp.asarray(array, copy=True)

    def now(self) -> Any:
        """Return the array as it was; nobody may write to it."""
        reads = self.reads
        return reads[0] if reads else self._array


class Pending:
    """What a pending tensor does differently; ``tensor.py`` derives the class from ``Tensor``."""

    __slots__ = ()

    @property
    def array(self: Any) -> Any:
        """The array, computed now."""
        array = held(self)
        if isinstance(array, Promise):
            array = array.keep()
            _slot.__set__(self, array)
        self.__class__ = TensorBase.public_class
        return array

    @array.setter
    def array(self: Any, value: Any) -> None:
        _slot.__set__(self, value)
        self.__class__ = TensorBase.public_class

    @property
    def dtype(self: Any) -> Any:
        """The data type, known without the array."""
        return self.device.backend.dtypes[held(self).dtype]


def defer(promise: Promise) -> Any:
    """Return a tensor without history whose array is promised."""
    tensor = TensorBase.public_class(None, promise.device)
    put(tensor, promise)
    return tensor


def put(tensor: Any, promise: Promise) -> None:
    """Have a tensor hold a promise in place of its array."""
    tensor.__class__ = TensorBase.pending_class
    _slot.__set__(tensor, promise)


def promise_of(tensor: Any) -> Promise | None:
    """Return the promise that a tensor holds, if it is one and was not kept yet."""
    if type(tensor) is not TensorBase.pending_class:
        return None
    promise = held(tensor)
    return promise if isinstance(promise, Promise) and promise.reads else None


def settle(*tensors: Any) -> None:
    """Keep every promise that reads memory of ``tensors``, which are about to be written to."""
    if not _open:
        return
    memory = {tensor.device.backend.memory_of(tensor.array) for tensor in tensors}
    known = None not in memory
    for reference in list(_open.values()):
        promise = reference()
        if promise is None:
            continue
        read = promise.memory or promise.locate()
        if known and None not in read and memory.isdisjoint(read):
            continue
        if _overlaps(promise, tensors):
            promise.keep()


def _overlaps(promise: Promise, tensors: tuple[Any, ...]) -> bool:
    may_overlap = promise.device.backend.may_overlap
    return any(may_overlap(read, t.array) for read in promise.reads for t in tensors)


def settle_all() -> None:
    """Keep every promise: memory that any of them may read is about to be written to."""
    for reference in list(_open.values()):
        promise = reference()
        if promise is not None:
            promise.keep()


def expose(tensor: Any) -> Any:
    """Return the array of ``tensor`` to code that may write to it without a word."""
    settle(tensor)
    version = tensor._version
    if version is not None and len(version) == 1:
        version.append(None)
    return tensor.array


def is_private(tensor: Any) -> bool:
    """Return whether all who may write to the memory of ``tensor`` call :func:`settle` first."""
    array = tensor.array
    if not tensor.device.backend.owns_memory(array):
        return False
    if tensor._grad_fn is None:  # perhaps made from an array that somebody holds
        return references.count(array) <= references.SOLE + 1
    return tensor._view is None and tensor._version is not None and len(tensor._version) == 1


def may_wait() -> bool:
    """Return whether results may be put off in this thread: not where somebody watches the ops."""
    return not state.observers
