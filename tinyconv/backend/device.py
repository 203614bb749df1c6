"""Devices: where arrays live, and which backend is in charge of them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from .. import config
from ..errors import ConfigError, DeviceError
from . import cuda
from .base import Backend

_backends: dict[str, Backend] = {}
_lock = threading.Lock()


class Device:
    """A device such as ``tc.device("cuda:0")``; usable as a context for new tensors.

    Parameters
    ----------
    type : str or Device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"`` or the name of a registered backend.
    index : int, optional
        Number of the device; ``None`` means the only or the current one.

    Raises
    ------
    DeviceError
        If the name is unknown or the device cannot be had.

    Examples
    --------
    >>> import tinyconv as tc
    >>> with tc.device("cpu"):
    ...     tc.zeros(2).device
    device(type='cpu')
    """

    __slots__ = ("_contexts", "activate", "backend", "index", "type", "xp")
    _known: dict[str, Device] = {}
    type: str
    index: int | None
    _contexts: threading.local
    #: The backend whose kernels run on this device, and its array-API namespace: read by every
    #: op, so plain attributes.
    backend: Backend
    xp: Any
    #: Called before work on this device; ``None`` where there is nothing to do.
    activate: Callable[[], None] | None

    def __new__(cls, type: str | Device, index: int | None = None) -> Device:
        """Return the one object there is for each device."""
        name = str(type) if index is None else f"{type}:{index}"
        known = cls._known.get(name)
        return known if known is not None else cls._create(name)

    @classmethod
    def _create(cls, name: str) -> Device:
        try:
            config.device._check(name, "device")
        except ConfigError:
            choices = ", ".join(config.DEVICE_TYPES)
            raise DeviceError(f"device {name!r} is unknown; choose {choices}, or type:N") from None
        if name == "auto":
            return cls._best()
        kind, _, index = name.partition(":")
        self = object.__new__(cls)
        self.type, self.index = kind, int(index) if index else None
        self.backend = backend = _backend_of(kind).at(self.index)
        self.xp = backend.xp
        self.activate = backend.activate
        self._contexts = threading.local()
        if kind == "cpu" and self.index == 0:
            return cls._known.setdefault(name, cls("cpu"))
        return cls._known.setdefault(name, self)

    @classmethod
    def _best(cls) -> Device:
        """Return the device that ``auto`` means, and say so once if it is only the CPU."""
        reason = cuda.problem()
        if reason is None:
            return cls("cuda")
        warnings.warn(f"device 'auto' is the CPU: {reason}", stacklevel=4)
        return cls._known.setdefault("auto", cls("cpu"))

    def __enter__(self) -> Device:
        stack = self._contexts.__dict__.setdefault("stack", [])
        context: AbstractContextManager[None] = config.device.override(str(self))
        context.__enter__()
        stack.append(context)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._contexts.stack.pop().__exit__(*exc)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, str) and str(self) == other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Device, (str(self),))


class _CPU(Device):
    """The CPU, once ``config.backend`` was "numpy" in some thread: looked up at every use."""

    __slots__ = ()

    @property
    def backend(self) -> Backend:  # type: ignore[override]
        """The backend that ``config.backend`` chooses in this thread."""
        return _backends["numpy" if config.backend.get() == "numpy" else "cpu"]


def follow_setting() -> None:
    """Have the CPU follow ``config.backend``: at no cost where it was never "numpy" so far."""
    if "numpy" in (config.backend.get(), config.backend._value):
        Device("cpu").__class__ = _CPU


def _backend_of(kind: str) -> Backend:
    """Return the backend of a device type; that of GPUs is made when it is first asked for."""
    found = _backends.get(kind)
    if found is None:
        found = _backends.setdefault(kind, cuda.backend())
    return found


def register(backend: Backend) -> None:
    """Add a backend of your own; its name becomes a device type.

    Parameters
    ----------
    backend : Backend
        Needs an array-API namespace ``xp``; every kernel it does not override is the
        reference kernel.

    Raises
    ------
    DeviceError
        If the name is already taken.

    Examples
    --------
    >>> from tinyconv.backend import Backend, register
    >>> import array_api_strict
    >>> register(Backend("strict", array_api_strict))
    """
    with _lock:
        if backend.name in config.DEVICE_TYPES or backend.name in _backends:
            if _backends.get(backend.name) is backend:
                return
            raise DeviceError(f"register: a device type named {backend.name!r} exists already")
        _backends[backend.name] = backend
        Device._known.pop("auto", None)  # there may be a better one now
        config.DEVICE_TYPES.append(backend.name)


def as_device(device: Any = None) -> Device:
    """Return the :class:`Device` meant by an argument; ``None`` means the default device."""
    if device is None:
        device = config.device.get()
    found = device if isinstance(device, Device) else Device(device)
    if found.index is None and found.type == "cuda":
        # Tensors know which GPU they are on; the current one may be another one later.
        return Device("cuda", cuda.current_device())
    return found


def backends() -> dict[str, Backend]:
    """Return the backends in charge, by device type."""
    return {kind: Device(kind).backend for kind in _backends if kind != "numpy"}
